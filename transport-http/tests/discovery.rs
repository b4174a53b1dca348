//! Peers behind a name.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{CacheInvalidationTransport, GapReason};
use invalidation_transport_http::{HttpTransportBuilder, Resolve};
use parking_lot::Mutex;
use support::{TestNode, builder, eventually, next_gap, next_text};

/// A name server whose answer a test changes.
#[derive(Debug, Default)]
struct Names {
    addresses: Mutex<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(name, "peers.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.addresses.lock().clone())
    }
}

impl Names {
    fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Arc<Self> {
        let names = Self::default();
        names.addresses.lock().extend(addresses);
        Arc::new(names)
    }

    fn builder(self: &Arc<Self>) -> HttpTransportBuilder {
        builder()
            .peer("dns:peers.test:7400")
            .resolver(self.clone())
            .dns_interval(Duration::from_millis(10))
    }

    /// Waits until an answer of now was put to use: the question after the next was asked.
    async fn settle(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("the name is asked for", async || {
            (self.asked.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
    }
}

/// Peers come and go with the name; one that came after the first frame is told to resync.
#[tokio::test]
async fn peers_come_and_go_with_their_name() {
    let (b, c) = (TestNode::start(builder()), TestNode::start(builder()));
    let (mut at_b, mut at_c) = (b.subscribe().await, c.subscribe().await);
    let names = Names::of([b.address]);
    let a = TestNode::start(names.builder());
    names.settle().await;
    a.publish_one("to b").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "to b");

    names.addresses.lock().push(c.address);
    assert_eq!(next_gap(&mut at_c).await, GapReason::Resync);
    let outcomes = a.publish("to both").await;
    assert_eq!(outcomes.len(), 2);
    assert_eq!(next_text(&mut at_b).await, "to both");
    assert_eq!(next_text(&mut at_c).await, "to both");

    names.addresses.lock().remove(0);
    names.settle().await;
    a.publish_one("to c").await.unwrap();
    assert_eq!(next_text(&mut at_c).await, "to c");

    // An empty answer is no answer: those known are kept.
    names.addresses.lock().clear();
    names.settle().await;
    a.publish_one("to c again").await.unwrap();
}

/// `P18`: an address outside the allowed networks or ports is not connected to.
#[tokio::test]
async fn an_address_that_is_not_allowed_is_refused() {
    let b = TestNode::start(builder());
    let mut at_b = b.subscribe().await;
    let names = Names::of([b.address, "169.254.169.254:80".parse().unwrap()]);
    let elsewhere = TestNode::start(
        names
            .builder()
            .allow_networks(["10.0.0.0/8".parse().unwrap()]),
    );
    let other_port = TestNode::start(names.builder().allow_ports([7400]));
    names.settle().await;
    names.settle().await;
    for node in [&elsewhere, &other_port] {
        assert!(node.publish("x").await.is_empty());
        // A probe asks nobody else either.
        node.transport.probe().await.unwrap();
    }
    let a = TestNode::start(names.builder());
    names.settle().await;
    a.publish_until_received("allowed").await;
    assert_eq!(next_text(&mut at_b).await, "allowed");
}

/// A node that finds itself behind the name leaves itself out.
#[tokio::test]
async fn a_discovered_own_address_is_left_out() {
    let names = Names::of([]);
    let a = TestNode::start(names.builder());
    let b = TestNode::start(builder());
    let _at_b = b.subscribe().await;
    names.addresses.lock().extend([a.address, b.address]);
    eventually("the other one is found", async || {
        let outcomes = a.publish("x").await;
        assert!(outcomes.iter().all(|outcome| outcome.peer == b.at()));
        outcomes.iter().find(|outcome| outcome.result.is_ok())?;
        Some(())
    })
    .await;
}

/// The system's resolver knows the local host.
#[tokio::test]
async fn the_system_resolves_names() {
    let b = TestNode::start(builder());
    let mut at_b = b.subscribe().await;
    let a = TestNode::start(builder().peer(format!("dns:localhost:{}", b.address.port())));
    eventually("the frame arrives", async || {
        let outcomes = a.publish("x").await;
        outcomes.iter().find(|outcome| outcome.result.is_ok())?;
        Some(())
    })
    .await;
    let _ = support::next(&mut at_b).await;
}
