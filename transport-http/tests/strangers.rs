//! `P18`: what is not signed right, for this run of this node, for the first time, changes nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use invalidation_core::{ErrorKind, GapReason, Subscription};
use invalidation_transport_http::HttpTransport;
use support::{
    CLUSTER, SECRET, TestNode, builder, eventually, next_gap, next_text, post, post_to, raw,
    tap::{Mode, Passed, Tap},
    within,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// A sender, a tap, a receiver, and one frame that was received.
struct Scene {
    a: TestNode,
    b: TestNode,
    tap: Tap,
    at_b: Subscription,
    captured: Passed,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|b| b).await
    }

    async fn with(
        configure: impl FnOnce(
            invalidation_transport_http::HttpTransportBuilder,
        ) -> invalidation_transport_http::HttpTransportBuilder,
    ) -> Self {
        let b = TestNode::start(configure(builder()));
        let tap = Tap::start(b.address).await;
        let a = TestNode::start(builder().peer(tap.address.to_string()));
        let mut at_b = b.subscribe().await;
        a.publish_one("captured").await.unwrap();
        assert_eq!(next_text(&mut at_b).await, "captured");
        let captured = tap.last_frames();
        Self {
            a,
            b,
            tap,
            at_b,
            captured,
        }
    }

    /// Nothing was yielded, and the sender's session is as it was: the next signal is its next frame.
    async fn assert_nothing_happened(&mut self) {
        self.a.publish_one("the next").await.unwrap();
        assert_eq!(next_text(&mut self.at_b).await, "the next");
    }
}

/// A captured request is not accepted again.
#[tokio::test]
async fn a_replayed_body_is_refused() {
    let mut scene = Scene::new().await;
    for _ in 0..3 {
        let answer = post(scene.b.address, &scene.captured.request).await;
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    scene.assert_nothing_happened().await;
}

/// A request with any one bit changed is refused, wherever the bit is.
#[tokio::test]
async fn a_forged_body_is_refused() {
    let mut scene = Scene::new().await;
    for at in 0..scene.captured.request.len() {
        let mut forged = scene.captured.request.clone();
        forged[at] ^= 1;
        let answer = post(scene.b.address, &forged).await;
        assert!((400..500).contains(&answer.status), "byte {at}: {answer:?}");
        // Refused for what it is, not because the original was received before.
        assert_ne!(answer.status, 409, "byte {at}: {answer:?}");
    }
    // In the sender, the session, the counter, the tag and the payload only the signature tells.
    for at in [20, 57, 65, 80, scene.captured.request.len() - 1] {
        let mut forged = scene.captured.request.clone();
        forged[at] ^= 1;
        assert_eq!(post(scene.b.address, &forged).await.status, 403);
    }
    scene.assert_nothing_happened().await;
}

/// A request that is cut short, or longer than it says, is refused.
#[tokio::test]
async fn a_truncated_body_is_refused() {
    let mut scene = Scene::new().await;
    let whole = scene.captured.request.clone();
    for length in 0..whole.len() {
        let answer = post(scene.b.address, &whole[..length]).await;
        assert_eq!(answer.status, 400, "{length} bytes: {answer:?}");
    }
    let longer = [&whole[..], b"x"].concat();
    assert_eq!(post(scene.b.address, &longer).await.status, 422);
    scene.assert_nothing_happened().await;
}

/// A body above the cap is refused, whether it says its length or not.
#[tokio::test]
async fn an_oversized_body_is_refused() {
    let mut scene = Scene::with(|b| b.body_cap(4_096)).await;
    let body = vec![1; 4_097];
    assert_eq!(post(scene.b.address, &body).await.status, 413);
    let head =
        b"POST /cache-invalidation HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n", body.len());
    let chunked = [&head[..], chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(raw(scene.b.address, &chunked).await.status, 413);
    scene.assert_nothing_happened().await;
}

/// A body of another version of the format is refused as such.
#[tokio::test]
async fn an_unknown_version_is_refused() {
    let mut scene = Scene::new().await;
    let mut newer = scene.captured.request.clone();
    newer[0] = 2;
    assert_eq!(post(scene.b.address, &newer).await.status, 415);
    scene.assert_nothing_happened().await;
}

/// Other methods and paths are refused.
#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let mut scene = Scene::new().await;
    let get = b"GET /cache-invalidation HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(raw(scene.b.address, get).await.status, 405);
    assert_eq!(post_to(scene.b.address, "/other", b"x").await.status, 404);
    scene.assert_nothing_happened().await;
}

/// A body that never comes is given up, and so are more unverified requests than may be in flight.
#[tokio::test]
async fn slow_and_many_strangers_are_bounded() {
    let b = TestNode::start(
        builder()
            .max_unverified(1)
            .body_deadline(std::time::Duration::from_secs(2)),
    );
    let mut slow = TcpStream::connect(b.address).await.unwrap();
    slow.write_all(b"POST /cache-invalidation HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1")
        .await
        .unwrap();
    eventually("the only place is taken", async || {
        (post(b.address, b"1").await.status == 503).then_some(())
    })
    .await;
    let answer = within(support::read_answer(&mut slow)).await;
    assert_eq!(answer.status, 408);
    assert_eq!(post(b.address, b"1").await.status, 415);
}

