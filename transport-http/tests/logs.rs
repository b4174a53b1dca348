//! What the log tells of peers that fail, and how often.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use invalidation_transport_http::HttpTransport;
use support::{CLUSTER, TestNode, builder, eventually};

/// What this thread's runtime logs, at the level that operators see.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (lines, guard)
    }

    fn with(&self, words: &[&str]) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until `node` has tried its peer again a few times.
async fn tried_again(node: &TestNode) {
    for _ in 0..5 {
        let refused = node.publish_one("x").await.unwrap_err();
        eventually("another failed attempt", async || {
            let again = node.publish_one("x").await.unwrap_err();
            (!Arc::ptr_eq(&again, &refused)).then_some(())
        })
        .await;
    }
}

/// A wrong secret is a warning, which says what to look at: once, not at each attempt, and without the secret.
#[tokio::test]
async fn a_wrong_secret_is_told_loudly_and_once() {
    let (lines, _guard) = Lines::capture();
    let b = TestNode::start(builder());
    let stranger = HttpTransport::builder(CLUSTER)
        .secret("not the secret of the tests")
        .listen(([127, 0, 0, 1], 0).into());
    let stranger = TestNode::start(stranger.peer(b.at()));
    tried_again(&stranger).await;
    assert_eq!(lines.with(&["WARN", &b.at(), "same secret"]), 1);
    assert_eq!(lines.with(&["not the secret of the tests"]), 0);
}

/// A peer that is away is told once, and so is its return.
#[tokio::test]
async fn an_outage_is_told_once() {
    let (lines, _guard) = Lines::capture();
    let address = TestNode::start(builder()).address;
    let a = TestNode::start(builder().peer(address.to_string()));
    tried_again(&a).await;
    assert_eq!(lines.with(&["INFO", "peer fails"]), 1);
    assert_eq!(lines.with(&["WARN"]), 0);
    let b = TestNode::start_at(address).await;
    let _at_b = b.subscribe().await;
    a.publish_until_received("x").await;
    assert_eq!(lines.with(&["INFO", "peer is back"]), 1);
}
