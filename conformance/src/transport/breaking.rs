//! Mending what a case broke.

use super::TransportCluster;
use crate::{Disruption, disruption::mended};

/// Ends what another disruption began.
pub(super) async fn mend(cluster: &dyn TransportCluster, of: usize, mends: Disruption) {
    mended(mends, cluster.disrupt(of, mends).await);
}
