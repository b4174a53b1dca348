//! Cursors that were taken before the first entry.

use std::{num::NonZeroUsize, path::Path};

use futures_util::future::join_all;
use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _, Page};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_nats::NatsLog;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    jetstream::{PASSWORD, WEAK, configuration, url},
    stage::{CLUSTER, Reader, append, builder, copy, eventually, node, operator, trial, trial_of},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "another_past_of_a_stream_that_was_empty_is_told",
            another_past_of_a_stream_that_was_empty_is_told,
        ),
        trial("a_stream_begins_once", a_stream_begins_once),
        trial("a_beginning_is_no_entry", a_beginning_is_no_entry),
        trial_of(
            "who_may_not_write_reads_from_an_empty_stream",
            || {
                let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
                    .join(format!("nats-weak-{}.conf", std::process::id()));
                std::fs::write(&file, configuration()).unwrap();
                Server::start_with(Backend::Nats, &["-c", &file.to_string_lossy()])
            },
            who_may_not_write_reads_from_an_empty_stream,
        ),
    ]
}

/// A stream as an operator makes it for the log: empty.
fn by_hand() -> Value {
    json!({
        "name": format!("cache_invalidation_log-{CLUSTER}"),
        "description": "cache-invalidation log, version 1",
        "subjects": [format!("cache_invalidation_log.{CLUSTER}")],
        "retention": "limits", "storage": "file", "num_replicas": 1,
    })
}

/// P10: a cursor from before the first entry tells the stream from one that lost what came, and was written to again.
async fn another_past_of_a_stream_that_was_empty_is_told(server: Server) {
    let operator = operator(&server).await;
    operator.run("CREATE", by_hand()).await;
    server.stop().unwrap();
    copy(&server, "jetstream", "copy");
    server.restart().unwrap();
    let log = builder(&server).connect().await.unwrap();
    eventually("installs", async || log.install().await.ok()).await;
    let mut reader = Reader::at_head(&log).await;
    let mut idle = Reader::at_head(&log).await;
    append(&log, &["lost"]).await;

    server.stop().unwrap();
    std::fs::remove_dir_all(server.folder().join("jetstream")).unwrap();
    copy(&server, "copy", "jetstream");
    server.restart().unwrap();
    let other = eventually("installs again", async || {
        let other = builder(&server).connect().await.ok()?;
        other.install().await.ok()?;
        Some(other)
    })
    .await;
    eventually("reads again", async || log.head().await.ok()).await;
    assert_eq!(idle.catch_up(&log).await, Err(GapReason::WitnessLost));
    let entries = append(&other, &["after"]).await;
    assert_eq!(reader.catch_up(&log).await, Err(GapReason::WitnessLost));
    assert_eq!(idle.catch_up(&log).await, Ok(entries));
}

/// Many who install at once, or look at a stream that was emptied, write one message together.
async fn a_stream_begins_once(server: Server) {
    let logs = join_all((0..6).map(|_| async { builder(&server).connect().await.unwrap() })).await;
    for installed in join_all(logs.iter().map(NatsLog::install)).await {
        installed.unwrap();
    }
    let operator = operator(&server).await;
    assert_eq!(operator.number("last_seq").await, 1);
    for _ in 0..3 {
        for log in &logs {
            log.install().await.unwrap();
            log.head().await.unwrap();
        }
    }
    assert_eq!(operator.number("last_seq").await, 1);
    operator.delete_all().await;
    let mut readers = Vec::new();
    for cursor in join_all(logs.iter().map(NatsLog::head)).await {
        readers.push(Reader::at(cursor.unwrap()));
    }
    assert_eq!(operator.number("last_seq").await, 2);
    let entries = append(&logs[0], &["1"]).await;
    for (log, reader) in logs.iter().zip(&mut readers) {
        assert_eq!(reader.catch_up(log).await, Ok(entries.clone()));
    }
    // Who installs nothing writes nothing.
    operator.delete_all().await;
    builder(&server)
        .connect()
        .await
        .unwrap()
        .head()
        .await
        .unwrap();
    assert_eq!(operator.number("messages").await, 0);
}

/// No page shows it or is the smaller for it, and no purge counts it.
async fn a_beginning_is_no_entry(server: Server) {
    let operator = operator(&server).await;
    operator.run("CREATE", by_hand()).await;
    // Not installed: before the stream begins.
    let log = builder(&server).connect().await.unwrap();
    let mut before = Reader::at_head(&log).await.paged(NonZeroUsize::MIN);
    let mut whole = Reader::at_head(&log).await;
    log.install().await.unwrap();
    assert_eq!(operator.number("messages").await, 1);
    assert_eq!(whole.catch_up(&log).await, Ok(vec![]));
    let entries = append(&log, &["1", "2", "3"]).await;
    assert_eq!(entries_of(&before.page(&log).await), 1);
    assert_eq!(before.catch_up(&log).await, Ok(entries.clone()));
    assert_eq!(whole.catch_up(&log).await, Ok(entries));
    let purged = log.purge(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(purged.entries, 2);
    assert_eq!(operator.number("first_seq").await, 4);
    // Nor one with which it begins again.
    operator.delete_all().await;
    log.head().await.unwrap();
    let entries = append(&log, &["4", "5"]).await;
    assert_eq!(entries_of(&before.page(&log).await), 1);
    assert_eq!(before.catch_up(&log).await, Ok(entries));
}

fn entries_of(page: &Page) -> usize {
    match page {
        Page::Entries { entries, .. } => entries.len(),
        other => panic!("{other:?}"),
    }
}

/// A reader of less privilege takes an empty stream as it is.
async fn who_may_not_write_reads_from_an_empty_stream(server: Server) {
    let operator = operator(&server).await;
    operator.run("CREATE", by_hand()).await;
    let weak = NatsLog::builder(&url(server.address(), WEAK, PASSWORD))
        .cluster(CLUSTER)
        .connect()
        .await
        .unwrap();
    weak.install().await.unwrap();
    let mut reader = Reader::at_head(&weak).await;
    let refused = weak.append(&[crate::stage::key("1")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    assert_eq!(operator.number("last_seq").await, 0);
    let entries = append(&node(&server).await, &["1"]).await;
    assert_eq!(reader.catch_up(&weak).await, Ok(entries));
}
