//! Ages, by the server's clock alone.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::{InvalidationLog as _, Page, ReadRequest, ReadStart, Tick};
use invalidation_testbed::{RedisSetup, Server};
use invalidation_transport_redis::RedisLog;
use libtest_mimic::Trial;

use super::bed::{Reader, append, cluster, key, node, own, run, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "purging::one_who_had_passed_it_reads_on",
            shared,
            |server| one_who_had_passed_it_reads_on(server.address()),
        ),
        trial(
            "purging::an_age_of_another_clock_counts_from_the_next_row",
            own,
            another_clock,
        ),
        trial(
            "purging::a_row_from_the_future_is_no_obstacle",
            shared,
            |server| a_row_from_the_future_is_no_obstacle(server.address()),
        ),
        trial("purging::exactly_what_is_older_goes", shared, |server| {
            exactly_what_is_older_goes(server.address())
        }),
        trial("purging::a_long_log_goes_in_steps", shared, |server| {
            a_long_log_goes_in_steps(server.address())
        }),
    ]
}

async fn purge(log: &RedisLog, retention: Duration) -> u64 {
    log.purge(retention).await.unwrap().entries
}

async fn length(to: SocketAddr, log: &RedisLog) -> u64 {
    run(to, &["XLEN", log.key()]).await
}

/// The server's time in microseconds.
async fn now(to: SocketAddr) -> u64 {
    let (seconds, micros): (u64, u64) = run(to, &["TIME"]).await;
    seconds * 1_000_000 + micros
}

/// Adds a row whose age is this, stamped under the server's present history.
async fn row_of_age(to: SocketAddr, log: &RedisLog, number: u64, age: i64) {
    let info: String = run(to, &["INFO", "replication"]).await;
    let history = info
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"));
    let at = (now(to).await.cast_signed() - age).to_string();
    let id = format!("{number}-0");
    let row = [
        "XADD",
        log.key(),
        &id,
        "nonce",
        "7",
        "prev",
        "",
        "at",
        &at,
        "clock",
        &history.unwrap()[..8],
        "cache",
        "users",
        "scope",
        "all",
        "items",
        "",
    ];
    let _: String = run(to, &row).await;
}

const HOUR: Duration = Duration::from_secs(3_600);
const MICROS: i64 = 1_000_000;

/// P17: what was stamped under another history may have been stamped by another machine's clock: it goes once a row behind
/// it is old by this one.
async fn another_clock(server: Server) {
    let to = server.address();
    let log = node(to, &cluster()).await;
    append(&log, &["1", "2", "3"]).await;
    // Its history has another name from here on.
    let _replica = RedisSetup::new().replica_of(to).start().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(purge(&log, Duration::from_micros(1)).await, 0);
    append(&log, &["4"]).await;
    assert_eq!(purge(&log, HOUR).await, 0);
    append(&log, &["5"]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(purge(&log, Duration::from_millis(1)).await, 4);
}

/// A clock that was ahead and set back keeps nothing from being purged.
async fn a_row_from_the_future_is_no_obstacle(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    for number in 1..=5 {
        row_of_age(to, &log, number, -24 * 3_600 * MICROS).await;
    }
    row_of_age(to, &log, 6, 2 * 3_600 * MICROS).await;
    row_of_age(to, &log, 7, 0).await;
    row_of_age(to, &log, 8, 0).await;
    assert_eq!(purge(&log, HOUR).await, 6);
}

/// Contract: the boundary is found wherever it is, and the newest row stays.
async fn exactly_what_is_older_goes(to: SocketAddr) {
    for count in 1..=9 {
        for old in 0..=count {
            let log = node(to, &cluster()).await;
            for number in 1..=count {
                let age = if number <= old { 2 * 3_600 * MICROS } else { 0 };
                row_of_age(to, &log, number, age).await;
            }
            // A hole is no boundary.
            let hole = old % 3;
            let gone = if hole > 0 && hole < count {
                run::<u64>(to, &["XDEL", log.key(), &format!("{hole}-0")]).await
            } else {
                0
            };
            let expected = old.min(count - 1) - if hole <= old { gone } else { 0 };
            assert_eq!(purge(&log, HOUR).await, expected, "{old} of {count}");
            assert_eq!(purge(&log, HOUR).await, 0);
        }
    }
}

/// Contract: in small chunks.
async fn a_long_log_goes_in_steps(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    for part in 0..3 {
        let entries: Vec<_> = (0..4_000)
            .map(|number| key(format!("{part}/{number}")))
            .collect();
        log.append(&entries).await.unwrap();
    }
    assert_eq!(purge(&log, HOUR).await, 0);
    assert_eq!(length(to, &log).await, 12_000);
    assert_eq!(purge(&log, Duration::ZERO).await, 11_999);
    assert_eq!(length(to, &log).await, 1);
    append(&log, &["more"]).await;
}

/// P13: one who had passed exactly what went reads on, wherever in an append that is.
async fn one_who_had_passed_it_reads_on(to: SocketAddr) {
    for passed in 1..=4 {
        let log = node(to, &cluster()).await;
        let start = log.head().await.unwrap();
        append(&log, &["1"]).await;
        log.append(&[key("2"), key("3"), key("4")]).await.unwrap();
        append(&log, &["5"]).await;
        let mut request = ReadRequest::new(&start, ReadStart::new(Tick::from_nanos(1), 1));
        request.max_entries = passed;
        let Page::Entries { next, .. } = log.read(request).await.unwrap() else {
            panic!("expected entries");
        };
        let mut reader = Reader {
            log: &log,
            cursor: next,
        };
        let oldest = format!("{}-0", passed + 1);
        let _: u64 = run(to, &["XTRIM", log.key(), "MINID", &oldest]).await;
        let rest: Vec<_> = (passed + 1..=5).map(|number| number.to_string()).collect();
        assert_eq!(reader.read().await, Ok(rest), "{passed} were passed");
    }
}
