//! A connection that is opened when it is needed, and again when it was lost.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap, Request,
    client::{RequestError, RequestErrorKind},
};
use bytes::Bytes;
use invalidation_core::{Error, ErrorKind};
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::cursor::Identity;
use crate::{
    error::{error, refers_to_rights},
    server::{Heard, Link, Server, Wish},
};

/// A silent link is found lost within this time.
const NOTICES_LOSS_WITHIN: Duration = Duration::from_secs(3);
/// How many of the server's errors are kept for those who wait.
const KEPT: usize = 32;

/// One connection at a time.
#[derive(Debug)]
pub(super) struct Connection {
    server: Server,
    /// How long connecting may take.
    within: Duration,
    current: RwLock<Option<Arc<Session>>>,
    opening: Mutex<()>,
    closing: CancellationToken,
}

/// An open connection. It never connects again, so that all requests of one session reach one server process.
#[derive(Debug)]
pub(super) struct Session {
    link: Link,
    errors: watch::Receiver<Errors>,
    /// To which stream it leads, as was seen last.
    seen: RwLock<Option<Identity>>,
    /// The server will end soon.
    leaves: Arc<AtomicBool>,
    closing: CancellationToken,
}

/// What the server said in no order with its answers: it answers nothing to a request that is not allowed.
#[derive(Debug, Default)]
struct Errors {
    /// How many came before the first that is kept.
    dropped: usize,
    kept: VecDeque<String>,
}

impl Connection {
    pub(super) fn new(server: Server, within: Duration, closing: CancellationToken) -> Self {
        Self {
            server,
            within,
            current: RwLock::new(None),
            opening: Mutex::new(()),
            closing,
        }
    }

    /// The session in use, or a new one.
    pub(super) async fn session(&self, operation: &'static str) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.usable() {
            return Ok(session);
        }
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed(operation)),
            opened = self.open(operation) => opened,
        }
    }

    async fn open(&self, operation: &'static str) -> Result<Arc<Session>, Error> {
        let _turn = self.opening.lock().await;
        if let Some(session) = self.usable() {
            return Ok(session);
        }
        let wish = Wish {
            within: self.within,
            notices_loss_within: NOTICES_LOSS_WITHIN,
            capacity: 1_024,
        };
        let (sender, errors) = watch::channel(Errors::default());
        let leaves = Arc::new(AtomicBool::new(false));
        let heard = {
            let leaves = Arc::clone(&leaves);
            move |heard| match heard {
                Heard::LameDuck => leaves.store(true, Ordering::Relaxed),
                Heard::Said(said) => sender.send_modify(|errors| errors.add(said)),
                Heard::Dropped => {}
            }
        };
        let link = self.server.connect(operation, wish, heard).await?;
        let session = Arc::new(Session {
            link,
            errors,
            seen: RwLock::new(None),
            leaves,
            closing: self.closing.clone(),
        });
        let mut current = self.current.write();
        // Within the lock, so that a close finds it.
        if self.closing.is_cancelled() {
            return Err(closed(operation));
        }
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The session in use, if there is one.
    pub(super) fn usable(&self) -> Option<Arc<Session>> {
        let current = self.current.read();
        current
            .as_ref()
            .filter(|session| session.is_usable())
            .cloned()
    }

    /// A connection to each server alone, none of them opened.
    pub(super) fn to_each_server(&self) -> Vec<Self> {
        let alone = |server| Self::new(server, self.within, self.closing.clone());
        self.server.each().map(alone).collect()
    }

    /// After `closing` was cancelled.
    pub(super) fn close(&self) {
        self.current.write().take();
    }
}

impl Session {
    fn is_usable(&self) -> bool {
        !self.link.is_lost() && !self.leaves.load(Ordering::Relaxed)
    }

    pub(super) fn saw(&self, identity: Identity) {
        *self.seen.write() = Some(identity);
    }

    pub(super) fn seen(&self) -> Option<Identity> {
        *self.seen.read()
    }

    /// Where the server is, and what it calls itself.
    pub(super) fn server(&self) -> String {
        let name = self.link.client().server_info().server_name;
        format!("{} ({name})", self.link.address())
    }

