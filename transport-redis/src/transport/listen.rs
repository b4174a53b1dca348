//! A subscription: confirmed by the server, then watched until it is lost.

use std::{pin::pin, sync::Arc, time::Duration};

use invalidation_core::Error;
use redis::Cmd;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    builder::Settings,
    failure::link_lost,
    inbox::{self, Inbox, Reader},
    primary::Primary,
};
use crate::{
    error::{from_redis, timed_out},
    server::{Greeting, Link},
};

const OPERATION: &str = "subscribe";

/// A connection of its own, on which the server has confirmed the subscription. What comes over it is put into the inbox
/// by the task that reads it.
pub(super) struct Live {
    link: Link,
    inbox: Arc<Inbox>,
    /// Ends when the reader goes, and with the transport.
    stop: CancellationToken,
}

/// Subscribes, within the time-out.
pub(super) async fn open(
    settings: &Settings,
    primary: &Primary,
    closing: &CancellationToken,
) -> Result<(Live, Reader), Error> {
    let limit = settings.publish_timeout;
    let deadline = Instant::now() + limit;
    let listen = || {
        let stop = closing.child_token();
        let (inbox, reader) = inbox::pair(settings.buffered, settings.sender, stop.clone());
        let inbox = Arc::new(inbox);
        (Some(Arc::clone(&inbox) as _), (inbox, reader, stop))
    };
    let servers = &settings.servers;
    let found = servers.connect_listening(OPERATION, settings.channel.as_bytes(), limit, listen);
    let (link, (inbox, reader, stop)) = found.await?;
    primary.found(&link);
    let mut subscribe = Cmd::new();
    subscribe
        .arg(if servers.is_cluster() {
            "SSUBSCRIBE"
        } else {
            "SUBSCRIBE"
        })
        .arg(&settings.channel);
    match timeout_at(deadline, link.ask(&subscribe)).await {
        Ok(Ok(_)) => Ok((Live { link, inbox, stop }, reader)),
        Ok(Err(source)) => Err(from_redis(OPERATION, source)),
        Err(_) => Err(timed_out(OPERATION, limit)),
    }
}

/// Watches the link until it is lost, nobody reads any more, or the transport is closed.
pub(super) async fn follow(live: Live, settings: Arc<Settings>, primary: Arc<Primary>) {
    tokio::select! {
        biased;
        () = live.stop.cancelled() => live.inbox.close(),
        error = live.watch(&settings) => live.inbox.lose(error),
        () = primary.leaves(&live.link) => live.inbox.lose(link_lost(
            "another server has become the primary: subscribe again",
        )),
    }
}

impl Live {
    /// Asks the server regularly what it is: a link that is dead and one that has nothing to say look alike, and so do
    /// a primary and one that was made a replica, to which nobody publishes any more. Why it ended.
    async fn watch(&self, settings: &Settings) -> Error {
        // Together below what is declared.
        let pause = settings.notices_loss_within / 3;
        let patience = settings.notices_loss_within / 2;
        loop {
            sleep(pause).await;
            let greeting = match self.greeting(patience).await {
                Ok(greeting) => greeting,
                Err(error) => return error,
            };
            if let Err(error) = greeting.is_primary(OPERATION) {
                return error;
            }
        }
    }

    /// What the server says of itself. The answer comes behind the messages that wait on the way: while these come, the
    /// link is alive.
    async fn greeting(&self, patience: Duration) -> Result<Greeting, Error> {
        let mut asking = pin!(self.link.greeting(OPERATION));
        loop {
            let heard = self.inbox.heard();
            match timeout(patience, &mut asking).await {
                Ok(answer) => return answer,
                Err(_) if self.inbox.heard() > heard => {}
                Err(_) => return Err(timed_out(OPERATION, patience)),
            }
        }
    }
}
