//! What a test may break in a memory transport.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    inbox::{End, Inbox},
    switch::FaultSwitch,
    transport::Parcel,
};
use crate::{
    error::{Error, ErrorKind},
    transport::{Frame, Sender, Signal},
    words::NodeId,
};

/// What a test may break in one [`MemoryTransport`](super::MemoryTransport), and see of it.
///
/// A frame that is lost counts as sent: its publisher hears nothing of it, as on a real network.
#[derive(Clone)]
pub struct TransportFaults(Arc<Link>);

impl TransportFaults {
    pub(super) const fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    /// Calls of `subscribe`.
    pub fn subscribes(&self) -> &FaultSwitch {
        &self.0.subscribes
    }

    /// Calls of `publish`.
    pub fn publishes(&self) -> &FaultSwitch {
        &self.0.publishes
    }

    /// Calls of `probe`.
    pub fn probes(&self) -> &FaultSwitch {
        &self.0.probes
    }

    /// The next `frames` that this transport publishes are lost.
    pub fn lose_sent(&self, frames: u64) {
        self.0.state.lock().lose_sent = frames;
    }

    /// The next `frames` that others send here are lost.
    pub fn lose_received(&self, frames: u64) {
        self.0.state.lock().lose_received = frames;
    }

    /// While `true`, every frame to and from this transport is lost, without an error: a black hole.
    pub fn swallow(&self, all: bool) {
        self.0.state.lock().swallow = all;
    }

    /// While `true`, every frame that this transport publishes arrives twice.
    pub fn duplicate_sent(&self, duplicate: bool) {
        self.0.state.lock().duplicate = duplicate;
    }

    /// Keeps back the frames that this transport publishes from now on, until they are
    /// [released](Self::release) or the link [heals](Self::heal).
    pub fn hold_sent(&self) {
        self.0.state.lock().hold = true;
    }

    /// How many frames are kept back.
    pub fn held(&self) -> usize {
        self.0.state.lock().held.len()
    }

    /// Delivers the held frame at `index`, counted from the oldest one still held; `false` when there is
    /// none.
    pub fn release(&self, index: usize) -> bool {
        let mut state = self.0.state.lock();
        if index >= state.held.len() {
            return false;
        }
        let held = state.held.remove(index);
        drop(state);
        held.into_iter().for_each(Parcel::deliver);
        true
    }

    /// Gives these bytes to this transport's own subscriptions, as a frame of `sender`.
    pub fn inject(&self, bytes: Bytes, sender: Sender) {
        for inbox in self.0.inboxes() {
            inbox.put(Signal::Frame(Frame::new(bytes.clone(), sender)));
        }
    }

    /// Gives this transport's own subscriptions a doorbell.
    pub fn inject_nudge(&self) {
        for inbox in self.0.inboxes() {
            inbox.put(Signal::Nudge);
        }
    }

    /// Cuts the link: subscriptions end with an error, and every call fails until the link
    /// [heals](Self::heal). What was not yet taken from a subscription is lost.
    pub fn cut(&self) {
        self.0.go_down(End::Cut);
    }

    /// Ends all that is set here, and the faults of all calls; frames that are held go out in their order.
    /// A closed transport stays closed.
    pub fn heal(&self) {
        let held = {
            let mut state = self.0.state.lock();
            *state = State {
                node: state.node,
                down: state.down.filter(|end| matches!(end, End::Closed)),
                inboxes: std::mem::take(&mut state.inboxes),
                held: std::mem::take(&mut state.held),
                ..State::default()
            };
            std::mem::take(&mut state.held)
        };
        held.into_iter().flatten().for_each(Parcel::deliver);
        self.0.subscribes.heal();
        self.0.publishes.heal();
        self.0.probes.heal();
    }
}

impl fmt::Debug for TransportFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportFaults").field(&self.0).finish()
    }
}

/// One transport's end of the hub.
pub(super) struct Link {
    pub(super) subscribes: FaultSwitch,
    pub(super) publishes: FaultSwitch,
    pub(super) probes: FaultSwitch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    node: Option<NodeId>,
    down: Option<End>,
    inboxes: Vec<Weak<Inbox>>,
    lose_sent: u64,
    lose_received: u64,
    swallow: bool,
    duplicate: bool,
    hold: bool,
    held: Vec<Vec<Parcel>>,
}

impl Link {
    pub(super) fn new() -> Self {
        let switch = |operation| FaultSwitch::new("memory", operation);
        Self {
            subscribes: switch("subscribe"),
            publishes: switch("publish"),
            probes: switch("probe"),
            state: Mutex::default(),
        }
    }

    pub(super) fn bind(&self, node: NodeId) {
        self.state.lock().node = Some(node);
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.state.lock().node
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state.lock().down, Some(End::Closed))
    }

    pub(super) fn check_up(&self, operation: &'static str) -> Result<(), Error> {
        let (kind, message) = match self.state.lock().down {
            None => return Ok(()),
            Some(End::Cut) => (ErrorKind::Unavailable, "the link is cut"),
            Some(End::Closed) => (ErrorKind::Closed, "this transport was closed"),
        };
        Err(Error::new(kind, "memory", operation, message))
    }

    pub(super) fn go_down(&self, end: End) {
        let inboxes = {
            let mut state = self.state.lock();
            if !matches!(state.down, Some(End::Closed)) {
                state.down = Some(end);
            }
            std::mem::take(&mut state.inboxes)
        };
        for inbox in inboxes.iter().filter_map(Weak::upgrade) {
            inbox.end(end);
        }
    }

    pub(super) fn subscribed(&self, inbox: &Arc<Inbox>) {
        let mut state = self.state.lock();
        match state.down {
            Some(end) => inbox.end(end),
            None => {
                state.inboxes.retain(|inbox| inbox.strong_count() > 0);
                state.inboxes.push(Arc::downgrade(inbox));
            }
        }
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let state = self.state.lock();
        state.inboxes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether a frame from elsewhere arrives here.
    pub(super) fn takes_received(&self) -> bool {
        let mut state = self.state.lock();
        if state.swallow {
            return false;
        }
        !take_one(&mut state.lose_received)
    }

    /// Sends one frame's parcels as the faults say.
    pub(super) fn pass_on(&self, parcels: Vec<Parcel>) {
        let parcels = {
            let mut state = self.state.lock();
            if state.swallow || take_one(&mut state.lose_sent) {
                return;
            }
            let mut parcels = parcels;
            if state.duplicate {
                let again: Vec<_> = parcels.iter().map(Parcel::duplicate).collect();
                parcels.extend(again);
            }
            if state.hold {
                state.held.push(parcels);
                return;
            }
            parcels
        };
        parcels.into_iter().for_each(Parcel::deliver);
    }
}

const fn take_one(left: &mut u64) -> bool {
    if *left == 0 {
        return false;
    }
    *left = left.saturating_sub(1);
    // `u64::MAX` stands for all.
    if *left == u64::MAX - 1 {
        *left = u64::MAX;
    }
    true
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Link")
            .field("node", &state.node)
            .field("down", &state.down)
            .field("swallow", &state.swallow)
            .field("held", &state.held.len())
            .finish_non_exhaustive()
    }
}
