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

use super::{
    harness::MAX_FRAME,
    mistake::Mistake,
    net::{Connection, Line, Net, Pulse},
    routes, streams,
};

/// How soon it notices that a link fell silent.
const NOTICES_WITHIN: Duration = Duration::from_secs(1);
/// How long a frame that failed waits until a timer sends it again.
const RETRIES_AFTER: Duration = Duration::from_millis(1_500);

/// One node's transport.
pub(super) struct Wrong {
    pub(super) inner: MemoryTransport,
    mistake: Option<Mistake>,
    secret: &'static str,
    pub(super) net: Arc<Net>,
    pub(super) line: Arc<Line>,
    connection: Mutex<Option<Connection>>,
    pub(super) published: AtomicUsize,
    in_flight: AtomicUsize,
    locked: AtomicBool,
    probed_badly: AtomicBool,
    /// Whether each frame goes out twice.
    twice: AtomicBool,
    subscribed: AtomicBool,
    /// Whether it has a subscription that has not ended.
    alone: Arc<AtomicBool>,
    closed: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    failed: Mutex<Vec<Outgoing>>,
    leaked: Mutex<Vec<Connection>>,
}

impl Wrong {
    pub(super) fn new(
        inner: MemoryTransport,
        mistake: Option<Mistake>,
        secret: &'static str,
        net: Arc<Net>,
        line: Arc<Line>,
    ) -> Self {
        Self {
            inner,
            mistake,
            secret,
            connection: Mutex::new(Some(Connection::open(&line))),
            net,
            line,
            published: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            probed_badly: AtomicBool::new(false),
            twice: AtomicBool::new(false),
            subscribed: AtomicBool::new(false),
            alone: Arc::default(),
            closed: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            leaked: Mutex::default(),
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(super) fn pulse(&self) -> Pulse {
        Pulse {
            net: Arc::clone(&self.net),
            line: Arc::clone(&self.line),
            ignores_pauses: self.makes(Mistake::TrustsAPausedServer),
        }
    }

    fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) && !self.makes(Mistake::WorksAfterClose) {
            let message = "it was closed";
            return Err(Error::new(ErrorKind::Closed, "wrong", operation, message));
        }
        Ok(())
    }

    /// Takes the lock, and leaves it taken when the caller goes away.
    async fn lock(&self) {
        while self.locked.swap(true, Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::SeqCst);
    }

    /// What it makes of a frame before it goes out; `None` when it drops it.
    fn prepare(&self, mut frame: Outgoing) -> Option<Outgoing> {
        match self.mistake {
            Some(Mistake::SkipsEmptyFrames) if frame.bytes.is_empty() => return None,
            Some(Mistake::LosesWhenBusy) if self.in_flight.load(Ordering::SeqCst) > 5 => {
                return None;
            }
            Some(Mistake::DropsTheSlow) if !self.net.delay().is_zero() => return None,
            Some(Mistake::Truncates) => frame.bytes.truncate(1_024),
            Some(Mistake::TakesFramesForText) => {
                let text = String::from_utf8_lossy(&frame.bytes).into_owned();
                frame.bytes = text.into();
            }
            Some(Mistake::TellsEverybody) => frame.to = Destination::All,
            Some(Mistake::AcknowledgesEarly) => frame.want_ack = false,
            _ => {}
        }
        Some(frame)
    }

