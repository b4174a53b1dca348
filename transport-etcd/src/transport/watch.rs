//! A subscription: a watch that the server confirmed, read until it is lost.

use std::sync::Arc;

use etcd_client::{WatchFilterType, WatchOptions, WatchResponse, WatchStream};
use invalidation_core::{Error, ErrorKind, NodeId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{builder::Settings, inbox::Inbox, value};
use crate::{
    error::{Failure, error, from_client, from_failure, timed_out},
    server::{Link, Session},
};

const OPERATION: &str = "subscribe";

/// A watch that the server has created.
pub(super) struct Watch {
    stream: WatchStream,
    /// Its connection.
    session: Arc<Session>,
}

impl Watch {
    /// Watches over a connection of its own, which is the one for frames and probes from now on: after an outage the
    /// present one is most likely dead.
    ///
    /// From the present on, whatever revision that is: none is asked for that was compacted, or that would lie in the
    /// future of a store which was restored.
    pub(super) async fn open(settings: &Settings, link: &Link) -> Result<Self, Error> {
        let limit = settings.publish_timeout;
        let opening = async {
            let session = link.fresh(OPERATION).await?;
            let options = WatchOptions::new()
                .with_fragment()
                .with_filters([WatchFilterType::NoDelete]);
            let watching = session
                .watch()
                .watch(settings.key.as_str(), Some(options))
                .await;
            let mut stream = watching.map_err(|source| link.failed(&session, OPERATION, source))?;
            let first = stream.message().await;
            match first.map_err(|source| link.failed(&session, OPERATION, source))? {
                Some(first) if first.canceled() => Err(canceled(&first)),
                Some(first) if first.created() => Ok(Self { stream, session }),
                Some(_) => Err(error(
                    ErrorKind::Incompatible,
                    OPERATION,
                    "the server did not confirm the watch: is it etcd 3.4 or later?",
                )),
                None => Err(goodbye()),
            }
        };
        match timeout(limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(timed_out(OPERATION, limit)),
        }
    }

    /// Fills the inbox until the watch is lost, nobody reads any more, or the transport is closed.
    pub(super) async fn follow(
        mut self,
        inbox: Inbox,
        settings: Arc<Settings>,
        link: Arc<Link>,
        node: NodeId,
        stop: CancellationToken,
    ) {
        tokio::select! {
            biased;
            () = stop.cancelled() => inbox.close(),
            error = self.read(&inbox, &settings, node) => {
                // Frames that wait for an answer over it are not left to their time-out.
                link.end(&self.session);
                inbox.lose(error);
            }
        }
    }

    /// Reads all that comes, whether or not anybody takes it: the server would keep what a watcher leaves. Why it ended.
    async fn read(&mut self, inbox: &Inbox, settings: &Settings, node: NodeId) -> Error {
        // Together below what is declared.
        let silence = settings.notices_loss_within / 3;
        let patience = settings.notices_loss_within / 2;
        loop {
            let received = match timeout(silence, self.stream.message()).await {
                Ok(received) => received,
                // A link that is dead and one that has nothing to say look alike.
                Err(_) => match timeout(patience, self.sign_of_life()).await {
                    Ok(received) => received,
                    Err(_) => return timed_out(OPERATION, settings.notices_loss_within),
                },
            };
            match received {
                Ok(Some(response)) if response.canceled() => return canceled(&response),
                Ok(Some(response)) => {
                    for event in response.events() {
                        // What was deleted has no version, where the server does not filter that.
                        if let Some(kv) = event.kv().filter(|kv| kv.version() > 0) {
                            inbox.put(value::decode(kv.value(), node));
                        }
                    }
                }
                Ok(None) => return goodbye(),
                Err(source) => return from_client(OPERATION, source),
            }
        }
    }

    /// Asks the server for its progress; whatever comes shows that it lives. HTTP/2 pings instead would end it: a server
    /// takes more than one in five seconds (`--grpc-keepalive-min-time`) for an attack. Not for *how far* it is: 3.4 may tell a
    /// revision before events that lie below it (etcd-io/etcd#15220).
    async fn sign_of_life(&mut self) -> Result<Option<WatchResponse>, etcd_client::Error> {
        self.stream.request_progress().await?;
        self.stream.message().await
    }
}

/// The server ended the watch.
fn canceled(response: &WatchResponse) -> Error {
    let reason = response.cancel_reason();
    if response.compact_revision() > 0 {
        let told = "the watch fell behind what the cluster keeps of its history";
        return from_failure(OPERATION, Failure::Compacted, told);
    }
    match Failure::of_reason(reason) {
        Some(failure) => from_failure(OPERATION, failure, reason),
        None => error(
            ErrorKind::Unavailable,
            OPERATION,
            format!("the server ended the watch ({reason}): subscribe again"),
        ),
    }
}

fn goodbye() -> Error {
    error(
        ErrorKind::Unavailable,
        OPERATION,
        "the server ended the watch: subscribe again",
    )
}
