//! Keys and entries that go by hand, or by the server's own will.

use std::net::SocketAddr;

use invalidation_core::{GapReason, InvalidationLog as _};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use super::bed::{Reader, append, builder, cluster, key, node, own, run, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "deleting::a_key_that_goes_is_told",
            own,
            a_key_that_goes_is_told,
        ),
        trial(
            "deleting::an_evicted_log_is_told",
            own,
            an_evicted_log_is_told,
        ),
        trial("deleting::the_cursors_own_row_is_told", shared, |server| {
            the_cursors_own_row_is_told(server.address())
        }),
        trial("deleting::a_row_in_the_middle_is_told", shared, |server| {
            a_row_in_the_middle_is_told(server.address())
        }),
        trial("deleting::what_is_far_too_large_is_cut", own, |server| {
            what_is_far_too_large_is_cut(server)
        }),
        trial("deleting::foreign_ids_are_told", shared, |server| {
            foreign_ids_are_told(server.address())
        }),
        trial("deleting::the_last_id_stops_nobody", shared, |server| {
            the_last_id_stops_nobody(server.address())
        }),
        trial("deleting::too_many_entries_are_told", shared, |server| {
            too_many_entries_are_told(server.address())
        }),
    ]
}

/// P1, P10, P20: whoever reads next makes the log anew, is told, and reads on; so is everybody else, and what was appended
/// between is not missed.
async fn a_key_that_goes_is_told(server: Server) {
    let to = server.address();
    for command in [
        &["FLUSHALL"][..],
        &["DEL", "KEY"],
        &["RENAME", "KEY", "x"],
        &["SWAPDB", "0", "1"],
    ] {
        for appended in [&[][..], &["1"], &["1", "2", "3"]] {
            let cluster = cluster();
            let (log, other) = (node(to, &cluster).await, node(to, &cluster).await);
            let mut from_the_start = Reader::cold(&other).await;
            append(&log, &["1", "2"]).await;
            let mut ahead = Reader::cold(&log).await;
            let command: Vec<_> = command
                .iter()
                .map(|part| if *part == "KEY" { log.key() } else { part })
                .collect();
            let _: redis::Value = run(to, &command).await;
            append(&log, appended).await;
            for reader in [&mut ahead, &mut from_the_start] {
                let told = reader.read().await;
                assert_eq!(told, Err(GapReason::IdentityChanged), "{command:?}");
            }
            ahead.goes_on().await;
            assert_eq!(from_the_start.read().await, Ok(vec!["goes on".to_owned()]));
            // And gone again, without anybody who read it between.
            let _: redis::Value = run(to, &["DEL", log.key()]).await;
            append(&log, &["missed"]).await;
            let _: redis::Value = run(to, &["DEL", log.key()]).await;
            assert_eq!(ahead.read().await, Err(GapReason::IdentityChanged));
        }
    }
}

