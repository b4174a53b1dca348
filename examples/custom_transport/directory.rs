//! A transport over a directory of files, for processes on one host: what a transport of your own looks like.

use std::{
    collections::VecDeque,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cache_invalidation::{
    CacheInvalidationTransport, Delivery, Destination, Error, ErrorKind, Frame, GapReason, NodeId,
    Outgoing, PeerOutcome, Sender, Signal, Subscription, TransportCapabilities,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::inbox::{self, Inbox, Put, Sending};

/// The largest frame.
const MAX_FRAME: usize = 64 << 10;
/// How often a subscriber looks into its inbox.
const LOOK: Duration = Duration::from_millis(5);
/// How long any call takes at most.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Frames as files, each linked into the inbox of every node that listens.
///
/// # Delivery semantics
/// - A frame is there when `publish` returns, in order for each node; the subscriber sees it within 5 ms.
/// - An inbox holds 256 frames. More are dropped with a gap, and the publisher is told.
/// - Whoever may write to the directory is believed to be nobody in particular: frames come as
///   [`Sender::Unknown`]. Give it to the service's user alone.
/// - It does not acknowledge; a node that only publishes leaves no file behind.
pub(crate) struct DirectoryTransport {
    shared: Arc<Shared>,
    closing: CancellationToken,
    /// Dropped with this, the subscriptions end.
    _end: DropGuard,
}

struct Shared {
    directory: PathBuf,
    node: Mutex<NodeId>,
    subscriptions: AtomicU64,
    /// The sequence of the last frame. Held while it is sent, so that frames are put in order.
    sent: Mutex<u64>,
}

impl DirectoryTransport {
    /// Over a directory that exists, one for each cluster.
    pub(crate) fn new(directory: impl AsRef<Path>) -> Self {
        let closing = CancellationToken::new();
        Self {
            shared: Arc::new(Shared {
                directory: directory.as_ref().to_owned(),
                node: Mutex::new(NodeId::random()),
                subscriptions: AtomicU64::new(0),
                sent: Mutex::default(),
            }),
            _end: closing.clone().drop_guard(),
            closing,
        }
    }

    /// Does something with files, in time, unless this was closed.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        let working = spawn_blocking(move || work(&shared));
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(error(ErrorKind::Closed, operation, "it was closed")),
            worked = timeout(TIMEOUT, working) => match worked {
                Ok(Ok(Ok(done))) => Ok(done),
                Ok(Ok(Err(failed))) => Err(unavailable(operation, failed)),
                Ok(Err(panicked)) => Err(unavailable(operation, io::Error::other(panicked))),
                Err(_) => Err(error(ErrorKind::TimedOut, operation, "the file system is slow")),
            },
        }
    }
}

impl Shared {
    /// To each inbox that it is for. Fails when the directory is not there.
    fn send(&self, frame: &Outgoing) -> io::Result<Vec<PeerOutcome>> {
        let mut sent = self.sent.lock();
        *sent += 1;
        let own = *self.node.lock();
        let sending = Sending::write(&self.directory, own, *sent, &frame.bytes)?;
        let mut outcomes = Vec::new();
        for inbox in inbox::all(&self.directory)? {
            let Some(node) = parse(&inbox.node).filter(|node| *node != own) else {
                continue;
            };
            if matches!(frame.to, Destination::Node(only) if only != node) {
                continue;
            }
            let result = match sending.put(&inbox) {
                Ok(Put::There) => Ok(None),
                Ok(Put::Gone) => continue,
                Ok(Put::Full) => Err(error(
                    ErrorKind::TooLarge,
                    "publish",
                    "its inbox is full: the frame was dropped, and it will be told of the gap",
                )),
                Err(failed) => Err(unavailable("publish", failed)),
            };
            let result = result.map_err(Arc::new);
            outcomes.push(PeerOutcome::new(inbox.node, Some(node), result));
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl CacheInvalidationTransport for DirectoryTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new("directory", MAX_FRAME);
        capabilities.unicast = true;
        capabilities
    }

    fn bind(&self, node: NodeId) {
        *self.shared.node.lock() = node;
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let make = |shared: &Shared| {
            let number = shared.subscriptions.fetch_add(1, Ordering::SeqCst);
            // An inbox that nobody takes over, since the caller went away, is removed as it is dropped.
            Inbox::make(&shared.directory, *shared.node.lock(), number)
        };
        let inbox = self.run("subscribe", make).await?;
        let reader = Reader {
            inbox: Some(inbox),
            signals: VecDeque::new(),
        };
        let closed = self.closing.clone().cancelled_owned();
        let signals = stream::unfold(reader, async |mut reader| {
            let signal = reader.next().await?;
            Some((signal, reader))
        });
        Ok(signals.boxed().take_until(closed).boxed())
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        if frame.bytes.len() > MAX_FRAME {
            return Err(error(
                ErrorKind::TooLarge,
                "publish",
                "a frame is above max_frame",
            ));
        }
        let send = move |shared: &Shared| shared.send(&frame);
        Ok(Delivery::new(self.run("publish", send).await?))
    }

    async fn probe(&self) -> Result<(), Error> {
        self.run("probe", |shared| inbox::all(&shared.directory).map(drop))
            .await
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        let shared = Arc::clone(&self.shared);
        // A directory that is not there has no inboxes of ours.
        let remove = move || drop(inbox::remove(&shared.directory, *shared.node.lock()));
        let _ = spawn_blocking(remove).await;
        Ok(())
    }
}

/// One subscription.
struct Reader {
    /// `None` once it failed.
    inbox: Option<Inbox>,
    /// Taken and not yielded yet.
    signals: VecDeque<Signal>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Signal, Error>> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Some(Ok(signal));
            }
            let mut inbox = self.inbox.take()?;
            let looking = spawn_blocking(move || inbox.take().map(|taken| (inbox, taken)));
            let (inbox, taken) = match looking.await.map_err(io::Error::other).flatten() {
                Ok(looked) => looked,
                // Told once; the node subscribes again, and takes that for a gap.
                Err(failed) => return Some(Err(unavailable("subscribe", failed))),
            };
            self.inbox = Some(inbox);
            if taken.lost {
                self.signals.push_back(Signal::Gap(GapReason::Overflow));
            }
            let frames = taken.frames.into_iter();
            let frames = frames.map(|bytes| Frame::new(Bytes::from(bytes), Sender::Unknown));
            self.signals.extend(frames.map(Signal::Frame));
            if self.signals.is_empty() {
                sleep(LOOK).await;
            }
        }
    }
}

fn parse(node: &str) -> Option<NodeId> {
    let number = u128::from_str_radix(node, 16).ok()?;
    Some(NodeId::from_bytes(number.to_be_bytes()))
}

fn error(kind: ErrorKind, operation: &'static str, message: &'static str) -> Error {
    Error::new(kind, "directory", operation, message)
}

fn unavailable(operation: &'static str, source: io::Error) -> Error {
    let message = "the directory or an inbox is not there, or may not be used";
    error(ErrorKind::Unavailable, operation, message).with_source(source)
}

impl fmt::Debug for DirectoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryTransport")
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}
