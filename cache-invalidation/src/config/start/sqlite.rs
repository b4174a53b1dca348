//! The log in SQLite.

use std::time::Duration;

use invalidation_core::{Error, NodeBuilder};
use invalidation_log_sqlite::{Access, Durability, SqliteLog};

use crate::config::{Config, Peer, SqliteConfig};

/// What the log takes at most.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Config {
    pub(super) async fn with_sqlite(
        &self,
        builder: NodeBuilder,
        sqlite: &SqliteConfig,
    ) -> Result<NodeBuilder, Error> {
        self.warn_of_other_hosts();
        let mut log = SqliteLog::builder(&sqlite.path)
            .create_if_missing(sqlite.create_if_missing)
            .access(if sqlite.read_only {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            })
            .durability(if sqlite.survives_power_loss {
                Durability::PowerLoss
            } else {
                Durability::ProcessCrash
            })
            // Less than the node waits, so that a lock is told as such, and not as silence.
            .read_timeout((self.settings.read_timeout / 2).min(LONGEST))
            .append_timeout((self.settings.append_timeout / 5 * 4).min(LONGEST));
        if let Some(pages) = sqlite.max_pages {
            log = log.max_pages(pages);
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.open_later()?
        } else {
            log.open().await?
        }))
    }

    /// One host shares an SQLite file. A peer on another host would have a log of its own, and miss what
    /// is written here without a word.
    fn warn_of_other_hosts(&self) {
        let peers = self.http.iter().flat_map(|http| &http.peers);
        if let Some(peer) = peers.into_iter().find(|peer| !is_here(peer)) {
            tracing::warn!(
                %peer,
                "the log is an SQLite file, which only the processes of one host can share: if this peer is on \
                 another host, its caches and these miss each other's invalidations"
            );
        }
    }
}

fn is_here(peer: &Peer) -> bool {
    match peer {
        Peer::Node { host, .. } | Peer::Under { host, .. } => {
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        // They announce themselves in the file.
        Peer::Log => true,
        Peer::Dns { .. } => false,
    }
}
