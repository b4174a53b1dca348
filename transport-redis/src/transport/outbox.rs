//! What is sent: over one connection, which all callers share without waiting for each other's answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::{Error, ErrorKind};
use parking_lot::Mutex;
use redis::{Pipeline, Value};
use tokio::time::{Instant, timeout};

use super::{builder::Settings, failure::closed, payload::Framed};
use crate::{
    error::{duplicate, from_redis, from_server, timed_out},
    server::{Greeting, Link, ask_greeting},
};

const PUBLISH: &str = "publish";
const PROBE: &str = "probe";

/// The connection, opened when it is needed.
#[derive(Debug)]
pub(super) struct Outbox {
    settings: Arc<Settings>,
    present: Mutex<Present>,
    /// Held by who connects, for whom the others wait, each within its own time.
    opening: tokio::sync::Mutex<Opening>,
}

#[derive(Debug)]
enum Present {
    Link(Link),
    Nothing,
    /// For good.
    Closed,
}

#[derive(Debug)]
struct Opening {
    /// Why connecting failed, and until when that is the answer.
    refused: Option<(Instant, Error)>,
    /// How long the next such answer lasts.
    pause: Duration,
}

impl Outbox {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        let opening = tokio::sync::Mutex::new(Opening {
            refused: None,
            pause: settings.reconnect_wait.0,
        });
        Self {
            settings,
            present: Mutex::new(Present::Nothing),
            opening,
        }
    }

    /// Sends a frame, in one attempt.
    pub(super) async fn publish(&self, bytes: Bytes) -> Result<(), Error> {
        let mut used = None;
        let sending = async {
            let link = used.insert(self.connected().await?);
            let answers = link.ask_all(&self.message(&bytes)).await;
            let answers = answers.map_err(|source| from_redis(PUBLISH, source))?;
            confirmed(&answers)
        };
        let limit = self.settings.publish_timeout;
        let sent = match timeout(limit, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(timed_out(PUBLISH, limit)),
        };
        // What is left in its buffer is not sent later.
        if let Err(error) = &sent
            && error.kind != ErrorKind::Denied
            && let Some(link) = used
        {
            self.forget(&link);
        }
        sent
    }

    /// The frame, and behind it a question to the server what it is: a replica takes it as well, for its own subscribers
    /// alone.
    fn message(&self, bytes: &Bytes) -> Pipeline {
        let mut message = Pipeline::with_capacity(2);
        let publish = if self.settings.servers.is_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        message
            .cmd(publish)
            .arg(&self.settings.channel)
            .arg(Framed(bytes));
        message.add_command(ask_greeting().clone());
        message
    }

    /// Sees whether the server answers. A connection that is found lost is replaced, since that changes nothing.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let limit = self.settings.publish_timeout;
        let probing = async {
            if let Some(link) = self.present() {
                match greeting(&link).await {
                    Ok(()) => return Ok(()),
                    Err(_) => self.forget(&link),
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
        let Some(link) = self.present() else {
            let done = meanwhile.await?;
            self.welcome().await;
            return Ok(done);
        };
        let mut is_well = false;
        let asking = async {
            is_well = greeting(&link).await.is_ok();
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

    async fn connected(&self) -> Result<Link, Error> {
        if let Some(link) = self.present() {
            return Ok(link);
        }
        let mut opening = self.opening.lock().await;
        if let Some(link) = self.present() {
            return Ok(link);
        }
        if let Some((until, error)) = &opening.refused
            && Instant::now() < *until
        {
            return Err(duplicate(error));
        }
        self.open(PUBLISH, &mut opening).await
    }

    async fn open(&self, operation: &'static str, opening: &mut Opening) -> Result<Link, Error> {
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
                *present = Present::Link(link.clone());
                Ok(link)
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

    fn present(&self) -> Option<Link> {
        match &*self.present.lock() {
            Present::Link(link) if !link.is_lost() => Some(link.clone()),
            _ => None,
        }
    }

    fn forget(&self, link: &Link) {
        let mut present = self.present.lock();
        if matches!(&*present, Present::Link(one) if one.is(link)) {
            *present = Present::Nothing;
        }
    }
}

async fn greeting(link: &Link) -> Result<(), Error> {
    link.greeting(PROBE).await?.is_primary(PROBE)
}

/// Whether the answers to a [message](Outbox::message) say that a primary took the frame.
fn confirmed(answers: &[Value]) -> Result<(), Error> {
    if let Some(Value::ServerError(refused)) = answers.first() {
        return Err(from_server(PUBLISH, refused));
    }
    let greeting = answers.get(1).unwrap_or(&Value::Nil);
    Greeting::read(PUBLISH, greeting)?.is_primary(PUBLISH)
}
