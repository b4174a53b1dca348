//! Peers that the log tells of. The log is played by the test; a real one is in the tests of the facade.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use invalidation_core::{
    CacheInvalidationTransport, ErrorKind, GapReason, Member, Members, NodeId, Retry,
};
use invalidation_transport_http::{HttpTransportBuilder, Resolve};
use parking_lot::Mutex;
use support::{TestNode, builder, eventually, next_gap, next_text};

/// A node that looks in `members`.
fn start(builder: HttpTransportBuilder, members: &Members) -> TestNode {
    let transport = Arc::new(builder.peer("log").build().unwrap());
    transport.meet(members);
    let id = NodeId::random();
    transport.bind(id);
    let address = transport.local_addr().unwrap();
    TestNode {
        transport,
        id,
        address,
    }
}

fn member(node: &TestNode) -> Member {
    Member::new(node.id, format!("http://{}", node.address))
}

/// Waits until the frames of `a` go to `count` peers.
async fn has_peers(a: &TestNode, count: usize) {
    eventually("the list is put to use", async || {
        (a.publish("x").await.len() == count).then_some(())
    })
    .await;
}

/// A node announces where it listens, and peers come and go with the members; one that came after the first frame is
/// told to resync.
#[tokio::test]
async fn peers_come_and_go_with_the_members() {
    let (b, c) = (TestNode::start(builder()), TestNode::start(builder()));
    let (mut at_b, mut at_c) = (b.subscribe().await, c.subscribe().await);
    let members = Members::new();
    let a = start(builder(), &members);
    let own = eventually("it is announced", async || members.own()).await;
    assert_eq!(own, member(&a));

    members.learn(vec![member(&b)]);
    has_peers(&a, 1).await;
    assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
    a.publish_until_received("to b").await;
    while next_text(&mut at_b).await != "to b" {}

    members.learn(vec![member(&b), member(&c)]);
    assert_eq!(next_gap(&mut at_c).await, GapReason::Resync);
    a.transport.probe().await.unwrap();

    members.learn(vec![member(&c)]);
    has_peers(&a, 1).await;
    a.publish_until_received("to c").await;
    while next_text(&mut at_c).await != "to c" {}

    // Unlike the empty answer of a name server, an empty list is an answer.
    members.learn(Vec::new());
    has_peers(&a, 0).await;
}

/// `P18`: what stands in the log is used only where it is an allowed address.
#[tokio::test]
async fn what_members_announce_is_checked() {
    let b = TestNode::start(builder());
    let _at_b = b.subscribe().await;
    let members = Members::new();
    let a = start(builder(), &members);
    let other_port = start(builder().allow_ports([7400]), &members);
    let announced = [
        "http://169.254.169.254:80",
        "http://8.8.8.8:7400",
        "http://localhost:7400",
        "redis://127.0.0.1:6379",
        "127.0.0.1:7400",
        "http://u:p@127.0.0.1:7400",
        "",
        "log",
    ];
    let strange = announced.map(|address| Member::new(NodeId::random(), address.to_owned()));
    members.learn([&strange[..], &[member(&b)]].concat());
    has_peers(&a, 1).await;
    a.publish_until_received("allowed").await;
    assert!(other_port.publish("x").await.is_empty());
}

/// Two runs of one node at one address are one peer, and a node that finds itself leaves itself out.
#[tokio::test]
async fn one_address_is_one_peer() {
    let b = TestNode::start(builder());
    let _at_b = b.subscribe().await;
    let members = Members::new();
    let a = start(builder(), &members);
    let earlier = Member::new(NodeId::random(), format!("http://{}", b.address));
    members.learn(vec![earlier, member(&b), member(&a)]);
    eventually("b alone is told", async || {
        let outcomes = a.publish("x").await;
        (outcomes.len() == 1 && outcomes[0].node == Some(b.id)).then_some(())
    })
    .await;
}

/// A name server whose answer a test changes.
#[derive(Debug, Default)]
struct Name(Mutex<Vec<SocketAddr>>);

#[async_trait]
impl Resolve for Name {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!((name, port), ("node-1.test", 7400));
        Ok(self.0.lock().clone())
    }
}

/// The address of an advertised name is announced, and again when it changes; no answer changes nothing.
#[tokio::test]
async fn an_advertised_name_is_followed() {
    let name = Arc::new(Name::default());
    let members = Members::new();
    let advertised = builder()
        .advertise("http://node-1.test:7400/internal/")
        .resolver(name.clone())
        .dns_interval(Duration::from_millis(5));
    let _a = start(advertised, &members);
    for (answer, expected) in [
        (
            &["127.0.1.1:7400", "10.0.0.7:7400"][..],
            "http://10.0.0.7:7400/internal",
        ),
        (&["[fd00::7]:7400"], "http://[fd00::7]:7400/internal"),
        (&[], "http://[fd00::7]:7400/internal"),
        (&["127.0.0.1:7400"], "http://127.0.0.1:7400/internal"),
    ] {
        *name.0.lock() = answer.iter().map(|at| at.parse().unwrap()).collect();
        eventually("it is announced", async || {
            (members.own()?.address == expected).then_some(())
        })
        .await;
    }
}

/// A node without a log that keeps members does not start, and says what it needs.
#[tokio::test]
async fn members_are_needed() {
    let transport = builder().peer("log").build().unwrap();
    let Err(error) = transport.subscribe().await else {
        panic!("it subscribed");
    };
    assert_eq!(
        (error.kind, error.retry),
        (ErrorKind::Invalid, Retry::Permanent)
    );
    assert!(error.message.contains("keeps members"), "{error}");
}

/// Where the others reach this node must be known, and be of use.
#[test]
fn the_own_address_must_be_known() {
    let everywhere = || builder().listen(([0, 0, 0, 0], 0).into());
    let error = everywhere().peer("log").build().unwrap_err();
    assert!(error.message.contains("advertise"), "{error}");
    let unused = builder().advertise("10.0.0.1:7400").build().unwrap_err();
    assert!(unused.message.contains("nobody looks"), "{unused}");
    for bad in [
        "",
        "host",
        "0.0.0.0:7400",
        "dns:host:7400",
        "log",
        "https://a:1",
        "u:p@host:1",
    ] {
        let error = everywhere().peer("log").advertise(bad).build().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{bad}: {error}");
        assert!(error.message.contains("advertised"), "{bad}: {error}");
    }
    everywhere()
        .peer("log")
        .advertise("10.0.0.1:7400")
        .build()
        .unwrap();
}
