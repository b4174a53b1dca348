//! What a transport's backend gives to be tried.

use std::time::Duration;

use async_trait::async_trait;
use invalidation_core::{NodeId, SharedTransport};

use crate::{Disruption, Unable};

/// Makes fresh clusters of one backend. What should work and does not is a panic; what the backend cannot do is
/// [`Unable`].
#[async_trait]
pub trait TransportHarness: Send + Sync + 'static {
    /// The backend's name, with which the names of its cases begin.
    fn name(&self) -> &'static str;

    /// A fresh cluster of so many nodes that have found each other and know of nobody else: what one publishes now,
    /// every other one that is subscribed receives, and no gap is left to be told of what they missed before. Nothing
    /// that it starts outlives it.
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

    /// Gives its last node away: it is no longer one of the members, and the case holds the only handle of its transport,
    /// so that dropping it is the end of that process. `None` when the harness cannot.
    fn give_away(&mut self) -> Option<Member> {
        None
    }

    /// A new process in place of the node that was [given away](Self::give_away): on the same address, with another id,
    /// not subscribed.
    async fn rejoin(&mut self) -> Result<Member, Unable> {
        Err(Unable::because("the harness cannot start a node again"))
    }

    /// Somebody who reaches for this cluster and does not belong to it, configured with this time-out of `publish` and
    /// `probe`, where there is one. Making one must succeed; what it does fails.
    ///
    /// The time-out is long where a refusal must come at once: who waits it out is told from who was refused.
    async fn stranger(
        &self,
        stranger: Stranger,
        publish_timeout: Duration,
    ) -> Result<Member, Unable> {
        let _ = publish_timeout;
        Err(Unable::because(format!(
            "the harness cannot make a stranger ({stranger:?})"
        )))
    }

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

    /// How long `publish` and `probe` take at most, as configured.
    fn publish_timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How long its client waits at most, as configured, before it tries again to reach its backend: what it kept while
    /// that was away would come within so long.
    fn longest_back_off(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How many small frames at most wait in the transport for a subscriber that does not read, before there is a gap.
    fn buffered(&self) -> usize {
        1_024
    }

    /// How many small frames at most wait for such a subscriber outside of the transport, when their `publish` has
    /// returned: in sockets, and in a queue of the backend's own. `None` when nobody can say: that no more than
    /// [`buffered`](Self::buffered) wait in the transport is then not tried.
    fn in_transit(&self) -> Option<usize> {
        None
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
