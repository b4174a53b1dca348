//! What readers see.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use invalidation_core::{
    CacheName, Entry, ErrorKind, GapReason, Invalidation, InvalidationLog as _, Scope,
};
use invalidation_testbed::{Proxy, Server};
use invalidation_transport_nats::NatsLog;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    jetstream::{PASSWORD, USER, url},
    stage::{CLUSTER, Reader, append, eventually, key, node, operator, trial},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("each_node_reads_everything", each_node_reads_everything),
        trial(
            "a_message_in_between_that_was_deleted_is_told",
            a_message_in_between_that_was_deleted_is_told,
        ),
        trial("an_idle_read_is_one_request", an_idle_read_is_one_request),
        trial("a_large_message_comes_back", a_large_message_comes_back),
        trial(
            "entries_that_share_a_message_are_read_one_by_one",
            entries_that_share_a_message_are_read_one_by_one,
        ),
        trial("a_slow_server_loses_nothing", a_slow_server_loses_nothing),
        trial(
            "a_position_is_covered_once_it_was_read",
            a_position_is_covered_once_it_was_read,
        ),
        trial("what_others_publish_flushes", what_others_publish_flushes),
    ]
}

/// P1: no node takes an entry away from another, as the members of a durable consumer do.
async fn each_node_reads_everything(server: Server) {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let log = node(&server).await;
        let reader = Reader::at_head(&log).await;
        nodes.push((log, reader));
    }
    let log = node(&server).await;
    let entries = append(&log, &["1", "2", "3", "4"]).await;
    for (log, reader) in &mut nodes {
        assert_eq!(reader.catch_up(log).await, Ok(entries.clone()));
    }
    assert_eq!(operator(&server).await.number("consumer_count").await, 0);
}

/// P1, P10: a hole is a gap, wherever it is, to whoever has not passed it, and to nobody else.
async fn a_message_in_between_that_was_deleted_is_told(server: Server) {
    let log = node(&server).await;
    let mut readers = vec![Reader::at_head(&log).await];
    for number in 1..=5 {
        append(&log, &[&number.to_string()]).await;
        readers.push(Reader::at_head(&log).await);
    }
    let operator = operator(&server).await;
    // The stream began with a message that is no entry.
    operator.run("MSG.DELETE", json!({ "seq": 4 })).await;
    for (passed, reader) in readers.iter_mut().enumerate() {
        let found = reader.catch_up(&log).await;
        match passed {
            0..=2 => assert_eq!(found, Err(GapReason::EntriesLost), "passed {passed}"),
            // What it had read itself is gone, and so is the proof that all is as it was.
            3 => assert_eq!(found, Err(GapReason::WitnessLost)),
            _ => assert_eq!(found.unwrap().len(), 5 - passed, "passed {passed}"),
        }
    }
    let entries = append(&log, &["6"]).await;
    for reader in &mut readers {
        assert_eq!(reader.catch_up(&log).await, Ok(entries.clone()));
    }
}

/// The cost of a poll that finds nothing.
async fn an_idle_read_is_one_request(server: Server) {
    let log = node(&server).await;
    let operator = operator(&server).await;
    for keys in [&[][..], &["1", "2"]] {
        append(&log, keys).await;
        let mut reader = Reader::at_head(&log).await;
        reader.catch_up(&log).await.unwrap();
        let before = requests(&server).await;
        for _ in 0..5 {
            assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
        }
        let asked = requests(&server).await - before;
        // One more is that of the count.
        assert!(asked <= 5 + 1, "{asked} requests of 5 reads");
    }
    // So it is when the server forgot the newest message by itself.
    let mut reader = Reader::at_head(&log).await;
    operator.trim(0).await;
    assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
    let before = requests(&server).await;
    for _ in 0..5 {
        assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
    }
    let asked = requests(&server).await - before;
    assert!(asked <= 5 + 1, "{asked} requests of 5 reads");
}

/// How many requests to the API the account has made.
async fn requests(server: &Server) -> u64 {
    let account = operator(server).await.account().await;
    account["api"]["total"].as_u64().unwrap()
}