/// A signature names its recipient: what was sent to one node is refused by another of the same cluster.
#[tokio::test]
async fn a_body_for_another_node_is_refused() {
    let mut scene = Scene::new().await;
    let c = TestNode::start(builder());
    let mut at_c = c.subscribe().await;
    assert_eq!(post(c.address, &scene.captured.request).await.status, 421);
    scene.assert_nothing_happened().await;
    let d = TestNode::start(builder().peer(c.at()));
    d.publish_one("first").await.unwrap();
    assert_eq!(next_text(&mut at_c).await, "first");
}

/// A signature names one run: what was sent to a node before it restarted is refused after.
#[tokio::test]
async fn a_body_for_an_earlier_run_is_refused() {
    use invalidation_core::CacheInvalidationTransport;
    let Scene {
        b, captured, tap, ..
    } = Scene::new().await;
    drop(tap);
    b.transport.close().await.unwrap();
    let again = TestNode::start_at(b.address).await;
    assert_eq!(post(again.address, &captured.request).await.status, 421);
}

/// A signature names its cluster, and nodes of two clusters with one secret do not mix.
#[tokio::test]
async fn a_body_of_another_cluster_is_refused() {
    let mut scene = Scene::new().await;
    let other = TestNode::start(
        HttpTransport::builder("another")
            .listen(([127, 0, 0, 1], 0).into())
            .secret(SECRET)
            .peer(scene.b.at()),
    );
    assert_eq!(
        post(other.address, &scene.captured.request).await.status,
        424
    );
    let error = other.publish_one("x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    scene.assert_nothing_happened().await;
}

/// Who has another secret, or none, is refused, and is told so.
#[tokio::test]
async fn another_secret_is_refused() {
    let mut scene = Scene::new().await;
    let listen = ([127, 0, 0, 1], 0).into();
    for stranger in [
        HttpTransport::builder(CLUSTER).secret("not the secret of the tests"),
        HttpTransport::builder(CLUSTER).insecure(true),
    ] {
        let stranger = TestNode::start(stranger.listen(listen).peer(scene.b.at()));
        let error = stranger.publish_one("x").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
    scene.assert_nothing_happened().await;
}

/// A session that was forgotten to bound memory is not accepted again: its captured request is refused, and
/// its sender is greeted anew and resyncs.
#[tokio::test]
async fn forgetting_a_session_reopens_nothing() {
    let mut scene = Scene::with(|b| b.max_sessions(1)).await;
    let c = TestNode::start(builder().peer(scene.b.at()));
    c.publish_one("evicts").await.unwrap();
    assert_eq!(next_text(&mut scene.at_b).await, "evicts");
    assert_eq!(
        post(scene.b.address, &scene.captured.request).await.status,
        410
    );
    let error = scene.a.publish_one("lost").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(next_gap(&mut scene.at_b).await, GapReason::Resync);
}

/// A request that reaches another node than the one it was signed for is lost loudly: the sender greets the
/// other one, and that one is told of the gap.
#[tokio::test]
async fn a_peer_that_became_another_node_is_greeted_and_resynced() {
    let scene = Scene::new().await;
    let c = TestNode::start(builder());
    let mut at_c = c.subscribe().await;
    scene.tap.set(Mode::Forward(c.address));
    assert!(scene.a.publish_one("for b").await.is_err());
    assert_eq!(next_gap(&mut at_c).await, GapReason::Resync);
    scene.a.publish_until_received("for c").await;
    let outcome = scene.a.publish("for c").await.remove(0);
    assert_eq!(outcome.node, Some(c.id));
}

/// An answer fits one request: an old one, or any other, is not taken for an answer.
#[tokio::test]
async fn a_replayed_or_forged_answer_is_refused() {
    for forged in [false, true] {
        let scene = Scene::new().await;
        let answer = match forged {
            false => scene.captured.answer.clone(),
            true => b"OK".to_vec(),
        };
        scene.tap.set(Mode::Answer(answer));
        let error = scene.a.publish_one("swallowed").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
}

/// A redirect is an error; nobody goes where it points.
#[tokio::test]
async fn redirects_are_not_followed() {
    let b = TestNode::start(builder());
    let mut at_b = b.subscribe().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let redirect = format!(
        "HTTP/1.1 307 x\r\nlocation: http://{}/cache-invalidation\r\ncontent-length: 0\r\n\r\n",
        b.address
    );
    let redirecting = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            support::read_message(&mut stream).await;
            let _ = stream.write_all(redirect.as_bytes()).await;
        }
    });
    let a = TestNode::start(builder().peer(at.to_string()));
    let error = a.publish_one("astray").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("redirect"), "{error}");
    let c = TestNode::start(builder().peer(b.at()));
    c.publish_one("direct").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "direct");
    redirecting.abort();
}
