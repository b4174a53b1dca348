//! A transport that the suite can break for one node alone, whatever its backend can do.

use std::{fmt, pin::pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use invalidation_core::{
    AckSink, Applied, CacheInvalidationTransport, ClusterName, Delivery, Entry, Error, ErrorKind,
    Frame, Invalidation, NodeId, Outgoing, Sender, SharedTransport, Signal, Subscription,
    TransportCapabilities,
    frame::{Carried, Envelope, Message, Standing, decode, encode},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::under_test::CLUSTER;
use crate::wait::eventually;

/// One node's end of the transport.
pub(crate) struct Wire {
    inner: SharedTransport,
    state: Arc<Mutex<State>>,
    /// The line is another one.
    changed: Notify,
}

/// What happens to its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Line {
    /// They pass.
    #[default]
    Open,
    /// Those from and to this node are lost, and nobody is told.
    Swallows,
    /// Those to this node arrive twice.
    Doubles,
    /// Those to this node are kept back.
    Holds,
    /// Publishing one does not end.
    Hangs,
    /// Publishing one fails.
    Refuses,
}

#[derive(Default)]
struct State {
    line: Line,
    /// How many frames the suite itself made.
    made: u64,
    held: Vec<Signal>,
    injections: Vec<mpsc::UnboundedSender<Signal>>,
    /// How many frames the node published: the number of the last one.
    published: u64,
    /// The newest one that the node did not wait for.
    given_up: u64,
    /// How many have neither ended nor been given up.
    under_way: u64,
    /// What each of them carried, since the suite asked.
    carried: Option<Vec<Vec<Invalidation>>>,
}

/// A frame that is published.
struct Publishing<'a> {
    state: &'a Mutex<State>,
    number: u64,
    has_ended: bool,
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.under_way -= 1;
        if !self.has_ended {
            state.given_up = state.given_up.max(self.number);
        }
    }
}

impl Wire {
    pub(crate) fn new(inner: SharedTransport) -> Self {
        Self {
            inner,
            state: Arc::default(),
            changed: Notify::new(),
        }
    }

    /// Takes effect at once. What was kept back stays so until it is let through.
    pub(crate) fn set(&self, line: Line) {
        self.state.lock().line = line;
        self.changed.notify_waiters();
    }

    /// How many frames the node has begun to publish.
    pub(crate) fn published(&self) -> u64 {
        self.state.lock().published
    }

    /// The number of the newest one that the node did not wait for.
    pub(crate) fn given_up(&self) -> u64 {
        self.state.lock().given_up
    }

    /// Waits until a frame is under way, or one was given up that is newer than the `published`-th.
    pub(crate) async fn has_begun(&self, published: u64) {
        eventually!("the node publishes what was written", {
            let state = self.state.lock();
            (state.under_way > 0 || state.given_up > published).then_some(())
        });
    }

    /// What each frame carried that was published since this was called first.
    pub(crate) fn carried(&self) -> Vec<Vec<Invalidation>> {
        let mut state = self.state.lock();
        state.carried.get_or_insert_default().clone()
    }

