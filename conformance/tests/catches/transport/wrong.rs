//! A transport around the one in memory, honest but for one mistake.

use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{
    Applied, CacheInvalidationTransport, Delivery, Destination, Error, ErrorKind, MemoryTransport,
    NodeId, Outgoing, Subscription, TransportCapabilities,
};
use parking_lot::Mutex;

use super::{harness::MAX_FRAME, streams};

/// How soon it notices that a link fell silent.
const NOTICES_WITHIN: Duration = Duration::from_secs(1);

/// What such a transport gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    ReconnectsSilently,
    ReadyTooEarly,
    SwallowsErrors,
    SendsLate,
    Reorders,
    LosesWhenBusy,
    Truncates,
    TakesFramesForText,
    SkipsEmptyFrames,
    TakesAnySize,
    Echoes,
    TellsEverybody,
    ForgetsAPeer,
    AcknowledgesEarly,
    AcknowledgesTheDropped,
    OneAtATime,
    OverflowsSilently,
    BuffersWithoutBound,
    CrossesClusters,
    BelievesStrangers,
    NamesNoKind,
    ShowsItsSecret,
    LogsItsSecret,
    ProbesNothing,
    TrustsSilence,
    KeepsALockWhenDropped,
    ClosesOnlyOnce,
    CloseLeavesSubscriptions,
    CloseWaitsForPublish,
    WorksAfterClose,
    SubscribesOnce,
    LeaksATask,
}

/// One node's transport.
pub(super) struct Wrong {
    inner: MemoryTransport,
    mistake: Option<Mistake>,
    secret: &'static str,
    /// Whether pings come back.
    silent: Arc<AtomicBool>,
    in_flight: AtomicUsize,
    locked: AtomicBool,
    subscribed: AtomicBool,
    closed: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    failed: Mutex<Vec<Outgoing>>,
}

impl Wrong {
    pub(super) fn new(
        inner: MemoryTransport,
        mistake: Option<Mistake>,
        secret: &'static str,
        silent: Arc<AtomicBool>,
    ) -> Self {
        Self {
            inner,
            mistake,
            secret,
            silent,
            in_flight: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            subscribed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) && !self.makes(Mistake::WorksAfterClose) {
            return Err(Error::new(
                ErrorKind::Closed,
                "wrong",
                operation,
                "it was closed",
            ));
        }
        Ok(())
    }

    async fn send(&self, mut frame: Outgoing) -> Result<Delivery, Error> {
        let wanted = frame.want_ack;
        match self.mistake {
            Some(Mistake::SkipsEmptyFrames) if frame.bytes.is_empty() => {
                return Ok(Delivery::default());
            }
            Some(Mistake::LosesWhenBusy) if self.in_flight.load(Ordering::SeqCst) > 5 => {
                return Ok(Delivery::default());
            }
            Some(Mistake::Truncates) => frame.bytes.truncate(1_024),
            Some(Mistake::TakesFramesForText) => {
                let text = String::from_utf8_lossy(&frame.bytes).into_owned();
                frame.bytes = text.into();
            }
            Some(Mistake::TellsEverybody) => frame.to = Destination::All,
            Some(Mistake::AcknowledgesEarly) => frame.want_ack = false,
            Some(Mistake::KeepsALockWhenDropped) => {
                while self.locked.swap(true, Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::task::yield_now().await;
            }
            _ => {}
        }
        let _turn = match self.mistake {
            Some(Mistake::OneAtATime) => Some(self.turn.lock().await),
            _ => None,
        };
        let published = self.inner.publish(frame.clone()).await;
        self.locked.store(false, Ordering::SeqCst);
        let mut delivery = match (published, self.mistake) {
            (Err(_), Some(Mistake::SwallowsErrors)) => return Ok(Delivery::default()),
            (Err(error), Some(Mistake::SendsLate)) => {
                self.failed.lock().push(frame);
                return Err(error);
            }
            (published, _) => published?,
        };
        let late = mem::take(&mut *self.failed.lock());
        for frame in late {
            self.inner.publish(frame).await?;
        }
        match self.mistake {
            Some(Mistake::ForgetsAPeer) => {
                delivery.peers.pop();
            }
            Some(Mistake::AcknowledgesEarly | Mistake::AcknowledgesTheDropped) if wanted => {
                for peer in &mut delivery.peers {
                    peer.result = Ok(Some(Applied::new()));
                }
            }
            _ => {}
        }
        Ok(delivery)
    }
}

#[async_trait]
impl CacheInvalidationTransport for Wrong {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.max_frame = MAX_FRAME;
        capabilities.echoes = false;
        capabilities.notices_loss_within = NOTICES_WITHIN;
        capabilities
    }

    fn bind(&self, node: NodeId) {
        self.inner.bind(node);
        if self.makes(Mistake::LeaksATask) {
            tokio::spawn(std::future::pending::<()>());
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.check_open("subscribe")?;
        if self.makes(Mistake::LogsItsSecret) {
            tracing::trace!(secret = self.secret, "subscribing");
        }
        if self.subscribed.swap(true, Ordering::SeqCst) && self.makes(Mistake::SubscribesOnce) {
            let message = "there is a subscription already";
            return Err(Error::new(
                ErrorKind::Invalid,
                "wrong",
                "subscribe",
                message,
            ));
        }
        if self.makes(Mistake::ReadyTooEarly) {
            return Ok(streams::late(self.inner.clone()));
        }
        let stream = self.inner.subscribe().await?;
        Ok(match self.mistake {
            Some(Mistake::ReconnectsSilently) => streams::reconnecting(stream, self.inner.clone()),
            Some(Mistake::Reorders) => streams::reordered(stream),
            Some(Mistake::OverflowsSilently) => streams::without_gaps(stream),
            Some(Mistake::TrustsSilence) => stream,
            _ => streams::pinging(stream, Arc::clone(&self.silent), NOTICES_WITHIN),
        })
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        self.check_open("publish")?;
        let in_flight = InFlight::one_more(&self.in_flight);
        if self.makes(Mistake::LosesWhenBusy) {
            tokio::task::yield_now().await;
        }
        let published = self.send(frame).await;
        drop(in_flight);
        published
    }

    async fn probe(&self) -> Result<(), Error> {
        self.check_open("probe")?;
        if self.makes(Mistake::ProbesNothing) {
            return Ok(());
        }
        self.inner.probe().await
    }

    async fn close(&self) -> Result<(), Error> {
        let again = self.closed.swap(true, Ordering::SeqCst);
        match self.mistake {
            Some(Mistake::ClosesOnlyOnce) if again => {
                let message = "it was closed already";
                return Err(Error::new(ErrorKind::Closed, "wrong", "close", message));
            }
            Some(Mistake::CloseLeavesSubscriptions | Mistake::WorksAfterClose) => return Ok(()),
            Some(Mistake::CloseWaitsForPublish) if self.in_flight.load(Ordering::SeqCst) > 0 => {
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        self.inner.close().await
    }
}

/// Counts a call while it runs, also one that is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Wrong");
        if self.makes(Mistake::ShowsItsSecret) {
            shown.field("secret", &self.secret);
        }
        shown.finish_non_exhaustive()
    }
}
