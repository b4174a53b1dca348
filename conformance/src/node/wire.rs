//! A transport that the suite can break for one node alone, whatever its backend can do.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use invalidation_core::{
    CacheInvalidationTransport, ClusterName, Delivery, Entry, Error, Frame, NodeId, Outgoing,
    Sender, SharedTransport, Signal, Subscription, TransportCapabilities,
    frame::{Carried, Envelope, Message, Standing, encode},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::under_test::CLUSTER;
use crate::wait::eventually;

/// One node's end of the transport.
pub(crate) struct Wire {
    inner: SharedTransport,
    state: Arc<Mutex<State>>,
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
}

#[derive(Default)]
struct State {
    line: Line,
    /// How many frames the suite itself made.
    made: u64,
    held: Vec<Signal>,
    injections: Vec<mpsc::UnboundedSender<Signal>>,
}

impl Wire {
    pub(crate) fn new(inner: SharedTransport) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// Takes effect at once. What was kept back stays so until it is let through.
    pub(crate) fn set(&self, line: Line) {
        self.state.lock().line = line;
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
        for signal in held.into_iter().rev() {
            if let Signal::Frame(frame) = &signal {
                self.inject(frame.bytes.clone(), frame.sender);
            }
            self.give(signal);
        }
    }

    /// Gives the node a frame that carries this entry, as of a node that nobody knows.
    pub(crate) fn carry(&self, entry: Entry, standing: Standing, sender: Sender) {
        let sequence = {
            let mut state = self.state.lock();
            state.made += 1;
            state.made
        };
        let bytes = encode(&Envelope {
            cluster: ClusterName::new(CLUSTER).expect("a good name"),
            origin: NodeId::from_bytes([7; 16]),
            sequence,
            message: Message::Invalidations(vec![Carried { entry, standing }]),
        });
        self.inject(bytes, sender);
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
        if self.state.lock().line == Line::Swallows {
            return Ok(Delivery::default());
        }
        self.inner.publish(frame).await
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