    /// How many frames are kept back.
    pub(crate) fn held(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Lets through what was kept back, the newest first, and twice.
    pub(crate) fn release_backwards(&self) {
        let mut state = self.state.lock();
        state.line = Line::Open;
        let held = std::mem::take(&mut state.held);
        drop(state);
        self.changed.notify_waiters();
        for signal in held.into_iter().rev() {
            if let Signal::Frame(frame) = &signal {
                self.inject(frame.bytes.clone(), frame.sender);
            }
            self.give(signal);
        }
    }

    /// Gives the node a frame that carries this entry, as of a node that nobody knows.
    pub(crate) fn carry(&self, entry: Entry, standing: Standing, sender: Sender) {
        self.inject(self.frame(CLUSTER, entry, standing), sender);
    }

    /// Gives the node a frame of another cluster than its own.
    pub(crate) fn carry_for(&self, cluster: &str, entry: Entry) {
        let bytes = self.frame(cluster, entry, Standing::Claimed);
        self.inject(bytes, Sender::Authenticated);
    }

    /// Gives the node a frame that claims this entry, and gives where it says that it has applied it.
    pub(crate) fn claim_acknowledged(&self, entry: Entry) -> oneshot::Receiver<Applied> {
        let (ack, told) = AckSink::new();
        let bytes = self.frame(CLUSTER, entry, Standing::Claimed);
        self.give(Signal::Frame(
            Frame::new(bytes, Sender::Authenticated).with_ack(ack),
        ));
        told
    }

    fn frame(&self, cluster: &str, entry: Entry, standing: Standing) -> Bytes {
        let sequence = {
            let mut state = self.state.lock();
            state.made += 1;
            state.made
        };
        encode(&Envelope {
            cluster: ClusterName::new(cluster).expect("a good name"),
            origin: NodeId::from_bytes([7; 16]),
            sequence,
            message: Message::Invalidations(vec![Carried { entry, standing }]),
        })
    }

    /// The same, which claims no more than that there may be such an entry.
    pub(crate) fn claim(&self, entry: Entry) {
        self.carry(entry, Standing::Claimed, Sender::Authenticated);
    }

    /// Waits until the node listens: what is given to it before is lost.
    pub(crate) async fn heard_by_the_node(&self) {
        eventually!("the node subscribes", {
            let state = self.state.lock();
            let listens = state
                .injections
                .iter()
                .any(|injection| !injection.is_closed());
            listens.then_some(())
        });
    }

    /// Gives the node these bytes as a frame.
    pub(crate) fn inject(&self, bytes: Bytes, sender: Sender) {
        self.give(Signal::Frame(Frame::new(bytes, sender)));
    }

    /// Whether any of them carried such a one.
    pub(crate) fn has_carried(&self, such: fn(&Invalidation) -> bool) -> bool {
        let state = self.state.lock();
        state.carried.iter().flatten().flatten().any(such)
    }

    fn begin(&self, frame: &Outgoing) -> Publishing<'_> {
        let mut state = self.state.lock();
        state.published += 1;
        state.under_way += 1;
        if let Some(all) = &mut state.carried {
            let message = decode(&frame.bytes).map(|envelope| envelope.message);
            if let Ok(Message::Invalidations(carried)) = message {
                all.push(
                    carried
                        .into_iter()
                        .map(|one| one.entry.invalidation)
                        .collect(),
                );
            }
        }
        Publishing {
            state: &self.state,
            number: state.published,
            has_ended: false,
        }
    }

    /// The line, once it does not hang.
    async fn line(&self) -> Line {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let line = self.state.lock().line;
            if line != Line::Hangs {
                return line;
            }
            changed.await;
        }
    }

    fn give(&self, signal: Signal) {
        let mut state = self.state.lock();
        state.injections.retain(|injection| !injection.is_closed());
        if let Some(injection) = state.injections.last() {
            // Nobody listens any more: it is lost, like any other frame then.
            let _ = injection.send(signal);
        }
    }
}

impl State {
    fn pass(&mut self, signal: Signal) -> Vec<Signal> {
        match (self.line, signal) {
            (Line::Open, signal) => vec![signal],
            (Line::Swallows, Signal::Frame(_)) => Vec::new(),
            (Line::Doubles, Signal::Frame(frame)) => {
                let again = Frame::new(frame.bytes.clone(), frame.sender);
                vec![Signal::Frame(frame), Signal::Frame(again)]
            }
            (Line::Holds, signal @ Signal::Frame(_)) => {
                self.held.push(signal);
                Vec::new()
            }
            (_, other) => vec![other],
        }
    }
}

#[async_trait]
impl CacheInvalidationTransport for Wire {
    fn capabilities(&self) -> TransportCapabilities {
        self.inner.capabilities()
    }

    /// The harness bound it.
    fn bind(&self, _node: NodeId) {}

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let own = self.inner.subscribe().await?;
        let (injection, mut injected) = mpsc::unbounded_channel();
        self.state.lock().injections.push(injection);
        let state = Arc::clone(&self.state);
        let own = own.flat_map(move |signal| {
            let passed = match signal {
                Ok(signal) => state.lock().pass(signal).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(passed)
        });
        let own = own.map(Some).chain(stream::iter([None]));
        let injected = stream::poll_fn(move |context| injected.poll_recv(context));
        let both = stream::select(own, injected.map(|signal| Some(Ok(signal))));
        let until_own_ends = both.take_while(|signal| future::ready(signal.is_some()));
        Ok(until_own_ends.filter_map(future::ready).boxed())
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        let mut publishing = self.begin(&frame);
        let result = match self.line().await {
            Line::Swallows => Ok(Delivery::default()),
            Line::Refuses => {
                let (kind, name) = (ErrorKind::Unavailable, self.inner.capabilities().name);
                Err(Error::new(kind, name, "publish", "as the suite asked"))
            }
            _ => self.inner.publish(frame).await,
        };
        publishing.has_ended = true;
        result
    }

    async fn probe(&self) -> Result<(), Error> {
        self.inner.probe().await
    }

    /// The harness's end stays open: a node that starts again uses it.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.inner).finish()
    }
}
