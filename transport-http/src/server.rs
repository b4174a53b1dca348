//! What happens to a request: the checks, in the order of their cost, then the subscriptions.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, extract::State, routing::any};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use invalidation_core::{NodeId, Sender};
use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    builder::Settings,
    envelope::{ClusterTag, Purpose, SealedRequest, seal_response},
    refusal::Refusal,
    replay::Sessions,
    subscribers::{Delivered, Subscribers},
    wire::{Batch, ItemOutcome},
};

/// Where requests go, below a peer's prefix.
pub(crate) const PATH: &str = "/cache-invalidation";

/// No sender makes an answer wait longer than this for acknowledgements.
const MAX_ACK_WAIT: Duration = Duration::from_secs(10);

/// The receiving half of a transport.
#[derive(Debug)]
pub(crate) struct Receiver {
    settings: Arc<Settings>,
    cluster: ClusterTag,
    /// Set when the transport starts.
    node: OnceLock<NodeId>,
    pub(crate) subscribers: Arc<Subscribers>,
    sessions: Mutex<Sessions>,
    /// One permit for each request that is not verified yet.
    unverified: Semaphore,
}

impl Receiver {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            cluster: ClusterTag::of(&settings.cluster),
            node: OnceLock::new(),
            subscribers: Arc::new(Subscribers::new(
                settings.subscription_frames,
                settings.max_buffered_bytes(),
            )),
            sessions: Mutex::new(Sessions::new(settings.max_sessions)),
            unverified: Semaphore::new(settings.max_unverified),
            settings,
        }
    }

    /// Makes it answer, as `node`. Only the first call counts; returns the node it answers as.
    pub(crate) fn start(&self, node: NodeId) -> NodeId {
        *self.node.get_or_init(|| node)
    }

    /// Answers one request. Cancel-safe: dropped before a batch is delivered, nothing happened.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.receive(request).await {
            Ok(body) => respond(200, body, "application/octet-stream"),
            Err(refusal) => {
                counter!("cache_invalidation_http_rejected_total", "reason" => refusal.as_str())
                    .increment(1);
                tracing::debug!(reason = refusal.as_str(), "request refused");
                let text = Bytes::from_static(refusal.as_str().as_bytes());
                respond(refusal.status().as_u16(), text, "text/plain")
            }
        }
    }

    async fn receive<B>(&self, request: Request<B>) -> Result<Bytes, Refusal>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let Some(&node) = self.node.get() else {
            return Err(Refusal::NotServing);
        };
        let permit = self.unverified.try_acquire().map_err(|_| Refusal::Busy)?;
        let body = self.read(request.into_body()).await?;
        let request = SealedRequest::parse(body)?;
        let head = request.head;
        if head.cluster != self.cluster {
            return Err(Refusal::OtherCluster);
        }
        let credentials = &self.settings.credentials;
        let cluster = self.settings.cluster.as_str();
        let key = if credentials.is_insecure() {
            None
        } else {
            let key = credentials.key(head.key).ok_or(Refusal::UnknownKey)?;
            if !request.is_signed_by(key, cluster) {
                return Err(Refusal::Forged);
            }
            Some(key)
        };
        drop(permit);

        let seal = |payload: &[u8]| Ok(seal_response(node, key, cluster, &head.tag, payload));
        match head.purpose {
            Purpose::Hello => {
                let session = self.sessions.lock().issue();
                seal(&session.to_be_bytes())
            }
            Purpose::Frames => {
                // Signed for an earlier run of this node, or for another one: never applied here.
                if head.recipient != node {
                    return Err(Refusal::WrongRecipient);
                }
                let batch = Batch::parse(request.into_payload()).ok_or(Refusal::Malformed)?;
                self.sessions
                    .lock()
                    .accept(head.sender, head.session, head.counter)?;
                let sender = match key {
                    Some(_) => Sender::Authenticated,
                    None => Sender::Unknown,
                };
                seal(&self.deliver(batch, sender).await?)
            }
        }
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, Refusal>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let cap = self.settings.body_cap;
        if body.size_hint().lower() > cap as u64 {
            return Err(Refusal::Oversized);
        }
        match timeout(
            self.settings.body_deadline,
            Limited::new(body, cap).collect(),
        )
        .await
        {
            Err(_) => Err(Refusal::Slow),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::Oversized),
            Ok(Err(_)) => Err(Refusal::Truncated),
        }
    }

    async fn deliver(&self, batch: Batch, sender: Sender) -> Result<Vec<u8>, Refusal> {
        let wait = Duration::from_millis(batch.ack_within_ms.into()).min(MAX_ACK_WAIT);
        let delivered = self
            .subscribers
            .deliver(batch.items, sender)
            .ok_or(Refusal::NotSubscribed)?;
        let mut outcomes = Vec::with_capacity(delivered.len());
        let mut deadline = None;
        for item in delivered {
            outcomes.push(match item {
                Delivered::Now(outcome) => outcome as u8,
                Delivered::Awaiting(acks) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
                    let mut applied = true;
                    for ack in acks {
                        applied &= matches!(timeout_at(deadline, ack).await, Ok(Ok(_)));
                    }
                    match applied {
                        true => ItemOutcome::Applied as u8,
                        false => ItemOutcome::Received as u8,
                    }
                }
            });
        }
        Ok(outcomes)
    }
}

/// Answers with `body`.
pub(crate) fn respond(status: u16, body: Bytes, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// The receiver as a router of the service's own axum app.
pub(crate) fn router(receiver: Arc<Receiver>) -> Router {
    Router::new().route(PATH, any(handle)).with_state(receiver)
}

async fn handle(
    State(receiver): State<Arc<Receiver>>,
    request: axum::extract::Request,
) -> Response<axum::body::Body> {
    receiver.answer(request).await.map(axum::body::Body::new)
}
