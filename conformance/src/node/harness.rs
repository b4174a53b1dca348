//! What a log and a transport together give to be tried under nodes.

use std::sync::Arc;

use async_trait::async_trait;
use invalidation_core::Error;

use super::{
    real,
    under_test::{NodeUnderTest, Setup},
};
use crate::{LogHarness, LogSpace, TransportCluster, TransportHarness, Unable};

/// Makes fresh pairs of a log and a cluster.
#[async_trait]
pub trait NodeHarness: Send + Sync + 'static {
    /// The pair's name, with which the names of its cases begin: `"sqlite+http"`.
    fn name(&self) -> String;

    /// A fresh log and a fresh cluster of so many nodes.
    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable>;

    /// Starts a node. The default is the framework's own; another one is for those who write a node or a cache
    /// themselves.
    ///
    /// # Errors
    /// When it cannot start now; the suite tries again for some time.
    async fn start(&self, setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        real::start(setup).await
    }
}

/// The pair of a log's harness and a transport's: all that is needed to try the framework's nodes on them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pair<L, T>(
    /// Makes the logs.
    pub L,
    /// Makes the clusters.
    pub T,
);

#[async_trait]
impl<L: LogHarness, T: TransportHarness> NodeHarness for Pair<L, T> {
    fn name(&self) -> String {
        format!("{}+{}", self.0.name(), self.1.name())
    }

    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable> {
        Ok(NodeSpace {
            log: self.0.fresh().await?,
            cluster: self.1.cluster(nodes).await?,
        })
    }
}

/// A fresh log and a fresh cluster.
#[expect(
    missing_debug_implementations,
    reason = "of two trait objects that have none"
)]
pub struct NodeSpace {
    /// The log that all nodes share.
    pub log: Box<dyn LogSpace>,
    /// The transport of each node.
    pub cluster: Box<dyn TransportCluster>,
}
