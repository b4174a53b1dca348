//! What is sent: over one connection, which all callers share without waiting for each other's answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::{Error, ErrorKind};
use parking_lot::Mutex;
use redis::Cmd;
use tokio::time::{Instant, timeout};

use super::{
    builder::Settings, failure::closed, payload::Framed, primary::Primary, witness::Witness,
};
use crate::{
    error::{duplicate, from_redis, timed_out},
    server::Link,
};

const PUBLISH: &str = "publish";
const PROBE: &str = "probe";

/// The connection, opened when it is needed.
#[derive(Debug)]
pub(super) struct Outbox {
    settings: Arc<Settings>,
    primary: Arc<Primary>,
    present: Mutex<Present>,
    /// Held by who connects, for whom the others wait, each within its own time.
    opening: tokio::sync::Mutex<Opening>,
}

#[derive(Debug)]
enum Present {
    Line(Line),
    Nothing,
    /// For good.
    Closed,
}

/// A connection, and what is known of its server.
#[derive(Debug, Clone)]
struct Line {
    link: Link,
    witness: Arc<Witness>,
}

impl Line {
    fn is_good(&self, primary: &Primary) -> bool {
        !self.link.is_lost() && primary.is_at(&self.link)
    }
}

#[derive(Debug)]
struct Opening {
    /// Why connecting failed, and until when that is the answer.
    refused: Option<(Instant, Error)>,
    /// How long the next such answer lasts.
    pause: Duration,
}

impl Outbox {
    pub(super) fn new(settings: Arc<Settings>, primary: Arc<Primary>) -> Self {
        let opening = tokio::sync::Mutex::new(Opening {
            refused: None,
            pause: settings.reconnect_wait.0,
        });
        Self {
            settings,
            primary,
            present: Mutex::new(Present::Nothing),
            opening,
        }
    }

    /// Sends a frame, in one attempt.
    pub(super) async fn publish(&self, bytes: Bytes) -> Result<(), Error> {
        let mut used = None;
        let sending = async {
            let line = used.insert(self.connected().await?);
            let taken = line.link.ask(&self.command(&bytes)).await;
            taken.map_err(|source| from_redis(PUBLISH, source))?;
            line.witness.confirm(PUBLISH, &line.link).await
        };
        let limit = self.settings.publish_timeout;
        let sent = match timeout(limit, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(timed_out(PUBLISH, limit)),
        };
        // What is left in its buffer is not sent later.
        if let Err(error) = &sent
            && error.kind != ErrorKind::Denied
            && let Some(line) = used
        {
            self.forget(&line.link);
        }
        sent
    }

    fn command(&self, bytes: &Bytes) -> Cmd {
        let mut publish = Cmd::new();
        publish
            .arg(if self.settings.servers.is_cluster() {
                "SPUBLISH"
            } else {
                "PUBLISH"
            })
            .arg(&self.settings.channel)
            .arg(Framed(bytes));
        publish
    }

    /// Sees whether the server answers. A connection that is found lost is replaced, since that changes nothing.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let limit = self.settings.publish_timeout;
        let probing = async {
            if let Some(line) = self.present() {
                match line.witness.confirm(PROBE, &line.link).await {
                    Ok(()) => return Ok(()),
                    Err(_) => self.forget(&line.link),
                }
            }
            // Seen to answer just now.
            self.open(PROBE, &mut *self.opening.lock().await).await?;
            Ok(())
        };
        match timeout(limit, probing).await {
            Ok(probed) => probed,
            Err(_) => Err(timed_out(PROBE, limit)),
        }
    }

    /// Replaces a connection that does not answer before `meanwhile` has ended, which reached the same server.
    pub(super) async fn renew_beside<T>(
        &self,
        meanwhile: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(Line { link, witness }) = self.present() else {
            let done = meanwhile.await?;
            self.welcome().await;
            return Ok(done);
        };
        let mut is_well = false;
        let asking = async {
            is_well = witness.confirm(PROBE, &link).await.is_ok();
            std::future::pending::<()>().await
        };
        let done = tokio::select! {
            biased;
            () = asking => return Err(closed(PUBLISH)),
            done = meanwhile => done?,
        };
        if !is_well {
            self.forget(&link);
        }
        self.welcome().await;
        Ok(done)
    }

    /// Ends the connection, and lets none be opened again.
    pub(super) fn close(&self) {
        *self.present.lock() = Present::Closed;
    }

    async fn connected(&self) -> Result<Line, Error> {
        if let Some(line) = self.present() {
            return Ok(line);
        }
        let mut opening = self.opening.lock().await;
        if let Some(line) = self.present() {
            return Ok(line);
        }
        if let Some((until, error)) = &opening.refused
            && Instant::now() < *until
        {
            return Err(duplicate(error));
        }
        self.open(PUBLISH, &mut opening).await
    }

    async fn open(&self, operation: &'static str, opening: &mut Opening) -> Result<Line, Error> {
        let settings = &self.settings;
        let (channel, limit) = (settings.channel.as_bytes(), settings.publish_timeout);
        match settings.servers.connect(operation, channel, limit).await {
            Ok(link) => {
                opening.refused = None;
                opening.pause = settings.reconnect_wait.0;
                let mut present = self.present.lock();
                if matches!(*present, Present::Closed) {
                    return Err(closed(operation));
                }
                self.primary.found(&link);
                let witness = Arc::default();
                let line = Line { link, witness };
                *present = Present::Line(line.clone());
                Ok(line)
            }
            Err(error) => {
                let until = Instant::now() + opening.pause;
                opening.refused = Some((until, duplicate(&error)));
                opening.pause = (opening.pause * 2).min(settings.reconnect_wait.1);
                Err(error)
            }
        }
    }

    /// The server is there again: frames may ask for a connection.
    async fn welcome(&self) {
        // Who holds it is just finding that out.
        if let Ok(mut opening) = self.opening.try_lock() {
            opening.refused = None;
            opening.pause = self.settings.reconnect_wait.0;
        }
    }

    fn present(&self) -> Option<Line> {
        match &*self.present.lock() {
            Present::Line(line) if line.is_good(&self.primary) => Some(line.clone()),
            _ => None,
        }
    }

    fn forget(&self, link: &Link) {
        let mut present = self.present.lock();
        if matches!(&*present, Present::Line(line) if line.link.is(link)) {
            *present = Present::Nothing;
        }
    }
}
