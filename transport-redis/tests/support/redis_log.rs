//! The harness of the Redis log: a key for each case, on a Redis that no other case uses meanwhile, for a user with the
//! rights that the documentation names.

#[path = "redis_transaction.rs"]
mod redis_transaction;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_conformance::{
    BusinessTransaction, Disruption, LogHarness, LogSpace, Stranger, Unable,
};
use invalidation_core::{Error, Nonce, SharedLog};
use invalidation_testbed::{Offer, Proxy, RedisSetup, Required, Server};
use invalidation_transport_redis::{RedisLog, RedisLogBuilder};
use parking_lot::{Mutex, RwLock};
use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection};

use self::redis_transaction::Transaction;

/// What no error may show.
const PASSWORD: &str = "correct-horse-battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes logs, each under a key of its own.
#[derive(Default)]
pub(crate) struct RedisLogs {
    /// Servers that a case left as they were.
    idle: Arc<Mutex<Vec<Rig>>>,
}

/// A server and the way to it.
struct Rig {
    front: Proxy,
    server: Server,
    /// The replica that took over.
    replica: RwLock<Option<Arc<Server>>>,
}

/// What the documentation of the log asks for.
fn setup() -> RedisSetup {
    RedisSetup::new()
        .directive(&format!(
            "user app on >{PASSWORD} ~cache_invalidation:* +eval +evalsha +eval_ro +evalsha_ro +info +type +time +xinfo \
             +xgroup +xadd +xrange +xrevrange +xtrim"
        ))
        .directive(&format!(
            "user weak on >{PASSWORD} %R~cache_invalidation:* +eval_ro +evalsha_ro +info +type +xinfo +xrange"
        ))
}

impl Rig {
    fn start() -> Result<Self, invalidation_testbed::Error> {
        let server = setup().start()?;
        Ok(Self {
            front: Proxy::to(server.address())?,
            server,
            replica: RwLock::new(None),
        })
    }

    /// Where the primary is now.
    fn address(&self) -> SocketAddr {
        let replica = self.replica.read();
        replica
            .as_ref()
            .map_or(self.server.address(), |replica| replica.address())
    }
}

#[async_trait]
impl LogHarness for RedisLogs {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let idle = self.idle.lock().pop();
        let rig = match idle {
            Some(rig) => rig,
            None => {
                let started =
                    Required::from_env().and_then(|required| required.decide(Rig::start()));
                match started.expect("the server starts") {
                    Offer::Here(rig) => rig,
                    Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
                }
            }
        };
        let cluster = format!("case {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let joined = builder(&cluster, "redis", "app", rig.front.address());
        Ok(Box::new(Space {
            rig: Some(rig),
            joined: Arc::new(joined.connect_later().expect("good settings")),
            cluster,
            spoilt: AtomicBool::new(false),
            idle: Arc::clone(&self.idle),
        }))
    }
}

struct Space {
    /// There until it is dropped.
    rig: Option<Rig>,
    cluster: String,
    /// The handle of who writes business data.
    joined: Arc<RedisLog>,
    /// Whether the servers are no longer as others want them.
    spoilt: AtomicBool,
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take()
            && !self.spoilt.load(Ordering::Relaxed)
            && !std::thread::panicking()
        {
            self.idle.lock().push(rig);
        }
    }
}