/// P10: so it is when a server that is full evicts the log.
async fn an_evicted_log_is_told(server: Server) {
    let to = server.address();
    let log = builder(to, &cluster())
        .allow_eviction()
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    let () = run(to, &["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]).await;
    let () = run(to, &["CONFIG", "SET", "maxmemory", "1"]).await;
    // Any write evicts, and is refused only when there is nothing left to evict.
    let mut set = redis::cmd("SET");
    set.arg("x").arg("y");
    let _: redis::RedisResult<()> = set.query_async(&mut super::bed::connection(to).await).await;
    let there: u64 = run(to, &["EXISTS", log.key()]).await;
    assert_eq!(there, 0);
    let () = run(to, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
}

/// P10: the row that a reader read last, and nothing else, is deleted by hand: nothing is skipped.
async fn the_cursors_own_row_is_told(to: SocketAddr) {
    for appended in [&[][..], &["2"], &["2", "3"]] {
        let log = node(to, &cluster()).await;
        append(&log, &["1"]).await;
        let mut reader = Reader::cold(&log).await;
        let _: u64 = run(to, &["XDEL", log.key(), "1-0"]).await;
        append(&log, appended).await;
        assert_eq!(reader.read().await, Err(GapReason::WitnessLost));
        reader.goes_on().await;
    }
}

/// P1: rows between others, which were not read, are missed by nobody in silence.
async fn a_row_in_the_middle_is_told(to: SocketAddr) {
    for gone in ["2-0", "3-0", "4-0"] {
        let log = node(to, &cluster()).await;
        append(&log, &["1"]).await;
        let mut reader = Reader::cold(&log).await;
        append(&log, &["2", "3", "4"]).await;
        let _: u64 = run(to, &["XDEL", log.key(), gone]).await;
        assert_eq!(reader.read().await, Err(GapReason::EntriesLost), "{gone}");
        reader.goes_on().await;
    }
    // One that was read already is as one that was purged: the row behind it names it.
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, &["2"]).await;
    let _: u64 = run(to, &["XDEL", log.key(), "1-0"]).await;
    assert_eq!(reader.read().await, Ok(vec!["2".to_owned()]));
}

/// P12, P20: a row that another program adds, and that is larger than any of ours, is not sent whole: what it may have meant
/// is read, and no read after it is slow.
async fn what_is_far_too_large_is_cut(server: Server) {
    const SENT: u64 = 1 << 20;
    let to = server.address();
    let large = "x".repeat(17 << 20);
    let large = large.as_str();
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    for (at, (row, meant)) in [
        (
            &[
                "nonce", "5", "cache", "users", "scope", "keys", "items", large,
            ][..],
            "cache: Some(\"users\")",
        ),
        (
            &[
                "nonce",
                "6",
                "cache",
                "",
                "scope",
                "everything",
                "items",
                large,
            ],
            "invalidation: Everything",
        ),
        (&["nonce", large, "cache", "users"], "\"users\""),
        (&["nonce", &large[..1_000], "cache", "users"], "\"users\""),
        (&["nonce", "7", "cache", large], "cache: None"),
        (&[large, large], "cache: None"),
    ]
    .into_iter()
    .enumerate()
    {
        // One more was appended with each before.
        let id = format!("{}-0", 2 * at + 2);
        let _: String = run(to, &[&["XADD", log.key(), &id], row].concat()).await;
        let before = sent(to).await;
        let found = reader.read().await.unwrap();
        assert!(
            found.len() == 1 && found[0].contains(meant),
            "{found:.2000?}"
        );
        assert_eq!(reader.read().await, Ok(Vec::new()));
        append(&log, &["after"]).await;
        assert_eq!(reader.read().await, Ok(vec!["after".to_owned()]));
        let sent = sent(to).await - before;
        assert!(sent < SENT, "{sent} bytes");
    }
}

/// How many bytes the server has sent so far.
async fn sent(by: SocketAddr) -> u64 {
    let stats: String = run(by, &["INFO", "stats"]).await;
    let of = |line: &str| line.strip_prefix("total_net_output_bytes:")?.parse().ok();
    stats.lines().find_map(of).unwrap()
}

/// P12: rows that another program adds with ids of its own are told, and the log goes on behind them.
async fn foreign_ids_are_told(to: SocketAddr) {
    for id in ["*", "1-1", "9-0", "9-7"] {
        let log = node(to, &cluster()).await;
        append(&log, &["1"]).await;
        let mut reader = Reader::cold(&log).await;
        let _: String = run(to, &["XADD", log.key(), id, "cache", "users"]).await;
        assert_eq!(reader.read().await, Err(GapReason::EntriesLost), "{id}");
        reader.goes_on().await;
        let mut cold = Reader::cold(&log).await;
        log.append(&[key("2"), key("3")]).await.unwrap();
        assert_eq!(cold.read().await, Ok(vec!["2".to_owned(), "3".to_owned()]));
    }
}

/// P12: a row with the last id that there can be is told to whoever was behind it, and stops no reader, nor one that begins
/// there; deleting the stream makes the log anew.
async fn the_last_id_stops_nobody(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    let last = format!("{0}-{0}", u64::MAX);
    let _: String = run(to, &["XADD", log.key(), &last, "cache", "users"]).await;
    assert_eq!(reader.read().await, Err(GapReason::EntriesLost));
    assert_eq!(reader.read().await, Ok(Vec::new()));
    let mut cold = Reader::cold(&log).await;
    assert_eq!(cold.read().await, Ok(Vec::new()));
    let _: u64 = run(to, &["DEL", log.key()]).await;
    assert!(cold.read().await.is_err(), "a log made anew is told");
    append(&log, &["2"]).await;
    assert_eq!(cold.read().await, Ok(vec!["2".to_owned()]));
}

/// P13: what exceeds `max_entries` is told to whoever had not read it.
async fn too_many_entries_are_told(to: SocketAddr) {
    let log = builder(to, &cluster())
        .max_entries(1_000)
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    let mut from_the_start = Reader::cold(&log).await;
    append(&log, &["1"]).await;
    let mut behind = Reader::cold(&log).await;
    let many: Vec<_> = (0..2_000).map(|number| key(number.to_string())).collect();
    log.append(&many).await.unwrap();
    let kept: u64 = run(to, &["XLEN", log.key()]).await;
    assert!((1_000..1_200).contains(&kept), "{kept}");
    for reader in [&mut from_the_start, &mut behind] {
        assert_eq!(reader.read().await, Err(GapReason::Purged));
        assert_eq!(reader.read().await, Ok(Vec::new()));
    }
    behind.goes_on().await;
}
