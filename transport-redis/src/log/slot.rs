//! The log's own connections.

use std::{sync::Arc, time::Duration};

use invalidation_core::Error;

use super::{builder::Settings, cursor::Identity, page::Known};
use crate::{error::timed_out, server::Link};

/// One connection, opened when it is needed.
///
/// It is taken out while it is used, and put back only after an answer that says nothing against it: whoever was dropped,
/// timed out or refused has the next caller connect anew, and find out again who the primary is.
#[derive(Debug)]
pub(crate) struct Slot {
    settings: Arc<Settings>,
    link: Option<Link>,
}

impl Slot {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            link: None,
        }
    }

    /// The open connection, or a new one to the primary that has the log's key.
    pub(crate) async fn take(&mut self, operation: &'static str) -> Result<Link, Error> {
        if let Some(link) = self.link.take().filter(|link| !link.is_lost()) {
            return Ok(link);
        }
        let Settings {
            servers,
            key,
            write_timeout,
            ..
        } = &*self.settings;
        servers
            .connect(operation, key.as_bytes(), *write_timeout)
            .await
    }

    pub(crate) fn put(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// Puts it back after an answer of `identity`, unless `known`, when it was asked for, was another server's: the one that
    /// answered, or the one behind the log's other connection, was replaced, so the next call asks anew who the primary is.
    pub(crate) fn put_unless_moved(
        &mut self,
        link: Link,
        known: Option<Known>,
        identity: Identity,
    ) {
        if known.is_none_or(|known| known.identity.has_history_of(identity)) {
            self.put(link);
        }
    }

    pub(crate) fn close(&mut self) {
        self.link = None;
    }
}

/// Ends a call of the log that takes longer than `limit`: a link through which nothing comes would hold it for ever.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(operation, limit)),
    }
}
