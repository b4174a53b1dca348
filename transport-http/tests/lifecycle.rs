//! Starting, mounting, probing, closing, dropping.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use invalidation_core::{CacheInvalidationTransport, ErrorKind, NodeId, Outgoing};
use invalidation_transport_http::HttpTransport;
use support::{
    CLUSTER, SECRET, TestNode, builder, eventually, next_frame, next_text, post, post_to, within,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

/// `close` may be called often and at once; it ends subscriptions, refuses all else, and frees the port.
#[tokio::test]
async fn close_is_idempotent() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_a = a.subscribe().await;
    let _at_b = b.subscribe().await;
    a.publish_one("x").await.unwrap();
    let closes = join_all((0..3).map(|_| a.transport.close()));
    for closed in within(closes).await {
        closed.unwrap();
    }
    a.transport.close().await.unwrap();
    assert!(within(at_a.next()).await.is_none());
    let x = Outgoing::to_all(Bytes::from_static(b"x"));
    let errors = [
        a.transport.publish(x).await.unwrap_err(),
        a.transport.subscribe().await.err().unwrap(),
        a.transport.probe().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Closed);
    }
    std::net::TcpListener::bind(a.address).unwrap();
}

/// A publish that waits while the transport is closed ends with an error.
#[tokio::test]
async fn close_ends_a_publish() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = silent.local_addr().unwrap().to_string();
    let a = TestNode::start(builder().peer(peer).publish_timeout(support::DEADLINE * 2));
    let publish = a.publish_one("x");
    let close = async {
        let held = silent.accept().await.unwrap();
        a.transport.close().await.unwrap();
        held
    };
    let (outcome, _held) = within(async { tokio::join!(publish, close) }).await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Closed);
}

/// A subscribe that meets a close is refused, or its subscription ends: none goes on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn close_meets_subscribe() {
    for _ in 0..50 {
        let a = TestNode::start(builder());
        let transport = a.transport.clone();
        let subscribing = tokio::spawn(async move {
            match transport.subscribe().await {
                Ok(mut subscription) => subscription.next().await.is_none(),
                Err(error) => error.kind == ErrorKind::Closed,
            }
        });
        a.transport.close().await.unwrap();
        assert!(within(subscribing).await.unwrap());
    }
}

/// An answer in progress is finished while the transport closes.
#[tokio::test]
async fn close_finishes_an_answer_in_progress() {
    let b = TestNode::start(builder().close_grace(support::DEADLINE));
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    let publish = a
        .transport
        .publish(Outgoing::to_all(Bytes::from_static(b"x")).wanting_ack());
    let mut publish = std::pin::pin!(publish);
    let frame = tokio::select! {
        delivery = &mut publish => panic!("not yet: {delivery:?}"),
        frame = next_frame(&mut at_b) => frame,
    };
    let mut close = std::pin::pin!(b.transport.close());
    assert!(futures_util::poll!(close.as_mut()).is_pending());
    eventually("nobody is let in", async || {
        TcpStream::connect(b.address).await.is_err().then_some(())
    })
    .await;
    frame.ack.unwrap().applied();
    let (delivery, closed) = within(async { tokio::join!(publish, close) }).await;
    closed.unwrap();
    let outcome = delivery.unwrap().peers.remove(0);
    assert!(outcome.result.unwrap().is_some());
}

/// Dropping the transport ends every task and closes every connection.
#[tokio::test]
async fn dropping_leaks_nothing() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = TestNode::start(builder().peers([
        silent.local_addr().unwrap().to_string(),
        "dns:localhost:9".into(),
    ]));
    let mut subscription = a.subscribe().await;
    let (mut outgoing, _) = within(silent.accept()).await.unwrap();
    let mut incoming = TcpStream::connect(a.address).await.unwrap();
    assert!(tasks() > before);
    drop(a);
    assert!(within(subscription.next()).await.is_none());
    // The hello that was sent, then the end.
    let mut rest = Vec::new();
    let _ = within(outgoing.read_to_end(&mut rest)).await;
    let _ = within(incoming.read_to_end(&mut rest)).await;
    eventually("all tasks end", async || (tasks() == before).then_some(())).await;
}

/// A router mounted under a prefix receives as the listener does; it is silent before the transport starts,
/// and after it is gone.
#[tokio::test]
async fn a_mounted_router_works_under_a_prefix() {
    let b = HttpTransport::builder(CLUSTER)
        .secret(SECRET)
        .build()
        .unwrap();
    assert_eq!(b.local_addr(), None);
    let app = axum::Router::new().nest("/internal/cache", b.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let path = "/internal/cache/cache-invalidation";
    assert_eq!(post_to(at, path, b"x").await.status, 503);

    let id = NodeId::random();
    b.bind(id);
    let mut at_b = b.subscribe().await.unwrap();
    let a = TestNode::start(builder().peer(format!("http://{at}/internal/cache")));
    let outcome = a.publish("mounted").await.remove(0);
    outcome.result.unwrap();
    assert_eq!(outcome.node, Some(id));
    assert_eq!(next_text(&mut at_b).await, "mounted");
    assert_eq!(post_to(at, path, b"x").await.status, 415);

    drop((b, at_b));
    let error = a.publish_one("gone").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    serving.abort();
}

/// A probe is well when there is no peer or one answers, and fails when none does.
#[tokio::test]
async fn a_probe_asks_every_peer() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = unused.local_addr().unwrap().to_string();
    drop(unused);
    let b = TestNode::start(builder());
    within(b.transport.probe()).await.unwrap();
    let one = TestNode::start(builder().peers([nobody.clone(), b.at()]));
    within(one.transport.probe()).await.unwrap();
    let none = TestNode::start(builder().peer(nobody.clone()));
    let error = within(none.transport.probe()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains(&nobody), "{error}");
}

/// A transport that was built outside a runtime starts with its first call inside one, as the node it was
/// bound to.
#[test]
fn it_is_built_and_bound_outside_a_runtime() {
    let id = NodeId::random();
    let b = Arc::new(builder().build().unwrap());
    b.bind(id);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let _subscription = b.subscribe().await.unwrap();
        let a = TestNode::start(builder().peer(b.local_addr().unwrap().to_string()));
        let outcome = a.publish("x").await.remove(0);
        assert_eq!(outcome.node, Some(id));
        assert_eq!(post(a.address, b"").await.status, 400);
    });
}
