//! What is sent: one task owns the connection, and sends all that waits in one message.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Error;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    builder::Settings,
    failure::{closed, from_sqlx, timed_out},
    payload::{self, MAX_FRAMES},
};
use crate::error::breaks_connection;

/// How many frames may wait; who has one more waits for room, within its own time.
const QUEUE: usize = 1_024;
/// How long a connection lies idle before it is tried, so that one which a firewall forgot fails no frame.
const IDLE: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<(), Error>>;

/// The callers' side of the task.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Waiting>,
    errands: mpsc::Sender<Errand>,
    limit: Duration,
}

struct Waiting {
    bytes: Bytes,
    deadline: Instant,
    reply: Reply,
}

enum Errand {
    /// See whether the server answers.
    Probe(Reply),
    /// A connection that is newer than the present one.
    Adopt(PgConnection),
}

impl Outbox {
    /// An outbox, and its task.
    pub(super) fn new(settings: Arc<Settings>) -> (Self, Courier) {
        let (frames, waiting) = mpsc::channel(QUEUE);
        let (errands, asked) = mpsc::channel(16);
        let outbox = Self {
            frames,
            errands,
            limit: settings.publish_timeout,
        };
        let courier = Courier {
            waiting,
            asked,
            sender: Sender {
                pause: settings.reconnect_wait.0,
                settings,
                connection: None,
                refused: None,
            },
        };
        (outbox, courier)
    }

    /// Sends a frame, in one attempt.
    pub(super) async fn publish(&self, bytes: Bytes) -> Result<(), Error> {
        let deadline = Instant::now() + self.limit;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            bytes,
            deadline,
            reply,
        };
        self.ask("publish", deadline, self.frames.send(waiting), answer)
            .await
    }

    /// Sees whether the server answers.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.limit;
        let (reply, answer) = oneshot::channel();
        let asking = self.errands.send(Errand::Probe(reply));
        self.ask("probe", deadline, asking, answer).await
    }

    /// Sends over this connection from now on.
    pub(super) fn adopt(&self, connection: PgConnection) {
        // With so many errands waiting it is dropped: the task opens another.
        let _ = self.errands.try_send(Errand::Adopt(connection));
    }

    async fn ask<E>(
        &self,
        operation: &'static str,
        deadline: Instant,
        asking: impl Future<Output = Result<(), E>>,
        answer: oneshot::Receiver<Result<(), Error>>,
    ) -> Result<(), Error> {
        let answered = async {
            asking.await.ok()?;
            answer.await.ok()
        };
        match timeout_at(deadline, answered).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(closed(operation)),
            Err(_) => Err(timed_out(operation, self.limit)),
        }
    }
}

/// The task.
pub(super) struct Courier {
    waiting: mpsc::Receiver<Waiting>,
    asked: mpsc::Receiver<Errand>,
    sender: Sender,
}

impl Courier {
    /// Works until the transport is closed; what waits then is told so.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        tokio::select! {
            biased;
            () = closing.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // A newer connection goes before the frames that were published since.
                biased;
                errand = self.asked.recv() => match errand {
                    Some(Errand::Probe(reply)) => self.sender.probe(reply).await,
                    Some(Errand::Adopt(connection)) => self.sender.adopt(connection),
                    None => return,
                },
                received = self.waiting.recv_many(&mut batch, MAX_FRAMES) => {
                    if received == 0 {
                        return;
                    }
                    let sent = self.sender.send(&mut batch).await;
                    for waiting in batch.drain(..) {
                        // One that gave up meanwhile has told its caller so.
                        let _ = waiting.reply.send(match &sent {
                            Ok(()) => Ok(()),
                            Err(error) => Err(error.duplicate()),
                        });
                    }
                }
                () = sleep(IDLE), if self.sender.connection.is_some() => self.sender.keep_alive().await,
            }
        }
    }
}

