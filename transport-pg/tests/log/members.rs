//! The members of the cluster: who tells of himself in the log's polls, and who learns of it.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::{
    Completeness, Cursor, ErrorKind, InvalidationLog, Member, NodeId, Page, ReadRequest,
};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_pg::{PgLog, PgLogBuilder};
use libtest_mimic::Trial;
use tokio::sync::watch;

use crate::bed::{
    self, builder, connect, database, entry, eventually, installed, key, run, start, url, url_as,
    value,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial("members_come_and_go", bed::shared, |server| async {
            members_come_and_go(server.address(), server).await;
        }),
        bed::trial(
            "members_come_and_go_behind_a_pooler",
            || invalidation_testbed::shared(Backend::Pgbouncer),
            |pooler| async {
                members_come_and_go(pooler.address(), bed::shared().unwrap()).await;
            },
        ),
        bed::trial(
            "many_members_see_each_other",
            bed::own,
            |server| async move {
                many_members_see_each_other(&server).await;
            },
        ),
        bed::trial(
            "an_idle_poll_writes_nothing",
            bed::own,
            |server| async move {
                an_idle_poll_writes_nothing(server.address(), &server).await;
            },
        ),
        bed::trial(
            "P1_a_poll_with_a_heartbeat_reads_all",
            bed::shared,
            |server| async { a_poll_with_a_heartbeat_reads_all(server.address(), server).await },
        ),
        bed::trial(
            "P1_a_poll_with_a_heartbeat_reads_all_behind_a_pooler",
            || invalidation_testbed::shared(Backend::Pgbouncer),
            |pooler| async {
                a_poll_with_a_heartbeat_reads_all(pooler.address(), bed::shared().unwrap()).await;
            },
        ),
        bed::trial(
            "P15_a_node_without_the_right_reads_on",
            bed::own,
            |server| async move {
                a_node_without_the_right_reads_on(&server).await;
            },
        ),
        bed::trial(
            "P20_a_heartbeat_that_waits_costs_one_poll",
            bed::shared,
            |server| async {
                a_heartbeat_that_waits_costs_one_poll(server).await;
            },
        ),
        bed::trial(
            "a_crash_forgets_members_and_nobody_notices",
            bed::shared,
            |server| async {
                a_crash_forgets_members_and_nobody_notices(server).await;
            },
        ),
    ]
}

/// Much less than a trial's patience, and much more than a poll.
const SHORT: Duration = Duration::from_secs(2);

/// A node, as far as its log goes.
struct Reader {
    log: PgLog,
    own: Member,
    others: watch::Receiver<Option<std::sync::Arc<[Member]>>>,
    cursor: Cursor,
}

impl Reader {
    async fn start(builder: PgLogBuilder, address: &str) -> Self {
        let log = builder.connect().await.unwrap();
        let members = log.members().unwrap();
        let own = Member::new(NodeId::random(), address.to_owned());
        members.announce(own.clone());
        Self {
            cursor: log.head().await.unwrap(),
            others: members.others(),
            own,
            log,
        }
    }

    async fn read(&mut self) -> Result<Page, invalidation_core::Error> {
        let page = self
            .log
            .read(ReadRequest::new(&self.cursor, start(1)))
            .await;
        if let Ok(Page::Entries { next, .. } | Page::Expired { next, .. }) = &page {
            self.cursor = next.clone();
        }
        page
    }

    async fn poll(&mut self) {
        self.read().await.unwrap();
    }

    fn knows(&self, others: &[&Member]) -> bool {
        let mut others: Vec<_> = others.iter().copied().cloned().collect();
        others.sort();
        self.others.borrow().as_deref() == Some(&others)
    }
}

