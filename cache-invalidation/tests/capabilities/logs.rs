//! The logs, and in words what their capabilities cannot say.

use std::{sync::Arc, time::Duration};

use cache_invalidation::{
    InvalidationLog, MemoryLog,
    etcd::EtcdLog,
    mysql::MySqlLog,
    nats::NatsLog,
    postgres::PgLog,
    redis::RedisLog,
    sqlite::{Durability, SqliteLog},
};

/// What is said of a log. Where a promise is weaker, it says what then happens, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) log: &'static str,
    /// The settings that make the difference to another row.
    pub(crate) with: &'static str,
    /// Whose transactions join it.
    pub(crate) joined_by: Option<&'static str>,
    /// What it forgets, and when.
    pub(crate) forgets: &'static str,
    /// Exactly if an acknowledged entry can be lost.
    pub(crate) p1: Option<&'static str>,
    /// Exactly if it is not transactional.
    pub(crate) p2: Option<&'static str>,
    /// Exactly if its reads are not linearizable.
    pub(crate) p3: Option<&'static str>,
    /// If it can forget what is younger than the retention.
    pub(crate) p13: Option<&'static str>,
}

impl Words {
    /// Each promise that may be weaker, and why it is.
    pub(crate) const fn weaker(&self) -> [(&'static str, Option<&'static str>); 4] {
        [
            ("P1", self.p1),
            ("P2", self.p2),
            ("P3", self.p3),
            ("P13", self.p13),
        ]
    }
}

type Log = Arc<dyn InvalidationLog>;

/// None of them reaches a server.
pub(crate) fn all() -> Vec<(Log, Words)> {
    let nats = || NatsLog::builder("nats://127.0.0.1:1").write_timeout(SHORT);
    vec![
        (Arc::new(MemoryLog::new()), MEMORY),
        (sqlite(Durability::PowerLoss), SQLITE),
        (sqlite(Durability::ProcessCrash), SQLITE_CRASH),
        (
            Arc::new(
                PgLog::builder("postgres://app@127.0.0.1:1/app")
                    .connect_later()
                    .unwrap(),
            ),
            POSTGRES,
        ),
        (
            Arc::new(
                MySqlLog::builder("mysql://app@127.0.0.1:1/app")
                    .connect_later()
                    .unwrap(),
            ),
            MYSQL,
        ),
        (
            Arc::new(
                RedisLog::builder("redis://127.0.0.1:1")
                    .connect_later()
                    .unwrap(),
            ),
            REDIS,
        ),
        (Arc::new(nats().connect_later().unwrap()), NATS),
        (
            Arc::new(nats().syncs_always().connect_later().unwrap()),
            NATS_SYNCED,
        ),
        (
            Arc::new(nats().replicas(3).connect_later().unwrap()),
            NATS_REPLICATED,
        ),
        (
            Arc::new(
                EtcdLog::builder("etcd://127.0.0.1:1")
                    .connect_later()
                    .unwrap(),
            ),
            ETCD,
        ),
    ]
}

const SHORT: Duration = Duration::from_millis(500);

fn sqlite(durability: Durability) -> Log {
    let log = SqliteLog::builder("/nonexistent/capabilities.db").create_if_missing(false);
    Arc::new(log.durability(durability).open_later().unwrap())
}

const RETENTION: &str = "what is older than `retention`";

const OLD_PRIMARY: &str = "A primary that was replaced and that nobody fenced goes on answering with what it knows: whoever still reads it \
    is not bounded. Standbys are refused.";

const TWO_STEPS: &str = "A write in another database takes two steps (`Changes::in_two_steps`): its keys are held on this node, the \
    write commits, and then the entry is appended, in the background for as long as the log is away. A process that dies between the \
    two, and a commit of unknown outcome that takes effect later than `commit_settles_within`, leave the other nodes with the old \
    value until its TTL.";

const MEMORY: Words = Words {
    log: "memory",
    with: "",
    joined_by: Some("`MemoryTransaction`"),
    forgets: RETENTION,
    p1: Some("It ends with its process, and so do the caches that read it."),
    p2: None,
    p3: None,
    p13: None,
};

