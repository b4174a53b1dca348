//! The proxy's thread: it owns the listener and all links.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::link::{self, Mode};
use crate::port::Port;

/// A change, and where to say that it is in force.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) change: Change,
    pub(super) done: SyncSender<()>,
}

/// What changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Mode(Mode),
    /// Where new links lead to.
    Upstream(SocketAddr),
}

/// What the thread owns.
pub(super) struct Listener {
    port: Port,
    upstream: SocketAddr,
    /// None while cut: the kernel then refuses.
    socket: Option<TcpListener>,
    mode: watch::Sender<Mode>,
    links: JoinSet<()>,
    /// How many of them are connected on both sides.
    connected: Arc<AtomicUsize>,
}

impl Listener {
    /// Runs until the proxy is dropped.
    pub(super) fn run(
        port: Port,
        upstream: SocketAddr,
        connected: Arc<AtomicUsize>,
        mut orders: mpsc::UnboundedReceiver<Order>,
        started: &SyncSender<io::Result<()>>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(async {
            let mut listener = Self {
                port,
                upstream,
                socket: None,
                mode: watch::Sender::new(Mode::Forward {
                    delay: Duration::ZERO,
                }),
                links: JoinSet::new(),
                connected,
            };
            let listening = listener.listen();
            let failed = listening.is_err();
            let _ = started.send(listening);
            if failed {
                return;
            }
            loop {
                tokio::select! {
                    biased;
                    order = orders.recv() => match order {
                        Some(Order { change, done }) => {
                            match change {
                                Change::Mode(mode) => listener.change(mode).await,
                                Change::Upstream(upstream) => listener.upstream = upstream,
                            }
                            let _ = done.send(());
                        }
                        None => return,
                    },
                    Some(_) = listener.links.join_next() => {}
                    client = accept(listener.socket.as_ref()) => listener.link(client),
                }
            }
        });
    }

    fn listen(&mut self) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.port.address())?;
        self.socket = Some(socket.listen(1024)?);
        Ok(())
    }

    async fn change(&mut self, mode: Mode) {
        self.mode.send_replace(mode);
        if mode == Mode::Cut {
            // Closing it resets those that wait to be accepted, too.
            self.socket = None;
            while self.links.join_next().await.is_some() {}
        } else if self.socket.is_none() {
            // The port is reserved: nobody else listens there, and a refusal is the proxy's own defect.
            while let Err(error) = self.listen() {
                debug_assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn link(&mut self, client: TcpStream) {
        let (upstream, mode) = (self.upstream, self.mode.subscribe());
        let connected = Arc::clone(&self.connected);
        self.links
            .spawn(link::run(client, upstream, mode, connected));
    }
}

/// The next connection; never, while nothing listens.
async fn accept(socket: Option<&TcpListener>) -> TcpStream {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((client, _)) => return client,
            // The client has gone, or there are too many files open: both pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
