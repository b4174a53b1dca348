//! Secrets: needed, changed without an interruption, never shown.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use invalidation_core::{Error, ErrorKind};
use invalidation_transport_http::{HttpTransport, HttpTransportBuilder};
use support::{CLUSTER, TestNode, next_text};

const OLD: &str = "the old secret of the tests";
const NEW: &str = "the new secret of the tests";

fn node() -> HttpTransportBuilder {
    HttpTransport::builder(CLUSTER).listen(([127, 0, 0, 1], 0).into())
}

fn refused(builder: HttpTransportBuilder) -> Error {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    error
}

/// At each step of a rotation, nodes of this step and of the one before reach each other, both ways.
#[tokio::test]
async fn rotation_interrupts_nobody() {
    let steps: [fn() -> HttpTransportBuilder; 4] = [
        || node().secret(OLD),
        || node().secret(OLD).second_secret(NEW),
        || node().secret(NEW).second_secret(OLD),
        || node().secret(NEW),
    ];
    for pair in steps.windows(2) {
        for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let b = TestNode::start(to());
            let a = TestNode::start(from().peer(b.at()));
            let mut at_b = b.subscribe().await;
            a.publish_one("x").await.unwrap();
            assert_eq!(next_text(&mut at_b).await, "x");
        }
    }
    // Two steps apart they do not: a secret that was taken away is of no use.
    let b = TestNode::start(steps[3]());
    let a = TestNode::start(steps[0]().peer(b.at()));
    assert_eq!(
        a.publish_one("x").await.unwrap_err().kind,
        ErrorKind::Denied
    );
}

/// A node runs without a secret only where that is written, and not beside a secret.
#[test]
fn insecure_must_be_written() {
    assert!(refused(node()).to_string().contains("insecure = true"));
    refused(node().secret(OLD).insecure(true));
    refused(node().second_secret(OLD));
    refused(node().second_secret(OLD).insecure(true));
    node().insecure(true).build().unwrap();
}

/// A secret of less than 16 bytes is refused, as the first or the second.
#[test]
fn a_short_secret_is_refused() {
    refused(node().secret("fifteen bytes!!"));
    refused(node().secret(OLD).second_secret("fifteen bytes!!"));
    node().secret("sixteen bytes!!!").build().unwrap();
}

/// No secret or password appears in `Debug` or in an error.
#[tokio::test]
async fn no_secret_is_shown() {
    let mut shown = String::new();
    let builder = node().secret(OLD).second_secret(NEW);
    shown += &format!("{builder:?}");
    let with_password = builder.clone().peer("http://user:hunter2@host:1");
    shown += &format!("{with_password:?}");
    let error = refused(with_password);
    shown += &format!("{error} {error:?}");
    let error = refused(node().secret("hunter2"));
    shown += &format!("{error} {error:?}");

    let stranger = TestNode::start(node().secret(NEW));
    let a = TestNode::start(node().secret(OLD).peer(stranger.at()));
    for _ in 0..2 {
        let error = a.publish_one("x").await.unwrap_err();
        shown += &format!("{error} {error:?} {:?}", a.transport);
    }
    for secret in [OLD, NEW, "hunter2", "secret of the tests"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
        assert!(!shown.contains(&format!("{:?}", secret.as_bytes())));
    }
}

/// Settings that cannot be are refused with what to do.
#[test]
fn impossible_settings_are_refused() {
    use std::time::Duration;
    let secret = || node().secret(OLD);
    refused(HttpTransport::builder("").secret(OLD));
    refused(secret().body_cap(10));
    refused(secret().body_cap(usize::MAX));
    refused(secret().queue_frames(0));
    refused(secret().subscription_frames(0));
    refused(secret().max_unverified(usize::MAX));
    refused(secret().publish_timeout(Duration::ZERO));
    refused(secret().reconnect_wait(Duration::from_secs(2), Duration::from_secs(1)));
    refused(secret().peer("nonsense"));
    refused(secret().peer("dns:name:7400").allow_ports([80]));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = secret()
        .listen(taken.local_addr().unwrap())
        .build()
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