const SQLITE: Words = Words {
    log: "sqlite",
    with: "",
    joined_by: Some("`sqlx::Transaction<Sqlite>`, triggers"),
    forgets: RETENTION,
    p1: None,
    p2: None,
    p3: None,
    p13: None,
};

const SQLITE_CRASH: Words = Words {
    with: "`durability = \"process_crash\"`",
    p1: Some(
        "A power loss may take back the last entries, together with the rows that were committed with them, and every process \
         begins anew after it.",
    ),
    ..SQLITE
};

const POSTGRES: Words = Words {
    log: "postgres",
    with: "",
    joined_by: Some(
        "`sqlx::Transaction<Postgres>`, [other drivers](recipes.md), triggers, SQL functions",
    ),
    forgets: RETENTION,
    p1: None,
    p2: None,
    p3: Some(OLD_PRIMARY),
    p13: None,
};

const MYSQL: Words = Words {
    log: "mysql",
    joined_by: Some("`sqlx::Transaction<MySql>`, triggers, SQL procedures"),
    ..POSTGRES
};

const REDIS: Words = Words {
    log: "redis",
    with: "",
    joined_by: Some(
        "`RedisWrite`, a Lua script on business data in the same Redis, which keeps its entries also where it fails half way; \
         elsewhere `in_two_steps`",
    ),
    forgets: "what is older than `retention`, or beyond `max_entries`",
    p1: Some(
        "Redis acknowledges before replicas have it, and by default before it is on disk. A crash or a failover may take back \
         what was acknowledged. Every reader is told of each start of the server and of each promotion, and flushes. What a \
         primary acknowledges after it was replaced is told by the node that appended it, with its next call; where that node \
         has died, or another told of its own before, readers are bounded by their TTL alone.",
    ),
    p2: None,
    p3: Some(
        "A primary that was cut off from its Sentinels or its cluster serves reads until it notices, and those who read it are \
         bounded by what it knows. `min-replicas-to-write` keeps it from acknowledging what will be lost. Replicas are refused.",
    ),
    p13: Some(
        "`max_entries` (100,000 by default) trims what is younger than `retention`; a server that evicts keys \
         (`maxmemory-policy allkeys-…`) may take the whole log, and is refused unless that is accepted. Each is told, and \
         flushes whoever was behind.",
    ),
};

const NATS: Words = Words {
    log: "nats",
    with: "",
    joined_by: None,
    forgets: "what is older than `retention`, or beyond the stream's limits",
    p1: Some(
        "By default servers sync every two minutes: when a machine crashes (not a process), what was acknowledged since may be \
         lost. Who had read it is told; **who had not cannot be**, and is bounded by its TTL alone.",
    ),
    p2: Some(TWO_STEPS),
    p3: Some(
        "There is one copy, which answers for itself: one that was restored elsewhere, while the old one still serves, is two logs.",
    ),
    p13: Some(
        "The stream's own limits (`max_age`, `max_messages`, `max_bytes`; none by default) take what is younger than \
         `retention`. It is told, and flushes whoever was behind. A cursor right below the first sequence is believed by its numbers.",
    ),
};

const NATS_SYNCED: Words = Words {
    with: "`syncs_always = true`",
    p1: None,
    ..NATS
};

const NATS_REPLICATED: Words = Words {
    with: "`replicas = 3`",
    p1: Some(
        "A machine that crashes loses nothing as long as it is a minority. When all lose power, what was acknowledged since the \
         last sync may be lost, as with one replica.",
    ),
    p3: Some(
        "A leader that is cut off from the others goes on answering for some ten seconds, and no read can tell. So \
         `max_staleness` is refused on this log: TTLs bound staleness.",
    ),
    ..NATS
};

const ETCD: Words = Words {
    log: "etcd",
    with: "",
    joined_by: Some(
        "`EtcdTransaction`, conditions and operations on business data in the same etcd; elsewhere `in_two_steps`",
    ),
    forgets: "what falls out of a ring: 16 × 64 entries, whatever `retention`",
    p1: None,
    p2: None,
    p3: None,
    p13: Some(
        "`retention` holds nothing back: a node that is further behind than `rings` × `ring_entries` flushes. Each ring tells \
         what fell out of it.",
    ),
};
