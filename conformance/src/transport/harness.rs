//! What a transport's backend gives to be tried.

use async_trait::async_trait;
use invalidation_core::{NodeId, SharedTransport};

use crate::{Disruption, Unable};

/// Makes fresh clusters of one backend. What should work and does not is a panic; what the backend cannot do is
/// [`Unable`].
#[async_trait]
pub trait TransportHarness: Send + Sync + 'static {
    /// The backend's name, with which the names of its cases begin.
    fn name(&self) -> &'static str;

    /// A fresh cluster of so many nodes that know of each other and of nobody else.
    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable>;
}

/// A node's end of the transport: built, bound to its id, and not subscribed.
#[derive(Debug, Clone)]
pub struct Member {
    /// The id it is bound to.
    pub id: NodeId,
    /// Its transport.
    pub transport: SharedTransport,
}

/// Somebody who does not belong to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stranger {
    /// A member of another cluster on the same servers, or that knows the addresses of this one's nodes.
    OtherCluster,
    /// One with wrong credentials.
    WrongSecret,
    /// One that was given an address where nobody listens.
    WrongHost,
    /// One whose TLS does not fit.
    WrongTls,
}

/// One fresh cluster and its backend. Dropped at the end of a case: frees what it took.
#[async_trait]
pub trait TransportCluster: Send + Sync {
    /// Its nodes.
    fn members(&self) -> &[Member];

    /// Somebody who reaches for this cluster and does not belong to it. Making one must succeed; what it does fails.
    async fn stranger(&self, stranger: Stranger) -> Result<Member, Unable>;

    /// Does this to what carries the frames from and to the node `of`, or to the server for a backend that has one.
    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        let _ = of;
        Err(Unable::because(format!(
            "the harness cannot {disruption:?}"
        )))
    }

    /// How many connections the node's transport has open now.
    async fn connections(&self, of: usize) -> Result<usize, Unable> {
        let _ = of;
        Err(Unable::because("the harness cannot count connections"))
    }

    /// Whether a frame published while the backend was down is delivered later, because the backend declares so.
    fn delivers_late(&self) -> bool {
        false
    }

    /// Texts that no `Debug`, error or log line may show.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}
