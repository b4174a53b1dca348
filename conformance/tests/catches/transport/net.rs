//! What carries the frames of one cluster, beside the hub: lines and a server that a test makes silent, slow or new.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use invalidation_core::NodeId;
use parking_lot::Mutex;

/// The lines of all nodes, and the server between them.
#[derive(Debug, Default)]
pub(super) struct Net {
    lines: Mutex<Vec<Arc<Line>>>,
    /// While the server is paused.
    pub(super) pauses: Silence,
    /// How often the server was killed.
    pub(super) kills: AtomicU64,
    /// How often it ended in an orderly way.
    pub(super) stops: AtomicU64,
}

impl Net {
    pub(super) fn add(&self, id: NodeId) -> Arc<Line> {
        let line = Arc::new(Line {
            id,
            silence: Silence::default(),
            delay: Mutex::default(),
            unread: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        self.lines.lock().push(Arc::clone(&line));
        line
    }

    /// The lines of all nodes but `node`, in the order in which they were made.
    pub(super) fn others(&self, node: NodeId) -> Vec<Arc<Line>> {
        let lines = self.lines.lock();
        let others = lines.iter().filter(|line| line.id != node);
        others.cloned().collect()
    }

    /// How long a frame takes on the slowest line.
    pub(super) fn delay(&self) -> Duration {
        let lines = self.lines.lock();
        let delays = lines.iter().map(|line| *line.delay.lock());
        delays.max().unwrap_or_default()
    }
}

/// One node's way to the server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: NodeId,
    /// While it is a black hole.
    pub(super) silence: Silence,
    pub(super) delay: Mutex<Duration>,
    /// Frames that its subscriber has not read, where somebody counts them.
    pub(super) unread: AtomicUsize,
    pub(super) connections: AtomicUsize,
}

/// Times in which nothing passes.
#[derive(Debug, Default)]
pub(super) struct Silence {
    now: AtomicBool,
    times: AtomicU64,
}

impl Silence {
    pub(super) fn begin(&self) {
        self.now.store(true, Ordering::SeqCst);
        self.times.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.now.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_now(&self) -> bool {
        self.now.load(Ordering::SeqCst)
    }
}

/// A node's signs of life: whether they are answered.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pub(super) net: Arc<Net>,
    pub(super) line: Arc<Line>,
    /// Whether they are answered while the server is paused.
    pub(super) ignores_pauses: bool,
}

impl Pulse {
    fn silences(&self) -> impl Iterator<Item = &Silence> {
        let pauses = (!self.ignores_pauses).then_some(&self.net.pauses);
        pauses.into_iter().chain([&self.line.silence])
    }

    pub(super) fn is_missing(&self) -> bool {
        self.silences().any(Silence::is_now)
    }

    /// How often it went missing until now.
    pub(super) fn missed(&self) -> u64 {
        let times = |silence: &Silence| silence.times.load(Ordering::SeqCst);
        self.silences().map(times).sum()
    }
}

/// A connection, counted while it is open.
#[derive(Debug)]
pub(super) struct Connection(Arc<Line>);

impl Connection {
    pub(super) fn open(line: &Arc<Line>) -> Self {
        line.connections.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(line))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}
