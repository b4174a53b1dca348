//! Mending what a case broke.

use super::TransportCluster;
use crate::Disruption;

/// Ends what another disruption began. A harness that could break it is to mend it: one that cannot fails the case,
/// which else would have proved nothing and be reported as ignored.
pub(super) async fn mend(cluster: &dyn TransportCluster, of: usize, mends: Disruption) {
    if let Err(unable) = cluster.disrupt(of, mends).await {
        panic!(
            "expected {mends:?} of the harness, since it broke what that mends, and it cannot: {unable}"
        );
    }
}