    async fn send(&self, frame: Outgoing) -> Result<Delivery, Error> {
        let wanted = frame.want_ack;
        let Some(frame) = self.prepare(frame) else {
            return Ok(Delivery::default());
        };
        if self.makes(Mistake::KeepsALockWhenDropped) {
            self.lock().await;
        }
        let _turn = match self.mistake {
            Some(Mistake::OneAtATime) => Some(self.turn.lock().await),
            _ => None,
        };
        let delay = self.net.delay();
        if !delay.is_zero() && !self.makes(Mistake::SaysOkFromItsBuffer) {
            tokio::time::sleep(delay).await;
        }
        let published = match self.mistake {
            Some(Mistake::SharesOneSubscription) => routes::to_one(self, frame.clone()).await,
            Some(Mistake::ReachesAFew) => routes::to_a_few(self, &frame).await,
            Some(Mistake::VisitsPeersInTurn) => routes::in_turn(self, &frame).await,
            Some(Mistake::WaitsForTheSlow) => routes::with_room(self, frame.clone()).await,
            Some(Mistake::KeepsTheLastFrame) if routes::is_silent(self) => {
                *self.failed.lock() = vec![frame];
                return Ok(routes::timed_out());
            }
            Some(Mistake::PublishesForEver) if self.pulse().is_missing() => {
                std::future::pending().await
            }
            Some(Mistake::WaitsForTheBackend) => routes::once_it_is_back(self, &frame).await,
            Some(Mistake::SendsLargeFramesAside)
                if (routes::LARGE..=MAX_FRAME).contains(&frame.bytes.len()) =>
            {
                routes::aside(self, frame.clone())
            }
            Some(Mistake::MixesParts) => routes::in_parts(self, frame.clone()).await,
            Some(Mistake::SaysOkFromItsBuffer) => routes::by_and_by(self, frame.clone()).await,
            Some(Mistake::TrustsItsOwnSilence) => self.inner.publish(frame.clone()).await,
            _ => routes::confirmed(self, frame.clone()).await,
        };
        self.unlock();
        let mut delivery = match (published, self.mistake) {
            (Err(_), Some(Mistake::SwallowsErrors)) => return Ok(Delivery::default()),
            (Err(error), Some(Mistake::SendsLate)) => {
                self.failed.lock().push(frame);
                return Err(error);
            }
            (Err(error), Some(Mistake::ShowsItsSecretInErrors)) => {
                let shown = std::io::Error::other(format!("signed with {}", self.secret));
                return Err(error.with_source(shown));
            }
            (Err(error), Some(Mistake::SendsTwiceOnceItReconnected)) => {
                self.twice.store(true, Ordering::SeqCst);
                return Err(error);
            }
            (Err(error), Some(Mistake::RetriesByATimer)) => {
                tokio::spawn(retry(self.inner.clone(), frame));
                return Err(error);
            }
            (published, _) => published?,
        };
        let mut again = mem::take(&mut *self.failed.lock());
        if self.makes(Mistake::Duplicates) || self.twice.load(Ordering::SeqCst) {
            again.push(frame);
        }
        for frame in again {
            self.inner.publish(frame).await?;
        }
        match self.mistake {
            Some(Mistake::ForgetsAPeer) => {
                delivery.peers.pop();
            }
            Some(Mistake::NamesAPeerTwice) => {
                let again = delivery.peers.first().cloned();
                delivery.peers.extend(again);
            }
            Some(Mistake::ShowsItsSecretAsPeer) => {
                for peer in &mut delivery.peers {
                    peer.peer = format!("http://me:{}@{}", self.secret, peer.peer);
                }
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

/// Until it is sent.
async fn retry(transport: MemoryTransport, frame: Outgoing) {
    loop {
        tokio::time::sleep(RETRIES_AFTER).await;
        if transport.publish(frame.clone()).await.is_ok() {
            return;
        }
    }
}

#[async_trait]
impl CacheInvalidationTransport for Wrong {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.max_frame = MAX_FRAME;
        capabilities.echoes = false;
        capabilities.notices_loss_within = NOTICES_WITHIN;
        if self.makes(Mistake::ClaimsWhatItIs) && self.subscribed.load(Ordering::SeqCst) {
            capabilities.max_frame /= 2;
        }
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
        let again = self.subscribed.swap(true, Ordering::SeqCst);
        if again && self.makes(Mistake::SubscribesOnce) {
            let message = "there is a subscription already";
            let refused = Error::new(ErrorKind::Invalid, "wrong", "subscribe", message);
            return Err(refused);
        }
        if self.makes(Mistake::ReadyTooEarly) {
            return Ok(streams::late(self.inner.clone()));
        }
        let stream = self.inner.subscribe().await?;
        let (inner, net) = (|| self.inner.clone(), Arc::clone(&self.net));
        Ok(match self.mistake {
            Some(Mistake::ReconnectsSilently) => streams::reconnecting(stream, inner()),
            Some(Mistake::TakesARestartForNothing) => {
                let kills = move || net.kills.load(Ordering::SeqCst);
                streams::reconnecting_after(stream, inner(), kills)
            }
            Some(Mistake::TakesAStopForNothing) => {
                let stops = move || net.stops.load(Ordering::SeqCst);
                streams::reconnecting_after(stream, inner(), stops)
            }
            Some(Mistake::TellsGapsOnceItReconnected) if again => streams::with_gaps(stream),
            Some(Mistake::HearsTwiceOnceItReconnected) if again => streams::twice(stream),
            Some(Mistake::EndsWithAnOverflow) => streams::until_a_gap(stream),
            Some(Mistake::Reorders) => streams::reordered(stream),
            Some(Mistake::TellsOneOverflow) => {
                let told = streams::with_one_gap(stream);
                streams::pinging(told, self.pulse(), NOTICES_WITHIN)
            }
            Some(Mistake::MixesParts) => {
                let whole = streams::of_parts(stream);
                streams::pinging(whole, self.pulse(), NOTICES_WITHIN)
            }
            Some(Mistake::KeepsOneSubscription) => {
                if self.alone.swap(true, Ordering::SeqCst) {
                    let message = "there is a subscription that has not ended";
                    let refused = Error::new(ErrorKind::Invalid, "wrong", "subscribe", message);
                    return Err(refused);
                }
                let honest = streams::pinging(stream, self.pulse(), NOTICES_WITHIN);
                streams::alone(honest, Arc::clone(&self.alone))
            }
            Some(Mistake::OverflowsSilently) => streams::without_gaps(stream),
            Some(Mistake::TellsAGapBeforeEachFrame) => streams::with_gaps(stream),
            Some(Mistake::TellsAGapAfterwards) => streams::with_a_gap_afterwards(stream),
            Some(Mistake::WaitsForTheSlow) => streams::counted(stream, Arc::clone(&self.line)),
            Some(Mistake::SubscribesPastAClose) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match self.closed.load(Ordering::SeqCst) {
                    true => streams::endless(stream),
                    false => stream,
                }
            }
            Some(Mistake::TrustsSilence | Mistake::KeepsTheLastFrame) => stream,
            Some(Mistake::LeaksAConnectionPerSubscription) => {
                self.leaked.lock().push(Connection::open(&self.line));
                streams::pinging(stream, self.pulse(), NOTICES_WITHIN)
            }
            Some(Mistake::DeafAfterQuiet) => {
                streams::deaf(streams::pinging(stream, self.pulse(), NOTICES_WITHIN))
            }
            Some(Mistake::ShowsItsSecretInTheEnd) => {
                let secret = self.secret;
                let honest = streams::pinging(stream, self.pulse(), NOTICES_WITHIN);
                let told =
                    move |e: Error| e.with_source(std::io::Error::other(format!("lost {secret}")));
                Box::pin(futures_util::StreamExt::map(honest, move |signal| {
                    signal.map_err(told)
                }))
            }
            _ => streams::pinging(stream, self.pulse(), NOTICES_WITHIN),
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
        if self.makes(Mistake::KeepsALockWhenAProbeIsDropped) {
            self.lock().await;
        }
        let probed = match self.pulse().is_missing() {
            _ if self.makes(Mistake::RemembersABadProbe)
                && self.probed_badly.load(Ordering::SeqCst) =>
            {
                let message = "it failed before";
                Err(Error::new(
                    ErrorKind::Unavailable,
                    "wrong",
                    "probe",
                    message,
                ))
            }
            true if self.makes(Mistake::ProbesForEver) => std::future::pending().await,
            true => {
                let message = "no ping was answered";
                Err(Error::new(ErrorKind::TimedOut, "wrong", "probe", message))
            }
            false => self.inner.probe().await,
        };
        self.unlock();
        if probed.is_err() {
            self.probed_badly.store(true, Ordering::SeqCst);
        }
        probed
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
        if !self.makes(Mistake::CloseLeavesAConnection) {
            self.connection.lock().take();
            self.leaked.lock().clear();
        }
        self.inner.close().await
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        if self.makes(Mistake::LeaksAConnection) {
            mem::forget(self.connection.lock().take());
        }
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
