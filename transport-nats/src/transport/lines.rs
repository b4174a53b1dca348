//! The link in use, and the next one when it is lost.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use invalidation_core::Error;
use parking_lot::RwLock;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{builder::Settings, failure::closed, line::Line};
use crate::error::duplicate;

/// How long a close waits for a connection to have ended.
const CLOSING: Duration = Duration::from_secs(1);

/// Opens links, one after another: who needs one while there is none waits for who opens it.
pub(super) struct Lines {
    settings: Arc<Settings>,
    current: RwLock<Option<Arc<Line>>>,
    opening: Mutex<Refusals>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

struct Refusals {
    /// Why connecting failed, and until when that is the answer to a frame.
    last: Option<(Instant, Error)>,
    /// How long the next such answer lasts.
    pause: Duration,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// A frame: it is content with what another was answered just now.
    Frame,
    /// Who wants to know how it is now.
    Caller,
}

/// A link, and where it was opened for this caller the subscription by which it was tested.
pub(super) type Opened = (Arc<Line>, Option<Subscriber>);

impl Lines {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            current: RwLock::new(None),
            opening: Mutex::new(Refusals {
                last: None,
                pause: settings.reconnect_wait.0,
            }),
            settings,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// The link in use, or a new one.
    pub(super) async fn get(&self, operation: &'static str, asks: Asks) -> Result<Opened, Error> {
        match self.usable() {
            Some(line) => Ok((line, None)),
            // Apart, since it is seldom and large.
            None => Box::pin(self.open(operation, asks)).await,
        }
    }

    async fn open(&self, operation: &'static str, asks: Asks) -> Result<Opened, Error> {
        let mut refusals = self.opening.lock().await;
        if let Some(line) = self.usable() {
            return Ok((line, None));
        }
        if let (Asks::Frame, Some((until, error))) = (asks, &refusals.last)
            && Instant::now() < *until
        {
            return Err(duplicate(error, operation));
        }
        let settings = Arc::clone(&self.settings);
        match Line::open(settings, operation, &self.tasks).await {
            Ok((line, subscriber)) => {
                refusals.last = None;
                refusals.pause = self.settings.reconnect_wait.0;
                let line = self.keep(Arc::new(line), operation)?;
                Ok((line, Some(subscriber)))
            }
            Err(error) => {
                let until = Instant::now() + refusals.pause;
                refusals.last = Some((until, duplicate(&error, operation)));
                refusals.pause = (refusals.pause * 2).min(self.settings.reconnect_wait.1);
                Err(error)
            }
        }
    }

    /// Lets a call run until it ends or the transport is closed.
    pub(super) async fn unless_closed<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed(operation)),
            result = call => result,
        }
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        let line = self.current.write().take();
        self.tasks.close();
        if let Some(line) = line {
            let ended = line.close();
            drop(line);
            // Over a silent link with much to send the driver takes until that is found lost.
            let _ = tokio::time::timeout(CLOSING, ended.cancelled()).await;
        }
        self.tasks.wait().await;
    }

    fn keep(&self, line: Arc<Line>, operation: &'static str) -> Result<Arc<Line>, Error> {
        let mut current = self.current.write();
        // Before the lock is released, so that a close finds it.
        if self.closing.is_cancelled() {
            return Err(closed(operation));
        }
        *current = Some(Arc::clone(&line));
        Ok(line)
    }

    fn usable(&self) -> Option<Arc<Line>> {
        let current = self.current.read();
        current.as_ref().filter(|line| line.is_usable()).cloned()
    }
}