    /// The largest message that the server takes.
    pub(super) fn max_payload(&self) -> usize {
        self.link.client().max_payload()
    }

    /// Sends a request and waits for its answer, for as long as the caller waits. `rights` says what to allow if it is not
    /// allowed.
    pub(super) async fn request(
        &self,
        operation: &'static str,
        subject: &str,
        payload: Bytes,
    ) -> Result<Bytes, Error> {
        let request = Request::new().payload(payload);
        self.send(operation, subject, request).await
    }

    /// The same, with headers.
    pub(super) async fn request_with(
        &self,
        operation: &'static str,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Bytes, Error> {
        let request = Request::new().headers(headers).payload(payload);
        self.send(operation, subject, request).await
    }

    async fn send(
        &self,
        operation: &'static str,
        subject: &str,
        request: Request,
    ) -> Result<Bytes, Error> {
        let seen = self.errors.borrow().count();
        let request = request.timeout(None);
        let client = self.link.client();
        let answer = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(closed(operation)),
            answer = client.send_request(subject.to_owned(), request) => answer,
            () = self.link.lost().cancelled() => return Err(link_lost(operation)),
            said = self.refusal(subject, seen) => return Err(denied(operation, subject, &said)),
        };
        match answer {
            Ok(message) => Ok(message.payload),
            Err(source) => Err(self.unanswered(operation, subject, source)),
        }
    }

    fn unanswered(&self, operation: &'static str, subject: &str, source: RequestError) -> Error {
        let (kind, message) = match source.kind() {
            RequestErrorKind::NoResponders if !self.link.client().server_info().jetstream => (
                ErrorKind::Unsupported,
                "the server has no JetStream: start it with -js, or with a jetstream block in its configuration".into(),
            ),
            RequestErrorKind::NoResponders => (
                ErrorKind::Unavailable,
                format!(
                    "nobody answers to {subject}: enable JetStream for this account, and run install, as a node does when \
                     it starts, if the stream was deleted"
                ),
            ),
            RequestErrorKind::MaxPayloadExceeded => (
                ErrorKind::TooLarge,
                "the message is above the server's max_payload: append fewer keys at a time, or clear the cache".into(),
            ),
            RequestErrorKind::InvalidSubject => {
                (ErrorKind::Invalid, format!("{subject} is no subject"))
            }
            _ => return link_lost(operation).with_source(source),
        };
        error(kind, operation, message).with_source(source)
    }

    /// Ends when the server says that this subject, or the answer's, is not allowed.
    async fn refusal(&self, subject: &str, seen: usize) -> String {
        let subject = format!("\"{subject}\"").to_ascii_lowercase();
        let mut errors = self.errors.clone();
        loop {
            if let Some(said) = errors.borrow_and_update().about(&subject, seen) {
                return said;
            }
            if errors.changed().await.is_err() {
                // The link was lost, which is told elsewhere.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Errors {
    fn add(&mut self, said: String) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(said);
    }

    fn count(&self) -> usize {
        self.dropped + self.kept.len()
    }

    /// The refusal of what was sent to `subject` after so many errors were seen; or that of the subscription for answers,
    /// which is made once in a session.
    fn about(&self, subject: &str, seen: usize) -> Option<String> {
        let mut numbered = (self.dropped..).zip(&self.kept);
        let is_about = |(number, said): &(usize, &String)| {
            let said = said.to_ascii_lowercase();
            let is_own = *number >= seen && said.contains(subject);
            refers_to_rights(&said) && (is_own || said.contains("for subscription to \"_inbox"))
        };
        numbered.find(is_about).map(|(_, said)| said.clone())
    }
}

pub(super) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the log was closed: open another",
    )
}

fn link_lost(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "the connection to the server was lost: the next call opens another",
    )
}

fn denied(operation: &'static str, subject: &str, said: &str) -> Error {
    error(
        ErrorKind::Denied,
        operation,
        format!(
            "the server refused: {said}: allow the user to publish to {subject}, and to subscribe to _INBOX.>"
        ),
    )
}
