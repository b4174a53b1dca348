//! Replicas that take over, with or without the last entries.

use std::net::SocketAddr;

use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _};
use invalidation_testbed::{Error as Broken, Proxy, RedisSetup, Server};
use invalidation_transport_redis::RedisLog;
use libtest_mimic::Trial;

use super::{
    bed::{
        PATIENCE, Reader, append, appends_again, builder, cluster, key, node, own, request, run,
        trial, until,
    },
    restoring::Tells,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "failing_over::a_lost_tail_whose_ids_are_used_again_is_told",
            pair,
            a_lost_tail_is_told,
        ),
        trial(
            "failing_over::what_a_replaced_primary_took_is_told_by_a_read",
            pair,
            |pair| what_a_replaced_primary_took_is_told(pair, &[], Tells::ByReading),
        ),
        trial(
            "failing_over::what_a_replaced_primary_took_is_told_by_an_append",
            pair,
            |pair| what_a_replaced_primary_took_is_told(pair, &[], Tells::ByAppending),
        ),
        trial(
            "failing_over::ids_that_both_primaries_gave_are_told_by_a_read",
            pair,
            |pair| what_a_replaced_primary_took_is_told(pair, &["3", "4"], Tells::ByReading),
        ),
        trial(
            "failing_over::ids_that_both_primaries_gave_are_told_by_an_append",
            pair,
            |pair| what_a_replaced_primary_took_is_told(pair, &["3"], Tells::ByAppending),
        ),
        trial(
            "failing_over::a_replaced_primary_takes_no_second_append",
            pair,
            a_replaced_primary_takes_no_second_append,
        ),
        trial(
            "failing_over::there_and_back_is_told",
            pair,
            there_and_back_is_told,
        ),
        trial(
            "failing_over::a_first_replica_is_told_once",
            own,
            a_first_replica_is_told_once,
        ),
        trial(
            "failing_over::a_replica_is_refused",
            pair,
            a_replica_is_refused,
        ),
    ]
}

/// A primary, and a replica whose link can be cut.
struct Pair {
    primary: Server,
    replica: Server,
    link: Proxy,
}

fn pair() -> Result<Pair, Broken> {
    let primary = own()?;
    let link = Proxy::to(primary.address())?;
    let replica = RedisSetup::new().replica_of(link.address()).start()?;
    Ok(Pair {
        primary,
        replica,
        link,
    })
}

/// A replica of everything so far took over, and the old primary knows nothing of it; the name leads to the new one.
async fn split(pair: &Pair, front: &Proxy, log: &RedisLog) {
    let rows = length(pair.primary.address(), log.key()).await;
    until("the replica has what was appended", || async {
        (length(pair.replica.address(), log.key()).await == rows).then_some(())
    })
    .await;
    pair.link.cut();
    promote(pair.replica.address()).await;
    front.lead_to(pair.replica.address());
}

async fn length(to: SocketAddr, key: &str) -> u64 {
    run(to, &["XLEN", key]).await
}

async fn promote(to: SocketAddr) {
    let () = run(to, &["REPLICAOF", "NO", "ONE"]).await;
}

/// P1, P10: the replica lacks the last entries, takes over and gives their ids anew: everybody is told, whether he had read
/// them or not, and nothing new is skipped.
async fn a_lost_tail_is_told(pair: Pair) {
    let front = Proxy::to(pair.primary.address()).unwrap();
    let log = node(front.address(), &cluster()).await;
    let mut behind = Reader::cold(&log).await;
    append(&log, &["1", "2"]).await;
    let mut between = Reader::cold(&log).await;
    until("the replica has what was appended", || async {
        (length(pair.replica.address(), log.key()).await == 2).then_some(())
    })
    .await;
    pair.link.cut();
    append(&log, &["lost 3", "lost 4"]).await;
    let lost = log.append(&[key("lost 5")]).await.unwrap();
    let mut ahead = Reader::cold(&log).await;
    pair.primary.kill().unwrap();
    promote(pair.replica.address()).await;
    front.lead_to(pair.replica.address());
    appends_again(&log).await.unwrap();
    append(&log, &["4", "5", "6"]).await;
    for reader in [&mut behind, &mut between, &mut ahead] {
        assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
        assert!(!log.covers(&reader.cursor, &lost[0]));
        assert_eq!(reader.read().await, Ok(Vec::new()));
    }
    behind.goes_on().await;
}

