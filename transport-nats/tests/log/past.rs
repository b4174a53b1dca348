//! Pasts that changed.

use invalidation_core::{GapReason, InvalidationLog as _};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::stage::{Reader, append, copy, eventually, key, node, operator, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_recreated_stream_restarts_at_1",
            a_recreated_stream_restarts_at_1,
        ),
        trial(
            "an_older_copy_of_the_store_is_told",
            an_older_copy_of_the_store_is_told,
        ),
        trial("a_wiped_store_is_made_anew", a_wiped_store_is_made_anew),
        trial(
            "a_killed_server_keeps_what_it_acknowledged",
            a_killed_server_keeps_what_it_acknowledged,
        ),
        trial(
            "an_edit_costs_one_flush_at_the_next_start",
            an_edit_costs_one_flush_at_the_next_start,
        ),
    ]
}

/// P10: the server takes a start sequence above the last without a word, and later gives it to another message.
async fn a_recreated_stream_restarts_at_1(server: Server) {
    let log = node(&server).await;
    append(&log, &["1", "2", "3"]).await;
    let cursor = log.head().await.unwrap();
    operator(&server).await.recreate().await;
    for appended in 0..6_u32 {
        let mut reader = Reader::at(cursor.clone());
        let found = reader.catch_up(&log).await;
        assert_eq!(
            found,
            Err(GapReason::IdentityChanged),
            "{appended} appended since"
        );
        append(&log, &["new"]).await;
    }
    let positions = log.append(&[key("last")]).await.unwrap();
    assert_eq!(Some(&positions[0].identity), log.identity().as_ref());
}

/// P10: a folder that an older copy replaced has the same stream, made at the same time. What was read and is gone is told,
/// also when the sequence has grown past it.
async fn an_older_copy_of_the_store_is_told(server: Server) {
    let log = node(&server).await;
    append(&log, &["1", "2"]).await;
    let before = log.head().await.unwrap();
    server.stop().unwrap();
    copy(&server, "jetstream", "copy");
    server.restart().unwrap();
    let lost = eventually("appends again", async || log.append(&[key("3")]).await.ok()).await;
    append(&log, &["4"]).await;
    let mut at_the_end = Reader::at(log.head().await.unwrap());
    let mut behind = Reader::at(log.head().await.unwrap());
    append(&log, &["5"]).await;
    at_the_end.catch_up(&log).await.unwrap();
    let later = Reader::at(at_the_end.cursor.clone());

    server.stop().unwrap();
    std::fs::remove_dir_all(server.folder().join("jetstream")).unwrap();
    copy(&server, "copy", "jetstream");
    server.restart().unwrap();
    // It has two messages.
    eventually("reads again", async || log.head().await.ok()).await;
    assert_eq!(at_the_end.catch_up(&log).await, Err(GapReason::WitnessLost));
    // It grows up to both, and past them.
    let mut new = Vec::new();
    for number in 6..10 {
        new.extend(append(&log, &[&number.to_string()]).await);
        for cursor in [&behind.cursor, &later.cursor] {
            let mut reader = Reader::at(cursor.clone());
            assert_eq!(
                reader.catch_up(&log).await,
                Err(GapReason::WitnessLost),
                "{number}"
            );
            assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
            assert!(!log.covers(&reader.cursor, &lost[0]));
        }
    }
    // Who had read only what came back misses nothing of what is there.
    behind = Reader::at(before);
    assert_eq!(behind.catch_up(&log).await, Ok(new));
    assert!(
        !log.covers(&behind.cursor, &lost[0]),
        "another stands there"
    );
    assert_eq!(at_the_end.catch_up(&log).await.unwrap().len(), 4);
}

/// P20: when the server lost all, a node that runs makes the stream anew, and is told.
async fn a_wiped_store_is_made_anew(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    append(&log, &["1"]).await;
    server.stop().unwrap();
    std::fs::remove_dir_all(server.folder().join("jetstream")).unwrap();
    server.restart().unwrap();
    let refused = eventually("it is told", async || {
        let refused = log.append(&[key("2")]).await.unwrap_err();
        refused.to_string().contains("install").then_some(refused)
    })
    .await;
    assert_eq!(refused.kind, invalidation_core::ErrorKind::Unavailable);
    eventually("reads again", async || {
        let start = invalidation_core::ReadStart::new(invalidation_core::Tick::from_nanos(1), 1);
        let read = log.read(invalidation_core::ReadRequest::new(&reader.cursor, start));
        read.await.ok()
    })
    .await;
    assert_eq!(reader.catch_up(&log).await, Err(GapReason::IdentityChanged));
    let entries = append(&log, &["3"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}

/// P1: what a server acknowledged outlives its process, though not its machine.
async fn a_killed_server_keeps_what_it_acknowledged(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    let keys: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let entries = append(&log, &keys).await;
    server.kill().unwrap();
    server.restart().unwrap();
    eventually("reads again", async || log.head().await.ok()).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}

/// P10: the time of creation that a server tells after an edit and a restart is another. That costs a flush, and no more.
async fn an_edit_costs_one_flush_at_the_next_start(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    append(&log, &["1"]).await;
    operator(&server)
        .await
        .edit(&[("max_bytes", 1_000_000.into())])
        .await;
    let entries = append(&log, &["2"]).await;
    assert_eq!(reader.catch_up(&log).await.unwrap().last(), entries.last());
    server.stop().unwrap();
    server.restart().unwrap();
    eventually("reads again", async || log.head().await.ok()).await;
    if let Err(reason) = reader.catch_up(&log).await {
        assert_eq!(reason, GapReason::IdentityChanged);
    }
    let entries = append(&log, &["3"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}