/// The connection, opened when it is needed.
struct Sender {
    settings: Arc<Settings>,
    connection: Option<PgConnection>,
    /// Why connecting failed, and until when that is the answer.
    refused: Option<(Instant, Error)>,
    /// How long the next such answer lasts.
    pause: Duration,
}

impl Sender {
    /// Sends these in one transaction, without those whose caller has gone or timed out.
    async fn send(&mut self, batch: &mut Vec<Waiting>) -> Result<(), Error> {
        const OPERATION: &str = "publish";
        let limit = self.settings.publish_timeout;
        answer_late(batch, limit);
        let Some(last) = batch.iter().map(|waiting| waiting.deadline).max() else {
            return Ok(());
        };
        if let Some((until, error)) = &self.refused
            && Instant::now() < *until
        {
            return Err(error.duplicate());
        }
        let mut connection = match timeout_at(last, self.connected(OPERATION)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(timed_out(OPERATION, limit)),
        };
        answer_late(batch, limit);
        let frames = batch.iter().map(|waiting| &waiting.bytes);
        if frames.len() == 0 {
            self.connection = Some(connection);
            return Ok(());
        }
        let sql = payload::statement(&self.settings.channel, frames);
        match timeout_at(last, connection.execute(AssertSqlSafe(sql))).await {
            Ok(Ok(_)) => {
                self.connection = Some(connection);
                Ok(())
            }
            Ok(Err(error)) => {
                if !breaks_connection(&error) {
                    self.connection = Some(connection);
                }
                Err(from_sqlx(OPERATION, error))
            }
            // The connection is dropped: a late answer would be taken for that to the next statement.
            Err(_) => Err(timed_out(OPERATION, limit)),
        }
    }

    /// The connection, taken out: who does not put it back has found it broken.
    async fn connected(&mut self, operation: &'static str) -> Result<PgConnection, Error> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        match self.settings.options.connect().await {
            Ok(connection) => {
                self.welcome();
                Ok(connection)
            }
            Err(error) => {
                let error = from_sqlx(operation, error);
                self.refused = Some((Instant::now() + self.pause, error.duplicate()));
                self.pause = (self.pause * 2).min(self.settings.reconnect_wait.1);
                Err(error)
            }
        }
    }

    fn welcome(&mut self) {
        self.refused = None;
        self.pause = self.settings.reconnect_wait.0;
    }

    fn adopt(&mut self, connection: PgConnection) {
        self.welcome();
        self.connection = Some(connection);
    }

    /// Asks the server now. A connection that is found lost is replaced, since that changes nothing.
    async fn probe(&mut self, reply: Reply) {
        let limit = self.settings.publish_timeout;
        let probing = async {
            if let Some(mut connection) = self.connection.take()
                && ask(&mut connection).await.is_ok()
            {
                return Ok(connection);
            }
            let mut connection = self.connected("probe").await?;
            match ask(&mut connection).await {
                Ok(()) => Ok(connection),
                Err(error) => Err(from_sqlx("probe", error)),
            }
        };
        let probed = match timeout(limit, probing).await {
            Ok(probed) => probed,
            Err(_) => Err(timed_out("probe", limit)),
        };
        // Who asked may have gone.
        let _ = reply.send(probed.map(|connection| self.connection = Some(connection)));
    }

    /// Forgets a connection that does not answer.
    async fn keep_alive(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && let Ok(Ok(())) = timeout(self.settings.publish_timeout, ask(&mut connection)).await
        {
            self.connection = Some(connection);
        }
    }
}

/// Takes out those whose time is over, or whose caller has gone: they are not sent any more.
fn answer_late(batch: &mut Vec<Waiting>, limit: Duration) {
    let now = Instant::now();
    let is_late = |waiting: &mut Waiting| waiting.deadline <= now || waiting.reply.is_closed();
    for waiting in batch.extract_if(.., is_late) {
        let _ = waiting.reply.send(Err(timed_out("publish", limit)));
    }
}

async fn ask(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute("SELECT 1").await.map(drop)
}