/// Contract: each learns of all others from its polls alone, also of a new address; who closes is gone at once, and who
/// was killed after its time.
async fn members_come_and_go(way: SocketAddr, server: &Server) {
    let database = database(server).await;
    installed(&url(server.address(), &database)).await;
    let builder = || builder(&url(way, &database)).members_expire_after(SHORT);
    let mut a = Reader::start(builder(), "http://10.0.0.1:7400").await;
    let mut b = Reader::start(builder(), "http://10.0.0.2:7400").await;
    let mut c = Reader::start(builder(), "http://10.0.0.3:7400").await;
    eventually!("each knows both others", {
        for reader in [&mut a, &mut b, &mut c] {
            reader.poll().await;
        }
        let all =
            a.knows(&[&b.own, &c.own]) && b.knows(&[&a.own, &c.own]) && c.knows(&[&a.own, &b.own]);
        all.then_some(())
    });

    b.own.address = "http://10.0.0.22:7400".into();
    b.log.members().unwrap().announce(b.own.clone());
    b.poll().await;
    eventually!("the new address is known", {
        a.poll().await;
        c.poll().await;
        a.knows(&[&b.own, &c.own]).then_some(())
    });

    b.poll().await;
    b.log.close().await.unwrap();
    let mut admin = connect(&url(server.address(), &database)).await;
    let there = format!(
        "SELECT count(*)::text FROM cache_invalidation.members WHERE node = '{}'",
        b.own.node
    );
    assert_eq!(value(&mut admin, &there).await, "0", "it has left");
    eventually!("it is gone", {
        a.poll().await;
        c.poll().await;
        a.knows(&[&c.own]).then_some(())
    });

    // As a process that was killed.
    let killed = c.own.clone();
    drop(c);
    eventually!("its time is over", {
        a.poll().await;
        a.knows(&[]).then_some(())
    });
    a.log.purge(Duration::from_secs(3_600)).await.unwrap();
    let there = format!(
        "SELECT count(*)::text FROM cache_invalidation.members WHERE node = '{}'",
        killed.node
    );
    assert_eq!(value(&mut admin, &there).await, "0", "a purge takes it out");
}

/// Contract: a fleet that starts at once knows itself, beside a transaction that keeps the server from cleaning up.
async fn many_members_see_each_other(server: &Server) {
    const MANY: usize = 60;
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let mut held = connect(&url).await;
    run(&mut held, "BEGIN; SELECT pg_current_xact_id()").await;
    log.close().await.unwrap();
    let mut fleet = Vec::new();
    for number in 0..MANY {
        let address = format!("http://10.0.1.{number}:7400");
        let builder = builder(&url).members_expire_after(Duration::from_secs(6));
        fleet.push(Reader::start(builder, &address).await);
    }
    eventually!("each knows all others", {
        let mut know = 0;
        for reader in &mut fleet {
            reader.poll().await;
            let others = reader.others.borrow();
            know += usize::from(others.as_ref().is_some_and(|all| all.len() == MANY - 1));
        }
        (know == MANY).then_some(())
    });
    run(&mut held, "ROLLBACK").await;
}

/// Cost: of a hundred polls within one heartbeat one writes; and none of a node that has no use for members.
async fn an_idle_poll_writes_nothing(way: SocketAddr, server: &Server) {
    let url = url(way, &database(server).await);
    installed(&url).await;
    let mut admin = connect(&url).await;
    run(&mut admin, "ALTER SYSTEM SET autovacuum = off").await;
    run(&mut admin, "SELECT pg_reload_conf()").await;
    let next_xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    for (announces, most) in [(true, 1), (false, 0)] {
        let builder = builder(&url).members_expire_after(Duration::from_secs(3_600));
        let mut reader = if announces {
            Reader::start(builder, "http://10.0.0.1:7400").await
        } else {
            let log = builder.connect().await.unwrap();
            let (_, others) = watch::channel(None);
            Reader {
                cursor: log.head().await.unwrap(),
                own: Member::new(NodeId::random(), String::new()),
                others,
                log,
            }
        };
        let before: u64 = value(&mut admin, next_xid).await.parse().unwrap();
        for _ in 0..100 {
            reader.poll().await;
        }
        let after: u64 = value(&mut admin, next_xid).await.parse().unwrap();
        assert_eq!(after - before, most, "xids of 100 polls");
    }
}

/// P1: each entry comes exactly once, whichever polls beat, with and without open transactions.
async fn a_poll_with_a_heartbeat_reads_all(way: SocketAddr, server: &Server) {
    let database = database(server).await;
    let direct = url(server.address(), &database);
    let writer = installed(&direct).await;
    // Each poll beats.
    let builder = builder(&url(way, &database)).members_expire_after(Duration::from_nanos(3));
    let mut reader = Reader::start(builder, "http://10.0.0.1:7400").await;
    let mut held = connect(&direct).await;
    let mut found = Vec::new();
    let mut expected = Vec::new();
    for round in 0..30 {
        if round % 10 == 0 {
            run(
                &mut held,
                &format!("BEGIN; SELECT cache_invalidation.keys('users', 'held {round}')"),
            )
            .await;
        }
        if round % 10 == 5 {
            run(&mut held, "COMMIT").await;
        }
        let entries = [key(&format!("{round} a")), key(&format!("{round} b"))];
        writer.append(&entries).await.unwrap();
        expected.extend(entries);
        match reader.read().await.unwrap() {
            Page::Entries {
                entries, complete, ..
            } => {
                assert_ne!(complete, Completeness::Partial);
                found.extend(entries.into_iter().map(entry));
            }
            other => panic!("{other:?}"),
        }
    }
    let held = found.len() - expected.len();
    assert_eq!(held, 3, "one of each transaction that was held open");
    found.retain(|entry| expected.iter().any(|other| other.nonce == entry.nonce));
    assert_eq!(found, expected);
}