/// P1: an entry is acknowledged by a primary that was replaced already, of which everybody was told before: whoever appended
/// it tells all of them, with its first call to the new primary, also when that has given the same ids anew.
async fn what_a_replaced_primary_took_is_told(pair: Pair, again: &[&str], tells: Tells) {
    let front = Proxy::to(pair.primary.address()).unwrap();
    let cluster = cluster();
    let log = node(front.address(), &cluster).await;
    append(&log, &["1", "2"]).await;
    let mut own = Reader::cold(&log).await;
    split(&pair, &front, &log).await;
    let other = node(pair.replica.address(), &cluster).await;
    let mut reader = Reader::cold(&other).await;
    append(&log, &["lost"]).await;
    append(&other, again).await;
    // It cannot tell by itself.
    assert_eq!(reader.read().await.unwrap(), again);
    pair.primary.kill().unwrap();
    match tells {
        Tells::ByReading => assert_eq!(own.read().await, Err(GapReason::IdentityChanged)),
        Tells::ByAppending => appends_again(&log).await.unwrap(),
    }
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
    // Once.
    own.read().await.ok();
    append(&log, &["new"]).await;
    assert_eq!(reader.read().await, Ok(vec!["new".to_owned()]));
}

/// P1: a log whose one connection leads to the new primary, and the other still to the old one, leaves that.
async fn a_replaced_primary_takes_no_second_append(pair: Pair) {
    let front = Proxy::to(pair.primary.address()).unwrap();
    let cluster = cluster();
    let log = node(front.address(), &cluster).await;
    append(&log, &["1", "2"]).await;
    let mut own = Reader::cold(&log).await;
    split(&pair, &front, &log).await;
    let other = node(pair.replica.address(), &cluster).await;
    let mut reader = Reader::cold(&other).await;
    // The connection that reads ends, and the next one leads to the new primary.
    let clients: String = run(pair.primary.address(), &["CLIENT", "LIST"]).await;
    let reads = clients.lines().find(|line| line.contains("_ro "));
    let id = reads.and_then(|line| line.split_once("id=")?.1.split(' ').next());
    let _: u64 = run(
        pair.primary.address(),
        &["CLIENT", "KILL", "ID", id.unwrap()],
    )
    .await;
    assert_eq!(own.read().await, Err(GapReason::IdentityChanged));
    append(&log, &["lost"]).await;
    assert_eq!(own.read().await, Err(GapReason::IdentityChanged));
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    append(&log, &["3"]).await;
    assert_eq!(reader.read().await, Ok(vec!["3".to_owned()]));
}

/// P10: the old primary follows the new one, and takes over again: its process is the same as ever, and its past is not.
async fn there_and_back_is_told(pair: Pair) {
    let (first, second) = (pair.primary.address(), pair.replica.address());
    let log = node(first, &cluster()).await;
    append(&log, &["1", "2"]).await;
    until("the replica has what was appended", || async {
        (length(second, log.key()).await == 2).then_some(())
    })
    .await;
    let mut reader = Reader::cold(&log).await;
    pair.link.cut();
    append(&log, &["lost"]).await;
    promote(second).await;
    let () = run(
        first,
        &["REPLICAOF", "127.0.0.1", &second.port().to_string()],
    )
    .await;
    until("the old primary has thrown its tail away", || async {
        (length(first, log.key()).await == 2).then_some(())
    })
    .await;
    promote(first).await;
    // It had not read what was lost, and finds all that it had read.
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
}

/// A first replica gives the server's history another name: that is told as a gap, and nothing is lost.
async fn a_first_replica_is_told_once(server: Server) {
    let to = server.address();
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    let _replica = RedisSetup::new().replica_of(to).start().unwrap();
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    let _second = RedisSetup::new().replica_of(to).start().unwrap();
    reader.goes_on().await;
}

/// P4: a replica is refused when a handle connects, and when the server that it is connected to becomes one.
async fn a_replica_is_refused(pair: Pair) {
    let cluster = cluster();
    let log = node(pair.primary.address(), &cluster).await;
    append(&log, &["1"]).await;
    let refused = builder(pair.replica.address(), &cluster).connect().await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Unavailable);

    promote(pair.replica.address()).await;
    let log = node(pair.replica.address(), &cluster).await;
    let reader = Reader::cold(&log).await;
    let front = pair.primary.address().port().to_string();
    let () = run(pair.replica.address(), &["REPLICAOF", "127.0.0.1", &front]).await;
    // On the connection that was open before.
    let read = tokio::time::timeout(PATIENCE, log.read(request(&reader.cursor))).await;
    assert_eq!(read.unwrap().unwrap_err().kind, ErrorKind::Unavailable);
    let refused = log.append(&[key("2")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
}
