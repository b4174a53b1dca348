//! Making the stream, and streams that are not the log's.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::{ErrorKind, InvalidationLog as _, ReadConsistency};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_nats::{NatsLog, Storage};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    jetstream::{PASSWORD, USER, url},
    stage::{CLUSTER, Reader, append, builder, installed, node, operator, trial, trial_of},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_foreign_stream_is_refused", a_foreign_stream_is_refused),
        trial("a_newer_version_is_refused", a_newer_version_is_refused),
        trial(
            "a_subject_that_is_taken_is_told",
            a_subject_that_is_taken_is_told,
        ),
        trial(
            "an_acknowledgement_of_another_stream_is_none",
            an_acknowledgement_of_another_stream_is_none,
        ),
        trial(
            "claims_are_those_of_the_stream",
            claims_are_those_of_the_stream,
        ),
        trial("limits_that_differ_stay", limits_that_differ_stay),
        trial_of(
            "a_server_without_jetstream_is_told",
            || {
                let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
                    .join(format!("nats-plain-{}.conf", std::process::id()));
                // The last word overrules `-js`.
                std::fs::write(&file, plain()).unwrap();
                Server::start_with(Backend::Nats, &["-c", &file.to_string_lossy()])
            },
            an_account_without_jetstream_is_told,
        ),
        trial(
            "what_cannot_be_is_refused_at_once",
            what_cannot_be_is_refused_at_once,
        ),
    ]
}

/// An account that may not use JetStream, on a server that has it.
fn plain() -> String {
    format!("accounts {{ A {{ users = [ {{ user: {USER}, password: \"{PASSWORD}\" }} ] }} }}")
}

fn config(changes: &[(&str, Value)]) -> Value {
    let mut config = json!({
        "name": format!("cache_invalidation_log-{CLUSTER}"),
        "subjects": [format!("cache_invalidation_log.{CLUSTER}")],
        "retention": "limits", "storage": "file", "num_replicas": 1,
    });
    for (name, value) in changes {
        config[*name] = value.clone();
    }
    config
}

async fn a_foreign_stream_is_refused(server: Server) {
    let operator = operator(&server).await;
    operator.run("CREATE", config(&[])).await;
    let log = builder(&server).connect().await.unwrap();
    let refused = log.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
    assert!(refused.message.contains("another name"), "{refused}");
    for refused in [
        log.head().await.unwrap_err(),
        log.purge(Duration::ZERO).await.unwrap_err(),
        log.append(&[crate::stage::key("1")]).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
    }
    assert_eq!(
        operator.number("messages").await,
        0,
        "nothing was written to it"
    );
    // One that somebody made for the log, with what it needs, is its.
    let description = json!("cache-invalidation log, version 1, made by hand");
    operator.edit(&[("description", description)]).await;
    log.install().await.unwrap();
}

async fn a_newer_version_is_refused(server: Server) {
    let log = node(&server).await;
    let mut reader = Reader::at_head(&log).await;
    append(&log, &["1"]).await;
    reader.catch_up(&log).await.unwrap();
    let description = json!("cache-invalidation log, version 2");
    operator(&server)
        .await
        .edit(&[("description", description)])
        .await;
    let refused = log.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
    let refused = log.head().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
}

async fn a_subject_that_is_taken_is_told(server: Server) {
    let other = builder(&server).stream("other");
    let subject = format!("cache_invalidation_log.{CLUSTER}");
    let other = installed(other.subject(subject.clone())).await;
    let log = builder(&server).connect().await.unwrap();
    let refused = log.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    assert!(refused.message.contains(&subject), "{refused}");
    append(&other, &["1"]).await;
}

/// P1: who acknowledges must be the stream that is read.
async fn an_acknowledgement_of_another_stream_is_none(server: Server) {
    let log = node(&server).await;
    let operator = operator(&server).await;
    operator.run("DELETE", json!({})).await;
    let refused = log.append(&[crate::stage::key("1")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
    let subject = format!("cache_invalidation_log.{CLUSTER}");
    let _other = installed(builder(&server).stream("other").subject(subject)).await;
    let refused = log.append(&[crate::stage::key("2")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
    assert!(refused.message.contains("other"), "{refused}");
}

/// What a log claims depends on its replicas and its storage: neither may be another than it was told.
async fn claims_are_those_of_the_stream(server: Server) {
    let log = node(&server).await;
    assert_eq!(log.capabilities().reads, ReadConsistency::SinglePrimary);
    assert!(!log.capabilities().keeps_acknowledged);
    let several = builder(&server).replicas(3).connect().await.unwrap();
    assert_eq!(several.capabilities().reads, ReadConsistency::MayBeStale);
    let refused = several.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    assert!(refused.message.contains("--replicas 3"), "{refused}");
    let memory = builder(&server).storage(Storage::Memory);
    let memory = memory.syncs_always().connect().await.unwrap();
    assert!(!memory.capabilities().keeps_acknowledged);
    let refused = memory.install().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    let elsewhere = builder(&server).cluster("elsewhere").replicas(3);
    let refused = elsewhere.connect().await.unwrap().install().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    assert!(refused.message.contains("replicas 1"), "{refused}");
    assert!(
        builder(&server)
            .syncs_always()
            .connect()
            .await
            .unwrap()
            .capabilities()
            .keeps_acknowledged
    );
}

/// A node that was told other limits starts, and changes nothing.
async fn limits_that_differ_stay(server: Server) {
    let log = installed(builder(&server).max_messages(1_000)).await;
    let other = installed(
        builder(&server)
            .max_messages(5)
            .max_age(Duration::from_secs(60)),
    )
    .await;
    for log in [&log, &other] {
        let settings = log.stream_settings().await.unwrap();
        assert_eq!(
            (settings.max_messages, settings.max_age),
            (Some(1_000), None)
        );
        assert_eq!(settings.storage, Storage::File);
    }
}

async fn an_account_without_jetstream_is_told(server: Server) {
    let log = builder(&server).connect().await.unwrap();
    let refused = log.install().await.unwrap_err();
    let is_told = matches!(
        refused.kind,
        ErrorKind::Unsupported | ErrorKind::Unavailable
    );
    assert!(
        is_told && refused.message.contains("nable JetStream"),
        "{refused}"
    );
}

async fn what_cannot_be_is_refused_at_once(server: Server) {
    let at = |address: SocketAddr| NatsLog::builder(&url(address, USER, PASSWORD));
    for builder in [
        at(server.address()).replicas(0),
        at(server.address()).replicas(6),
        at(server.address()).stream("a.b"),
        at(server.address()).subject("a.*"),
        at(server.address()).domain("a.b"),
        at(server.address()).max_bytes(0),
        at(server.address()).max_age(Duration::from_millis(1)),
        at(server.address()).read_timeout(Duration::ZERO),
        NatsLog::builder("redis://x"),
    ] {
        let shown = format!("{builder:?}");
        assert!(!shown.contains(PASSWORD), "{shown}");
        let refused = builder.connect().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    }
    let refused = at(server.address())
        .password("x")
        .connect()
        .await
        .unwrap_err();
    assert!(!refused.to_string().contains(PASSWORD), "{refused}");
}
