//! Nodes, waiting with deadlines, and raw HTTP for what no honest node would send.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by several tests, which may panic"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use invalidation_core::{
    Applied, CacheInvalidationTransport, Error, Frame, GapReason, NodeId, Outgoing, PeerOutcome,
    Signal, Subscription,
};
use invalidation_transport_http::{HttpTransport, HttpTransportBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const SECRET: &str = "a secret of the tests, long enough";
pub(crate) const CLUSTER: &str = "tests";
/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A builder for a node on a free loopback port.
pub(crate) fn builder() -> HttpTransportBuilder {
    HttpTransport::builder(CLUSTER)
        .listen(([127, 0, 0, 1], 0).into())
        .secret(SECRET)
        .reconnect_wait(Duration::from_millis(10), Duration::from_millis(50))
}

/// A started node.
pub(crate) struct TestNode {
    pub(crate) transport: Arc<HttpTransport>,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
}

impl TestNode {
    pub(crate) fn start(builder: HttpTransportBuilder) -> Self {
        let transport = Arc::new(builder.build().expect("valid settings"));
        let id = NodeId::random();
        transport.bind(id);
        let address = transport.local_addr().expect("a listener");
        Self {
            transport,
            id,
            address,
        }
    }

    /// On a port that an earlier node had.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        eventually("the port is free", async || {
            let transport = Arc::new(builder().listen(address).build().ok()?);
            let id = NodeId::random();
            transport.bind(id);
            Some(Self {
                transport,
                id,
                address,
            })
        })
        .await
    }

    pub(crate) fn at(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn subscribe(&self) -> Subscription {
        self.transport.subscribe().await.expect("subscribed")
    }

    /// Publishes, and gives the outcomes by peer.
    pub(crate) async fn publish(&self, text: &str) -> Vec<PeerOutcome> {
        let frame = Outgoing::to_all(Bytes::copy_from_slice(text.as_bytes()));
        within(self.transport.publish(frame))
            .await
            .expect("published")
            .peers
    }

    /// Publishes to the only peer.
    pub(crate) async fn publish_one(&self, text: &str) -> Result<Option<Applied>, Arc<Error>> {
        let mut outcomes = self.publish(text).await;
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0).result
    }

    /// Publishes until the only peer received it.
    pub(crate) async fn publish_until_received(&self, text: &str) {
        eventually("the peer receives", async || {
            self.publish_one(text).await.ok()
        })
        .await;
    }
}

/// What `future` gives, before the deadline.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("within the deadline")
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("never: {what}"),
    }
}

/// The next signal.
pub(crate) async fn next(subscription: &mut Subscription) -> Signal {
    within(subscription.next())
        .await
        .expect("the subscription goes on")
        .expect("without an error")
}

/// The next frame; a gap before it fails the test.
pub(crate) async fn next_frame(subscription: &mut Subscription) -> Frame {
    match next(subscription).await {
        Signal::Frame(frame) => frame,
        other => panic!("expected a frame: {other:?}"),
    }
}

/// The next frame's text.
pub(crate) async fn next_text(subscription: &mut Subscription) -> String {
    text(&next_frame(subscription).await)
}

pub(crate) fn text(frame: &Frame) -> String {
    String::from_utf8(frame.bytes.to_vec()).expect("text")
}

/// The next signal, which must be a gap.
pub(crate) async fn next_gap(subscription: &mut Subscription) -> GapReason {
    match next(subscription).await {
        Signal::Gap(reason) => reason,
        other => panic!("expected a gap: {other:?}"),
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends `body` in a request of its own to the usual path.
pub(crate) async fn post(address: SocketAddr, body: &[u8]) -> Answer {
    post_to(address, "/cache-invalidation", body).await
}

/// Sends `body` in a request of its own.
pub(crate) async fn post_to(address: SocketAddr, path: &str, body: &[u8]) -> Answer {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    raw(address, &request).await
}

/// Sends bytes, ends the sending side, and reads the answer.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The peer may answer and close before it read everything.
    let _ = stream.write_all(request).await;
    within(read_answer(&mut stream)).await
}

/// Reads one answer, by its content length.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let (head, body) = read_message(stream).await.expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body }
}

/// Reads one request or answer, by its content length. `None` at the end of the stream.
pub(crate) async fn read_message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}
