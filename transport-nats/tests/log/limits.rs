//! Limits of the stream and of the account.

use std::time::Duration;

use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_nats::WhenFull;
use libtest_mimic::Trial;

use crate::{
    jetstream::{PASSWORD, USER},
    stage::{Reader, append, builder, eventually, installed, key, node, operator, trial, trial_of},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("age_takes_the_newest_too", age_takes_the_newest_too),
        trial(
            "a_stream_that_forgets_the_oldest_tells_who_was_behind",
            a_stream_that_forgets_the_oldest_tells_who_was_behind,
        ),
        trial(
            "a_full_stream_that_refuses_says_what_to_do",
            a_full_stream_that_refuses_says_what_to_do,
        ),
        trial_of(
            "a_server_without_room_says_what_to_do",
            || {
                Server::start_with(
                    Backend::Nats,
                    &["--user", USER, "--pass", PASSWORD, "-c", &small()],
                )
            },
            a_server_without_room_says_what_to_do,
        ),
        trial("a_purge_counts_entries", a_purge_counts_entries),
    ]
}

/// P13: `max_age` removes the newest message, which our own purge never does. Who had read it goes on without a flush; who had
/// not is told.
async fn age_takes_the_newest_too(server: Server) {
    let log = installed(builder(&server).max_age(Duration::from_millis(300))).await;
    let mut behind = Reader::at_head(&log).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::at_head(&log).await;
    let mut sleeper = Reader::at_head(&log).await;
    let operator = operator(&server).await;
    eventually("the server forgets", async || {
        (operator.number("messages").await == 0).then_some(())
    })
    .await;
    assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
    assert_eq!(behind.catch_up(&log).await, Err(GapReason::Purged));
    let entries = append(&log, &["2"]).await;
    for reader in [&mut reader, &mut behind, &mut sleeper] {
        assert_eq!(reader.catch_up(&log).await, Ok(entries.clone()));
    }
}

/// P13, P16: at its limit the stream holds nobody up.
async fn a_stream_that_forgets_the_oldest_tells_who_was_behind(server: Server) {
    let log = installed(builder(&server).max_messages(3)).await;
    let mut behind = Reader::at_head(&log).await;
    append(&log, &["1", "2"]).await;
    let mut near = Reader::at_head(&log).await;
    let entries = append(&log, &["3", "4", "5"]).await;
    assert_eq!(behind.catch_up(&log).await, Err(GapReason::Purged));
    assert_eq!(near.catch_up(&log).await, Ok(entries));
    let settings = log.stream_settings().await.unwrap();
    assert_eq!((settings.max_messages, settings.replicas), (Some(3), 1));
}

async fn a_full_stream_that_refuses_says_what_to_do(server: Server) {
    let full = builder(&server)
        .max_bytes(1_000)
        .when_full(WhenFull::RefuseAppends);
    let log = installed(full).await;
    let mut reader = Reader::at_head(&log).await;
    let mut kept = Vec::new();
    let refused = loop {
        let entry = key("x".repeat(100));
        match log.append(std::slice::from_ref(&entry)).await {
            Ok(_) => kept.push(entry),
            Err(refused) => break refused,
        }
        assert!(kept.len() < 100, "1,000 bytes are full");
    };
    assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
    assert!(refused.message.contains("max_bytes"), "{refused}");
    assert_eq!(reader.catch_up(&log).await, Ok(kept));
}

/// A server's configuration with little room.
fn small() -> String {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("nats-small-{}.conf", std::process::id()));
    std::fs::write(&file, "jetstream { max_file_store: 20000 }").unwrap();
    file.to_string_lossy().into_owned()
}

async fn a_server_without_room_says_what_to_do(server: Server) {
    let refused = builder(&server).max_bytes(1 << 30).connect().await.unwrap();
    let refused = refused.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
    let log = node(&server).await;
    let mut appended = 0;
    let refused = loop {
        match log.append(&[key("x".repeat(1_000))]).await {
            Ok(_) => appended += 1,
            Err(refused) => break refused,
        }
        assert!(appended < 100, "20 kB are full");
    };
    assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
}

/// Entries that share a message go together, and count each.
async fn a_purge_counts_entries(server: Server) {
    let log = node(&server).await;
    let three = [key("1"), key("2"), key("3")];
    log.append(&three).await.unwrap();
    append(&log, &["4"]).await;
    log.append(&three).await.unwrap();
    let mut reader = Reader::at_head(&log).await;
    assert_eq!(log.purge(Duration::from_secs(60)).await.unwrap().entries, 0);
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 4);
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 0);
    assert_eq!(reader.catch_up(&log).await, Ok(vec![]));
}
