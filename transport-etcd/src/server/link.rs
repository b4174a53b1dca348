//! The session that is used now.

use std::{future::Future, sync::Arc, time::Duration};

use etcd_client::Error as ClientError;
use invalidation_core::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{session::Session, settings::Servers};
use crate::error::{Failure, closed, duplicate, from_client, timed_out};

/// A session, opened when it is needed, and another one in its place when it broke. Nothing is tried twice: who met the
/// failure is told so, and the next call has the new session, to the next member.
#[derive(Debug)]
pub(crate) struct Link {
    servers: Servers,
    state: Mutex<State>,
    /// Held by who connects, so that the others wait for that.
    connecting: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

struct State {
    current: Option<Arc<Session>>,
    /// The member to begin with.
    next: usize,
    /// Why connecting failed, and until when that is the answer.
    refused: Option<(Instant, Error)>,
    /// How long the next such answer lasts.
    pause: Duration,
}

impl Link {
    /// One that the token closes.
    pub(crate) fn new(servers: Servers, closing: CancellationToken) -> Self {
        // Not all nodes to the same member.
        let next = rand::random_range(0..servers.count());
        Self {
            state: Mutex::new(State {
                current: None,
                next,
                refused: None,
                pause: servers.reconnect_wait.0,
            }),
            servers,
            connecting: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            closing,
        }
    }

    /// Whether there is a session, of use or not.
    pub(crate) fn has_session(&self) -> bool {
        self.state.lock().current.is_some()
    }

    /// One call, within its time: with the present session, or one that is opened for it.
    ///
    /// Cancel-safe where the call is.
    pub(crate) async fn call<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        call: impl FnOnce(Arc<Session>) -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        self.call_with(self.session(operation), operation, limit, call)
            .await
    }

    /// As [`call`](Self::call), but after a connection was refused, and for a while, that is the answer.
    pub(crate) async fn call_unless_refused<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        call: impl FnOnce(Arc<Session>) -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let session = async {
            match self.refusal(operation) {
                Some(error) => Err(error),
                None => self.session(operation).await,
            }
        };
        self.call_with(session, operation, limit, call).await
    }

    async fn call_with<T, F>(
        &self,
        session: impl Future<Output = Result<Arc<Session>, Error>> + Send,
        operation: &'static str,
        limit: Duration,
        call: impl FnOnce(Arc<Session>) -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let mut used = None;
        let calling = async {
            let session = used.insert(session.await?);
            match call(Arc::clone(session)).await {
                Ok(done) => Ok(done),
                Err(source) => Err(self.failed(session, operation, source)),
            }
        };
        match timeout(limit, calling).await {
            Ok(done) => done,
            Err(_) => {
                // Whether it is slow or silent, nobody can say.
                if let Some(session) = &used {
                    self.forget(session);
                }
                Err(timed_out(operation, limit))
            }
        }
    }

    /// The present session, or a new one. As long as connecting takes.
    pub(crate) async fn session(&self, operation: &'static str) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.present(operation)? {
            return Ok(session);
        }
        let _turn = self.connecting.lock().await;
        if let Some(session) = self.present(operation)? {
            return Ok(session);
        }
        self.open(operation).await
    }

    /// A new session in place of the present one, whatever was refused before.
    pub(crate) async fn fresh(&self, operation: &'static str) -> Result<Arc<Session>, Error> {
        let _turn = self.connecting.lock().await;
        self.open(operation).await
    }

    /// What this failure of a call means. A session that it shows to be of no more use is forgotten.
    pub(crate) fn failed(
        &self,
        session: &Arc<Session>,
        operation: &'static str,
        source: ClientError,
    ) -> Error {
        if self.closing.is_cancelled() {
            return closed(operation);
        }
        if Failure::of(&source).breaks_session() {
            self.forget(session);
        }
        from_client(operation, source)
    }

    /// Lets the next call open another session, to the next member. The connection ends when nobody uses it any more.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        let mut state = self.state.lock();
        if state
            .current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            state.current = None;
            state.next = (state.next + 1) % self.servers.count();
        }
    }

    /// Forgets it, and ends its connection for all who use it.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        self.forget(session);
        session.end();
    }

    /// Ends all connections, also those that are used. Idempotent, and waits for no server.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.state.lock().current = None;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Why members refused a connection, for the while in which none is asked again.
    fn refusal(&self, operation: &'static str) -> Option<Error> {
        let state = self.state.lock();
        match &state.refused {
            Some((until, error)) if state.current.is_none() && Instant::now() < *until => {
                let mut error = duplicate(error);
                error.operation = operation;
                Some(error)
            }
            _ => None,
        }
    }

    fn present(&self, operation: &'static str) -> Result<Option<Arc<Session>>, Error> {
        if self.closing.is_cancelled() {
            return Err(closed(operation));
        }
        Ok(self.state.lock().current.clone())
    }

    /// Asks each member once, beginning with the next, until one serves. One that has another certificate than it should,
    /// or does not want us, speaks for itself alone; it is what is told where none serves, before who is down or silent.
    async fn open(&self, operation: &'static str) -> Result<Arc<Session>, Error> {
        let (count, first) = (self.servers.count(), self.state.lock().next);
        let mut refusal: Option<Error> = None;
        for step in 0..count {
            let at = (first + step) % count;
            let is_last = step + 1 == count;
            // Who gives up meanwhile has the next call begin with another.
            self.state.lock().next = (at + 1) % count;
            let is_denied = refusal
                .as_ref()
                .is_some_and(|e| e.kind == ErrorKind::Denied);
            // The last may take as long as the caller waits, but where there is something better to tell.
            let is_patient = is_last && !is_denied;
            match self.open_at(at, is_patient, operation).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    let mut state = self.state.lock();
                    if self.closing.is_cancelled() {
                        return Err(closed(operation));
                    }
                    state.next = at;
                    state.refused = None;
                    state.pause = self.servers.reconnect_wait.0;
                    state.current = Some(Arc::clone(&session));
                    return Ok(session);
                }
                Err(error) => {
                    let is_final = matches!(error.kind, ErrorKind::Invalid | ErrorKind::Closed);
                    if is_final || !is_denied {
                        refusal = Some(error);
                    }
                    if is_final {
                        break;
                    }
                }
            }
        }
        let refusal = refusal.unwrap_or_else(|| closed(operation));
        let mut state = self.state.lock();
        state.refused = Some((Instant::now() + state.pause, duplicate(&refusal)));
        state.pause = (state.pause * 2).min(self.servers.reconnect_wait.1);
        Err(refusal)
    }

    /// One attempt, as long as the caller waits, or in its own time.
    async fn open_at(
        &self,
        at: usize,
        is_patient: bool,
        operation: &'static str,
    ) -> Result<Session, Error> {
        // Large, and seldom.
        let opening = Box::pin(Session::open(
            &self.servers,
            at,
            &self.tasks,
            &self.closing,
            operation,
        ));
        let limit = self.servers.connect_timeout;
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed(operation)),
            opened = opening => opened,
            () = tokio::time::sleep(limit), if !is_patient => Err(timed_out(operation, limit)),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field(
                "member",
                &self
                    .current
                    .as_ref()
                    .map(|session| session.host().to_owned()),
            )
            .finish_non_exhaustive()
    }
}
