//! What a log and a transport together give to be tried under nodes.

use async_trait::async_trait;

use crate::{LogSpace, TransportCluster, Unable};

/// Makes fresh pairs of a log and a cluster.
#[async_trait]
pub trait NodeHarness: Send + Sync + 'static {
    /// The pair's name, with which the names of its cases begin: `"sqlite+http"`.
    fn name(&self) -> &'static str;

    /// A fresh log and a fresh cluster of so many nodes.
    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable>;
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
