//! The authenticated conversation with one peer: hello, then batches.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use invalidation_core::{BoxError, Error, ErrorKind, NodeId, Retry};
use rand::RngExt as _;
use tokio::time::timeout;

use crate::{
    auth::{Key, KeyId, Tag},
    builder::Settings,
    connect::{Endpoint, Link},
    envelope::{ClusterTag, Purpose, RESPONSE_HEAD, RequestHead, open_response, seal_request},
    wire::{Batch, Item, ItemOutcome},
};

/// A conversation with one peer.
pub(crate) struct Exchange {
    settings: Arc<Settings>,
    node: NodeId,
    cluster: ClusterTag,
    endpoint: Endpoint,
    link: Option<Link>,
    session: Option<Session>,
}

/// What the peer's last hello allows.
struct Session {
    peer: NodeId,
    number: u64,
    /// The last one used.
    counter: u64,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection, or the connection was lost.
    Unreachable(String),
    /// No answer in time.
    TimedOut(Duration),
    /// An answer other than 200.
    Refused(StatusCode),
    /// An answer that no member of the cluster gave to this request.
    NotGenuine,
}

impl Exchange {
    pub(crate) fn new(settings: Arc<Settings>, node: NodeId, endpoint: Endpoint) -> Self {
        Self {
            cluster: ClusterTag::of(&settings.cluster),
            settings,
            node,
            endpoint,
            link: None,
            session: None,
        }
    }

    /// Whether a batch can be sent without a hello.
    pub(crate) const fn is_open(&self) -> bool {
        self.link.is_some() && self.session.is_some()
    }

    /// Drops the connection.
    pub(crate) fn disconnect(&mut self) {
        self.link = None;
        self.session = None;
    }

    /// Waits until the peer closes the connection. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        match &mut self.link {
            Some(link) => link.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Asks the peer who it is, and for a session if it is not the one known; connects if needed. The
    /// answer is signed over a fresh nonce, so that an old one does not pass.
    pub(crate) async fn hello(&mut self) -> Result<NodeId, Failure> {
        let nonce: [u8; 16] = rand::rng().random();
        let head = self.head(Purpose::Hello, NodeId::from_bytes([0; 16]), 0, 0);
        let (body, tag) = seal_request(
            head,
            &self.settings.credentials,
            self.settings.cluster.as_str(),
            |payload| payload.extend_from_slice(&nonce),
            nonce.len(),
        );
        let (peer, payload) = self.request(body, &tag).await?;
        let session = <[u8; 8]>::try_from(&payload[..]).map_err(|_| Failure::NotGenuine)?;
        // A mere sign of life leaves the session as it is.
        if self.session.as_ref().is_none_or(|known| known.peer != peer) {
            self.session = Some(Session {
                peer,
                number: u64::from_be_bytes(session),
                counter: 0,
            });
        }
        Ok(peer)
    }

    /// Sends one batch: one attempt. The outcomes are in the order of the items.
    pub(crate) async fn send(&mut self, items: Vec<Item>) -> Result<Vec<ItemOutcome>, Failure> {
        let count = items.len();
        let batch = Batch {
            // What remains is for the way back.
            ack_within_ms: u32::try_from(self.settings.publish_timeout.as_millis() * 3 / 4)
                .unwrap_or(u32::MAX),
            items,
        };
        let Some(session) = &mut self.session else {
            return Err(Failure::Unreachable("not connected".into()));
        };
        session.counter += 1;
        let (peer, number, counter) = (session.peer, session.number, session.counter);
        let head = self.head(Purpose::Frames, peer, number, counter);
        let (body, tag) = seal_request(
            head,
            &self.settings.credentials,
            self.settings.cluster.as_str(),
            |payload| batch.write(payload),
            batch.size(),
        );
        let (responder, payload) = self.request(body, &tag).await?;
        let outcomes: Option<Vec<_>> = payload
            .iter()
            .map(|&byte| ItemOutcome::from_byte(byte))
            .collect();
        outcomes
            .filter(|outcomes| outcomes.len() == count && responder == peer)
            .ok_or(Failure::NotGenuine)
    }

