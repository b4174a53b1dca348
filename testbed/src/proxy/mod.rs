//! A TCP proxy on loopback, to break the link to a server and leave the server alone.
//!
//! Written here because what exists drives a proxy that runs as a separate program (`toxiproxy`).

mod link;
mod listener;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::mpsc;

use self::link::Mode;
use self::listener::{Change, Listener, Order};
use crate::error::Error;
use crate::port::Port;

/// A proxy in front of one address. It runs on a thread of its own, with no regard to any runtime's paused
/// clock, and ends with all its connections when it is dropped.
///
/// Each change is in force when its method returns. A change replaces the one before.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::UnboundedSender<Order>,
    connected: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one that forwards.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no port or thread for it.
    pub fn to(upstream: SocketAddr) -> Result<Self, Error> {
        let (orders, received) = mpsc::unbounded_channel();
        let port = Port::reserve().map_err(Error::io("reserve a loopback port"))?;
        let address = port.address();
        let connected = Arc::<AtomicUsize>::default();
        let (started, start) = sync_channel(1);
        let counted = Arc::clone(&connected);
        std::thread::Builder::new()
            .name("testbed-proxy".into())
            .spawn(move || Listener::run(port, upstream, counted, received, &started))
            .map_err(Error::io("start a thread for a proxy"))?;
        start
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("its thread ended")))
            .map_err(Error::io("start a proxy"))?;
        Ok(Self {
            address,
            orders,
            connected,
        })
    }

    /// Where it listens; the same for its whole life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections go through it now: connected to the server, and not ended on both sides.
    pub fn connections(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }

    /// Resets (RST) all connections, and refuses new ones.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Delivers each piece of data this much later than it came, in both directions, in order. What is already
    /// on its way keeps the delay that it had.
    pub fn delay(&self, by: Duration) {
        self.set(Mode::Forward { delay: by });
    }

    /// Accepts and keeps connections, and forwards nothing: no data, no end. What came meanwhile is delivered
    /// when this is over, as a network does that lost packets for a while.
    pub fn black_hole(&self) {
        self.set(Mode::BlackHole);
    }

    /// Forwards again without delay. Connections that were cut stay lost.
    pub fn heal(&self) {
        self.set(Mode::Forward {
            delay: Duration::ZERO,
        });
    }

    /// Leads new connections to another server, as a name does that follows the primary. Those that are open stay
    /// where they are.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.order(Change::Upstream(upstream));
    }

    fn set(&self, mode: Mode) {
        self.order(Change::Mode(mode));
    }

    fn order(&self, change: Change) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order { change, done }).is_ok() {
            // An error means that the thread has ended, and its connections with it.
            let _ = wait.recv();
        }
    }
}
