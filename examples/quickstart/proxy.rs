//! The network between two nodes: a TCP proxy that can be cut, for real, and mended.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// A way to a server, which can be taken away.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Another name of a file.
    File(PathBuf),
    /// A proxy in front of the server.
    Proxy(SocketAddr),
}

/// One direction between two nodes. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Link {
    /// Who is behind it; `None` is nobody. Held for a moment, never across an await.
    target: Mutex<Option<(String, u16)>>,
    cut: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy on a free port of the loopback, with nobody behind it yet.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let link = Arc::new(Link {
            target: Mutex::new(None),
            cut: watch::Sender::new(false),
        });
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, link.clone())).abort_handle();
        Ok(Self {
            address,
            link,
            accepting,
        })
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to this port of a host from now on.
    pub(crate) fn lead_to(&self, host: &str, port: u16) {
        let target = Some((host.to_owned(), port));
        *self
            .link
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Drops every connection, and every one that comes until [`mend`](Self::mend).
    pub(crate) fn cut(&self) {
        self.link.cut.send_replace(true);
    }

    /// Carries again.
    pub(crate) fn mend(&self) {
        self.link.cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, link: Arc<Link>) {
    loop {
        // An error here is one of the caller's connection, such as a reset before it was accepted.
        if let Ok((near, _)) = listener.accept().await {
            tokio::spawn(carry(near, link.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, link: Arc<Link>) {
    let mut cut = link.cut.subscribe();
    let through = async {
        let target = link
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (host, port) = target.unwrap_or_default();
        let mut far = TcpStream::connect((host.as_str(), port)).await?;
        // A frame is small: waiting for more would be measured as the framework's own delay.
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        biased;
        // Also when it was cut before the connection came. A dropped proxy ends it as well.
        _ = cut.wait_for(|cut| *cut) => {}
        _ = through => {}
    }
}