    fn head(&self, purpose: Purpose, recipient: NodeId, session: u64, counter: u64) -> RequestHead {
        RequestHead {
            purpose,
            key: self
                .settings
                .credentials
                .signer()
                .map_or(KeyId::NONE, Key::id),
            cluster: self.cluster,
            sender: self.node,
            recipient,
            session,
            counter,
            tag: Tag::default(),
        }
    }

    /// One request, connecting if needed, within the publish timeout. A connection that failed, or whose
    /// answer may still come, is dropped.
    async fn request(
        &mut self,
        body: bytes::Bytes,
        tag: &Tag,
    ) -> Result<(NodeId, bytes::Bytes), Failure> {
        let limit = self.settings.publish_timeout;
        let endpoint = &self.endpoint;
        let mut link = self.link.take();
        let cap = RESPONSE_HEAD + self.settings.body_cap;
        let answer = timeout(limit, async {
            let mut link = match link.take() {
                Some(link) => link,
                None => Link::open(&endpoint.address).await?,
            };
            let answer = link.post(endpoint, body, cap).await?;
            Ok::<_, BoxError>((link, answer))
        });
        match answer.await {
            Err(_) => Err(Failure::TimedOut(limit)),
            Ok(Err(error)) => Err(Failure::Unreachable(whole(&*error))),
            Ok(Ok((link, (status, answer)))) => {
                self.link = Some(link);
                if status != StatusCode::OK {
                    return Err(Failure::Refused(status));
                }
                let credentials = &self.settings.credentials;
                open_response(&answer, credentials, self.settings.cluster.as_str(), tag)
                    .ok_or(Failure::NotGenuine)
            }
        }
    }
}

/// An error with its causes: an I/O error stands two levels below hyper's.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Failure {
    /// Whether a new hello may mend it: the connection was lost, or the peer does not know what the last
    /// hello handed out (it restarted, or forgot).
    pub(crate) fn wants_hello(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => matches!(
                *status,
                StatusCode::MISDIRECTED_REQUEST | StatusCode::GONE | StatusCode::CONFLICT
            ),
            Self::TimedOut(_) | Self::NotGenuine => false,
        }
    }

    /// Whether the connection is as good as before.
    pub(crate) fn keeps_link(&self) -> bool {
        matches!(self, Self::Refused(StatusCode::SERVICE_UNAVAILABLE))
    }

    /// The error to report. Nothing of what the peer wrote is repeated.
    pub(crate) fn error(&self, operation: &'static str) -> Error {
        let error = |kind, message: String| Error::new(kind, "http", operation, message);
        match self {
            Self::Unreachable(source) => error(
                ErrorKind::Unavailable,
                format!("the peer could not be reached, or the connection to it was lost: {source}"),
            ),
            Self::TimedOut(limit) => {
                error(ErrorKind::TimedOut, format!("the peer did not answer within {limit:?}"))
            }
            Self::NotGenuine => error(
                ErrorKind::Denied,
                "the answer is not signed by a member of the cluster: check that both nodes have the same \
                 secret and cluster, and that this is the peer's address"
                    .into(),
            ),
            Self::Refused(status) => match *status {
                StatusCode::SERVICE_UNAVAILABLE => error(
                    ErrorKind::Unavailable,
                    "the peer has no subscription, or is too busy (503)".into(),
                ),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::FAILED_DEPENDENCY => {
                    error(
                        ErrorKind::Denied,
                        format!(
                            "the peer refused the signature ({status}): check that both nodes have the same \
                             secret and cluster"
                        ),
                    )
                }
                StatusCode::PAYLOAD_TOO_LARGE => error(
                    ErrorKind::TooLarge,
                    "the peer accepts no bodies of this size (413): give all nodes the same body cap"
                        .into(),
                ),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => error(
                    ErrorKind::Incompatible,
                    "the peer does not know this version of the protocol (415)".into(),
                ),
                StatusCode::MISDIRECTED_REQUEST | StatusCode::GONE | StatusCode::CONFLICT => error(
                    ErrorKind::Unavailable,
                    format!("the peer restarted or forgot this node ({status}); it will be greeted again"),
                ),
                status if status.is_redirection() => error(
                    ErrorKind::Invalid,
                    format!("the peer answered with a redirect ({status}), which is never followed"),
                ),
                status => error(
                    ErrorKind::Invalid,
                    format!("the peer answered {status}: check that its address and prefix are right"),
                )
                .with_retry(Retry::Temporary),
            },
        }
    }
}
