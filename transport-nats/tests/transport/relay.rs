//! What lies between a node and its server, and breaks a link in ways of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards to one server, for as long as the runtime of the test lives.
pub(crate) struct Relay {
    address: SocketAddr,
    resets: watch::Sender<()>,
    is_deaf: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            resets: watch::Sender::new(()),
            is_deaf: Arc::default(),
        };
        let (resets, is_deaf) = (relay.resets.subscribe(), Arc::clone(&relay.is_deaf));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut resets, is_deaf) = (resets.clone(), Arc::clone(&is_deaf));
                resets.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, &is_deaf) => {}
                        _ = resets.changed() => {}
                    }
                });
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends all connections; new ones come through at once.
    pub(crate) fn reset(&self) {
        self.resets.send_replace(());
    }

    /// From now on the server hears nothing of what clients say, and they hear all that it says.
    pub(crate) fn is_deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }
}

async fn forward(client: TcpStream, server: SocketAddr, is_deaf: &AtomicBool) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if !is_deaf.load(Ordering::SeqCst)
                && to_server.write_all(&buffer[..read]).await.is_err()
            {
                return;
            }
        }
    };
    let down = async { drop(tokio::io::copy(&mut from_server, &mut to_client).await) };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