impl Space {
    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("until it is dropped")
    }

    fn key(&self) -> String {
        format!("cache_invalidation:{{{}}}:log", self.cluster)
    }

    fn builder(&self, scheme: &str, user: &str, to: SocketAddr) -> RedisLogBuilder {
        builder(&self.cluster, scheme, user, to)
    }

    /// Runs a command as the administrator, on the primary.
    async fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        run(self.rig().address(), command).await
    }

    fn server(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        self.spoilt.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.rig().server.folder().join(name)
    }

    /// A replica that has everything takes over, and the name leads to it.
    async fn fail_over(&self) {
        let rig = self.rig();
        let replica = setup().replica_of(rig.server.address()).start();
        let replica = replica.expect("a replica starts");
        loop {
            // What a primary says of itself: its role, how far it is, and how far each replica is.
            let (_, offset, replicas): (String, u64, Vec<(String, String, String)>) =
                self.run(&["ROLE"]).await;
            let has = |replica: &(String, String, String)| replica.2.parse::<u64>();
            if replicas
                .iter()
                .any(|replica| has(replica).is_ok_and(|has| has >= offset))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.server("kill", rig.server.kill());
        let () = run(replica.address(), &["REPLICAOF", "NO", "ONE"]).await;
        rig.front.lead_to(replica.address());
        *rig.replica.write() = Some(Arc::new(replica));
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        let log = self.builder("redis", "app", self.rig().front.address());
        Ok(Arc::new(log.connect_later().expect("good settings")))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        let log = self.builder("redis", "weak", self.rig().front.address());
        Ok(Arc::new(log.connect_later().expect("good settings")))
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        let front = self.rig().front.address();
        let log = match stranger {
            Stranger::OtherCluster => self.builder("redis", "app", front).cluster("another"),
            Stranger::WrongSecret => self.builder("redis", "app", front).password(WRONG_PASSWORD),
            // The discard port, where nobody listens.
            Stranger::WrongHost => self.builder("redis", "app", ([127, 0, 0, 1], 9).into()),
            Stranger::WrongTls => self.builder("rediss", "app", front),
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot make a stranger ({stranger:?})"
                )));
            }
        };
        Ok(log.connect_later().map(|log| Arc::new(log) as SharedLog))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let (to, log) = (self.rig().front.address(), Arc::clone(&self.joined));
        Ok(Box::new(Transaction::new(to, log, &self.cluster)))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let key = Transaction::row(&self.cluster, key);
        Ok(self.run(&["GET", &key]).await)
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let key = self.key();
        let newest: Vec<(String, Vec<String>)> =
            self.run(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]).await;
        let number: u64 = newest
            .first()
            .and_then(|(id, _)| id.strip_suffix("-0"))
            .map_or(0, |number| number.parse().expect("a number"));
        let id = format!("{}-0", number + 1);
        let row = [
            "nonce", "5", "cache", "users", "scope", "prefixes", "items", "[\"1\"]",
        ];
        let command = [&["XADD", &key, &id][..], &row].concat();
        let _: String = self.run(&command).await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        let stats: String = self.run(&["INFO", "commandstats"]).await;
        let calls = |command: &str| -> u64 {
            let prefix = format!("cmdstat_{command}:calls=");
            let found = stats.lines().find_map(|line| line.strip_prefix(&prefix));
            let calls = found.and_then(|rest| rest.split(',').next());
            calls.map_or(0, |calls| calls.parse().expect("a number"))
        };
        Ok(calls("evalsha") + calls("eval"))
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        let rows: Vec<(String, std::collections::HashMap<String, String>)> =
            self.run(&["XRANGE", &self.key(), "-", "+"]).await;
        let nonce = |row: &(String, std::collections::HashMap<String, String>)| {
            row.1.get("nonce").and_then(|nonce| nonce.parse().ok())
        };
        Ok(rows.iter().filter_map(nonce).map(Nonce).collect())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        let rig = self.rig();
        let key = self.key();
        let set = |name: &'static str, value: &'static str| ["CONFIG", "SET", name, value];
        match disruption {
            Disruption::Stop => {
                // As a server that is set to save does it itself.
                let () = self.run(&["SAVE"]).await;
                self.server("stop", rig.server.stop());
            }
            Disruption::Kill => self.server("kill", rig.server.kill()),
            Disruption::Restart => self.server("restart", rig.server.restart()),
            Disruption::Pause => self.server("pause", rig.server.pause()),
            Disruption::Resume => self.server("resume", rig.server.resume()),
            Disruption::Cut => rig.front.cut(),
            Disruption::BlackHole => rig.front.black_hole(),
            Disruption::Delay(by) => rig.front.delay(by),
            Disruption::Heal => rig.front.heal(),
            Disruption::Fill => self.run(&set("maxmemory", "1")).await,
            Disruption::Empty => self.run(&set("maxmemory", "0")).await,
            Disruption::ReadOnly => self.run(&set("min-replicas-to-write", "1")).await,
            Disruption::Writable => self.run(&set("min-replicas-to-write", "0")).await,
            Disruption::Snapshot => {
                let () = self.run(&["SAVE"]).await;
                std::fs::copy(self.file("dump.rdb"), self.file("snapshot.rdb"))
                    .expect("the dump is copied");
            }
            Disruption::Restore => {
                self.server("kill", rig.server.kill());
                std::fs::copy(self.file("snapshot.rdb"), self.file("dump.rdb"))
                    .expect("the dump is copied");
                self.server("restart", rig.server.restart());
            }
            Disruption::Recreate => self.run(&["DEL", &key]).await,
            Disruption::DeleteAll => self.run(&["XTRIM", &key, "MAXLEN", "0"]).await,
            Disruption::DeleteNewest => {
                let newest: Vec<(String, Vec<String>)> =
                    self.run(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]).await;
                let (id, _) = newest.first().expect("there is one");
                self.run(&["XDEL", &key, id]).await
            }
            Disruption::Trim { keep } => {
                self.run(&["XTRIM", &key, "MAXLEN", &keep.to_string()])
                    .await
            }
            Disruption::FailOver => self.fail_over().await,
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot {disruption:?}"
                )));
            }
        }
        Ok(())
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into(), WRONG_PASSWORD.into()]
    }
}

fn builder(cluster: &str, scheme: &str, user: &str, to: SocketAddr) -> RedisLogBuilder {
    RedisLog::builder(&format!("{scheme}://{user}:{PASSWORD}@{to}"))
        .cluster(cluster)
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
}

/// One of the administrator.
async fn connect(to: SocketAddr) -> Result<MultiplexedConnection, RedisError> {
    let client = redis::Client::open(format!("redis://{to}"))?;
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

async fn run<T: FromRedisValue>(to: SocketAddr, command: &[&str]) -> T {
    let connection = connect(to).await;
    let mut connection = connection.expect("a connection of the administrator");
    let mut all = redis::cmd(command[0]);
    all.arg(&command[1..]);
    let answer = all.query_async(&mut connection).await;
    answer.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}
