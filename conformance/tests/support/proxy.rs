//! A TCP proxy for one link, which can be cut, made a black hole, or slowed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// What becomes of what comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It passes.
    Open,
    /// Connections are closed, and new ones too.
    Cut,
    /// Connections stay, and nothing passes until the link heals.
    BlackHole,
    /// It passes so much later.
    Slow(Duration),
}

/// A link to one address. Dropped, it closes all its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A link to `upstream`, open.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (way, watched) = watch::channel(Way::Open);
        let open = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(accept_all(listener, upstream, watched, Arc::clone(&open)));
        Self {
            address,
            way,
            open,
            task,
        }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How many connections are open on both sides.
    pub(crate) fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(
    listener: TcpListener,
    upstream: SocketAddr,
    way: watch::Receiver<Way>,
    open: Arc<AtomicUsize>,
) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if *way.borrow() == Way::Cut {
            continue;
        }
        let (mut cut, way, open) = (way.clone(), way.clone(), Arc::clone(&open));
        connections.spawn(async move {
            tokio::select! {
                () = pass(stream, upstream, way, open) => {}
                _ = cut.wait_for(|way| *way == Way::Cut) => {}
            }
        });
    }
}

/// Counts a connection while it is open.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn pass(
    here: TcpStream,
    upstream: SocketAddr,
    way: watch::Receiver<Way>,
    open: Arc<AtomicUsize>,
) {
    let Ok(there) = TcpStream::connect(upstream).await else {
        return;
    };
    open.fetch_add(1, Ordering::SeqCst);
    let _counted = Counted(open);
    let _ = (here.set_nodelay(true), there.set_nodelay(true));
    let (from_here, to_here) = here.into_split();
    let (from_there, to_there) = there.into_split();
    // The end of one direction is the end of both.
    tokio::select! {
        () = pump(from_here, to_there, way.clone()) => {}
        () = pump(from_there, to_here, way) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let came = Instant::now();
        let Ok(now) = way
            .wait_for(|way| *way != Way::BlackHole)
            .await
            .map(|way| *way)
        else {
            return;
        };
        if let Way::Slow(late) = now {
            sleep_until(came + late).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
