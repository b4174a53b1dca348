//! Somebody who does not belong to the cluster: nothing that it does succeeds.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, Outgoing, Sender, Subscription,
    TransportCapabilities, TransportFaults,
};

use super::harness::MAX_FRAME;

/// Fails each call with one kind.
#[derive(Debug)]
pub(super) struct Outsider {
    kind: ErrorKind,
    /// Who takes what it publishes for a member's all the same.
    believers: Vec<TransportFaults>,
    /// Whether it tries again and again.
    retries: bool,
    /// How long it takes to say so.
    after: Duration,
    /// What its subscriptions do, where they are made all the same.
    subscribed: Option<Silence>,
}

/// A subscription on which nothing comes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Silence {
    Lasts,
    Ends,
}

impl Outsider {
    pub(super) const fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            believers: Vec::new(),
            retries: false,
            after: Duration::ZERO,
            subscribed: None,
        }
    }

    pub(super) const fn retrying(mut self) -> Self {
        self.retries = true;
        self
    }

    pub(super) const fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    pub(super) const fn subscribed(mut self, silence: Silence) -> Self {
        self.subscribed = Some(silence);
        self
    }

    pub(super) fn believed_by(mut self, members: impl Iterator<Item = TransportFaults>) -> Self {
        self.believers.extend(members);
        self
    }

    async fn refused(&self, operation: &'static str) -> Error {
        if self.retries {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.after).await;
        Error::new(self.kind, "outsider", operation, "does not belong here")
    }
}

#[async_trait]
impl CacheInvalidationTransport for Outsider {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new("outsider", MAX_FRAME)
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        match self.subscribed {
            Some(Silence::Lasts) => Ok(stream::pending().boxed()),
            Some(Silence::Ends) => Ok(stream::empty().boxed()),
            None => Err(self.refused("subscribe").await),
        }
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        for member in &self.believers {
            member.inject(frame.bytes.clone(), Sender::Authenticated);
        }
        Err(self.refused("publish").await)
    }

    async fn probe(&self) -> Result<(), Error> {
        Err(self.refused("probe").await)
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