fn of_size(bytes: usize) -> Entry {
    key("x".repeat(bytes))
}

/// P1: the answer to a read of it is larger than the largest message.
async fn a_large_message_comes_back(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    let large = of_size((1 << 20) - 100);
    log.append(std::slice::from_ref(&large)).await.unwrap();
    assert_eq!(reader.catch_up(&log).await, Ok(vec![large]));
    let refused = log.append(&[of_size(1 << 20)]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge, "{refused}");
    assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
}

/// P1: callers that share a message are read each once, whatever a page holds.
async fn entries_that_share_a_message_are_read_one_by_one(server: Server) {
    let log = Arc::new(node(&server).await);
    let mut reader = Reader::at_head(&log).await;
    let entries: Vec<_> = (0..200).map(|number| key(number.to_string())).collect();
    let appends = entries
        .iter()
        .map(|entry| log.append(std::slice::from_ref(entry)));
    for positions in join_all(appends).await {
        assert_eq!(positions.unwrap().len(), 1);
    }
    let messages = operator(&server).await.number("messages").await;
    assert!(messages < 100, "{messages} messages of 200 appends");
    let mut found = reader.catch_up(&log).await.unwrap();
    assert_eq!(found.len(), entries.len());
    let nonce = |entry: &Entry| entry.nonce;
    found.sort_by_key(nonce);
    let mut expected = entries;
    expected.sort_by_key(nonce);
    assert_eq!(found, expected);
}

/// P1, P4: answers that come late are waited for, or the read fails: none says that it is complete without them.
async fn a_slow_server_loses_nothing(server: Server) {
    let proxy = Proxy::to(server.address()).unwrap();
    let log = NatsLog::builder(&url(proxy.address(), USER, PASSWORD))
        .cluster(CLUSTER)
        .read_timeout(Duration::from_millis(500))
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    let writer = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    proxy.delay(Duration::from_millis(600));
    let mut entries = Vec::new();
    for number in 0..3 {
        entries.extend(append(&writer, &[&number.to_string()]).await);
        let start = invalidation_core::ReadStart::new(invalidation_core::Tick::from_nanos(9), 9);
        let request = invalidation_core::ReadRequest::new(&reader.cursor, start);
        let slow = log.read(request).await.unwrap_err();
        assert_eq!(slow.kind, ErrorKind::TimedOut, "{slow}");
    }
    proxy.heal();
    // What was under way comes late.
    eventually("reads again", async || log.head().await.ok()).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}

/// `covers` knows what this handle has read.
async fn a_position_is_covered_once_it_was_read(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    let first = log.append(&[key("1"), key("2")]).await.unwrap();
    assert!(!log.covers(&reader.cursor, &first[0]));
    reader.catch_up(&log).await.unwrap();
    let between = reader.cursor.clone();
    let second = log.append(&[key("3")]).await.unwrap();
    reader.catch_up(&log).await.unwrap();
    for position in [&first[0], &first[1], &second[0]] {
        assert!(log.covers(&reader.cursor, position));
    }
    assert!(log.covers(&between, &first[1]) && !log.covers(&between, &second[0]));
}

/// P12: a message of somebody else may mean anything.
async fn what_others_publish_flushes(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    let operator = operator(&server).await;
    for nonsense in [&b""[..], b"hello", b"\x01\xff"] {
        operator.publish(nonsense).await;
        match reader.page(&log).await {
            invalidation_core::Page::Entries { entries, next, .. } => {
                let payloads: Vec<_> = entries.into_iter().map(|entry| entry.payload).collect();
                let is_widened = matches!(
                    payloads[..],
                    [invalidation_core::Payload::Undecodable { cache: None, .. }]
                );
                assert!(is_widened, "{nonsense:?}: {payloads:?}");
                reader.cursor = next;
            }
            other => panic!("{other:?}"),
        }
    }
    let everything = Entry::new(Invalidation::Everything);
    let all = Entry::new(Invalidation::Cache {
        cache: CacheName::new("users").unwrap(),
        scope: Scope::All,
    });
    let entries = vec![everything, all];
    log.append(&entries).await.unwrap();
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}