/// P15: who may not write the members, or not even read them, reads the log; the former sees the others.
async fn a_node_without_the_right_reads_on(server: &Server) {
    let database = database(server).await;
    let owner = url(server.address(), &database);
    let writer = installed(&owner).await;
    let mut known = Reader::start(builder(&owner), "http://10.0.0.1:7400").await;
    known.poll().await;
    let mut admin = connect(&owner).await;
    for (role, revoked) in [("mute", "INSERT, UPDATE"), ("blind", "ALL")] {
        run(&mut admin, &format!("CREATE ROLE {role} LOGIN")).await;
        let grants = PgLog::grant_sql("cache_invalidation", role).unwrap();
        run(&mut admin, &grants).await;
        let revoke = format!("REVOKE {revoked} ON cache_invalidation.members FROM {role}");
        run(&mut admin, &revoke).await;
        let theirs = url_as(role, server.address(), &database);
        let mut reader = Reader::start(builder(&theirs), "http://10.0.0.9:7400").await;
        let entries = [key(role)];
        writer.append(&entries).await.unwrap();
        let mut found = Vec::new();
        for _ in 0..3 {
            if let Page::Entries { entries, .. } = reader.read().await.unwrap() {
                found.extend(entries.into_iter().map(entry));
            }
        }
        assert_eq!(found, entries, "{role}");
        assert_eq!(reader.knows(&[&known.own]), role == "mute", "{role}");
        reader.log.purge(Duration::from_secs(3_600)).await.unwrap();
        reader.log.close().await.unwrap();
    }
    let rows = "SELECT count(*)::text FROM cache_invalidation.members";
    assert_eq!(value(&mut admin, rows).await, "1");
}

/// P20: while the members cannot be written, polls go on without them.
async fn a_heartbeat_that_waits_costs_one_poll(server: &Server) {
    let url = url(server.address(), &database(server).await);
    installed(&url).await;
    let mut lock = connect(&url).await;
    let lock_it = "BEGIN; LOCK TABLE cache_invalidation.members";
    run(&mut lock, lock_it).await;
    let builder = builder(&url).read_timeout(Duration::from_millis(200));
    let mut reader = Reader::start(builder, "http://10.0.0.1:7400").await;
    assert_eq!(reader.read().await.unwrap_err().kind, ErrorKind::TimedOut);
    // On a busy machine a poll may take longer than its time for other reasons.
    eventually!("the next one reads", reader.read().await.ok());
    let seen = reader.others.borrow().is_none();
    assert!(seen, "it was read without the members");
    run(&mut lock, "ROLLBACK").await;
}

/// Contract: after a crash the table is empty until all have polled once; nobody takes that for an empty cluster.
async fn a_crash_forgets_members_and_nobody_notices(server: &Server) {
    let url = url(server.address(), &database(server).await);
    installed(&url).await;
    let mut a = Reader::start(builder(&url), "http://10.0.0.1:7400").await;
    let mut b = Reader::start(builder(&url), "http://10.0.0.2:7400").await;
    a.poll().await;
    b.poll().await;
    a.log.members().unwrap().announce(a.own.clone());
    assert!(b.knows(&[&a.own]));
    let mut admin = connect(&url).await;
    // What recovery does to unlogged tables.
    let crash = "TRUNCATE cache_invalidation.epoch, cache_invalidation.members";
    run(&mut admin, crash).await;
    for _ in 0..5 {
        b.poll().await;
        assert!(b.knows(&[&a.own]), "those known are kept");
    }
    a.poll().await;
    a.poll().await;
    let rows = "SELECT count(*)::text FROM cache_invalidation.members";
    assert_eq!(value(&mut admin, rows).await, "2", "both are back");
}
