//! A link to one server, which ends when it is lost.
//!
//! The driver's client connects again by itself, without an end of its subscriptions. What it had written to the old
//! connection is then gone, and what waited in its queue is sent over the new one, be it minutes later: so a message that
//! follows a frame may arrive although the frame did not. That cannot be turned off, and it is taken the only address that it
//! could connect to instead.

use std::{fmt::Display, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, ServerAddr,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Wish, address::Address};

/// Nobody can listen there, and the kernel says so at once.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// The client sends a ping when it heard nothing for its interval, and gives up when it would send the third in a row.
const PINGS: u32 = 3;

/// What is heard on a link beside messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The client dropped a message, since its subscription was not read.
    Dropped,
    /// The server will end soon, and will end its connections before.
    LameDuck,
    /// An error of the server's.
    Said(String),
}

/// A connected client. Once all its clones are dropped, the connection ends.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: Client,
    address: Address,
    lost: CancellationToken,
}

impl Link {
    pub(super) async fn open(
        server: &Address,
        options: ConnectOptions,
        wish: Wish,
        within: Duration,
        heard: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        let lost = CancellationToken::new();
        // The client drops its callback with its last task, when the connection has ended.
        let ended = Arc::new(lost.clone().drop_guard());
        let heard = Arc::new(heard);
        let client = options
            .connection_timeout(within)
            // Together below what is declared.
            .ping_interval(wish.notices_loss_within / (PINGS + 1))
            .subscription_capacity(wish.capacity)
            .ignore_discovered_servers()
            .max_reconnects(1)
            .reconnect_to_server_callback(|servers, _| async move {
                let addr = servers.into_iter().next()?.addr;
                let delay = Some(Duration::ZERO);
                Some(ReconnectToServer { addr, delay })
            })
            .event_callback(move |event| {
                tell(&*heard, &ended, event);
                std::future::ready(())
            })
            .connect(vec![parsed(&format!("nats://{server}"))?])
            .await?;
        let nowhere = vec![parsed(NOWHERE)?];
        // Whichever connection it has once that is done, it will never have another.
        client
            .set_server_pool(nowhere)
            .await
            .map_err(|source| ConnectError::with_source(ConnectErrorKind::Io, source))?;
        let address = server.clone();
        Ok(Self {
            client,
            address,
            lost,
        })
    }

    /// The client, of one connection: every call on it fails once that is lost, and its subscriptions end.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where it was opened to.
    pub(crate) fn address(&self) -> &impl Display {
        &self.address
    }

    /// Whether the link was lost since it was opened.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Ends when the link is lost: the connection has ended by then.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

fn parsed(url: &str) -> Result<ServerAddr, ConnectError> {
    url.parse().map_err(|source: std::io::Error| {
        ConnectError::with_source(ConnectErrorKind::ServerParse, source)
    })
}

/// Passes on what was heard. The driver keeps up to 128 of them, and drops what is above that.
fn tell(heard: &impl Fn(Heard), _ended: &DropGuard, event: Event) {
    match event {
        Event::SlowConsumer(_) => heard(Heard::Dropped),
        Event::LameDuckMode => heard(Heard::LameDuck),
        Event::ServerError(said) => heard(Heard::Said(said.to_string())),
        // That it connected, or is lost, which the end of its subscriptions and of `lost` tells.
        _ => {}
    }
}
