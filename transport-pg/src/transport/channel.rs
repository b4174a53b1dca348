//! The names under which the server keeps listeners apart.

use std::fmt::{self, Write as _};

use invalidation_core::ClusterName;
use sha2::{Digest as _, Sha256};

/// The longest name that a listener and a notifier take alike, in bytes: `LISTEN` cuts a longer one off, and
/// `pg_notify` refuses it.
const MAX_NAME: usize = 63;
const BASE: &str = "cache_invalidation";

/// The name of a channel. Safe between either kind of quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel(String);

impl Channel {
    /// That of a cluster: its own name where that can stand in one, and else a hash of it.
    pub(super) fn of(cluster: &ClusterName) -> Self {
        let cluster = cluster.as_str();
        let name = format!("{BASE}:{cluster}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.len() <= MAX_NAME && cluster.chars().all(is_plain) {
            return Self(name);
        }
        let mut name = format!("{BASE}#");
        for byte in &Sha256::digest(cluster)[..20] {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        Self(name)
    }

    /// One that nobody else listens to.
    pub(super) fn random() -> Self {
        Self(format!("{BASE}?{:032x}", rand::random::<u128>()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cluster: &str) -> Channel {
        Channel::of(&ClusterName::new(cluster).expect("a name"))
    }

    /// A plain name can be read in `pg_listening_channels()`, and any other still gives a name of its own.
    #[test]
    fn each_cluster_has_a_channel_of_its_own() {
        assert_eq!(of("billing").as_str(), "cache_invalidation:billing");
        let names = [
            "billing",
            "Billing",
            "it's \"quoted\"\\",
            "ä",
            "x".repeat(44).as_str(),
            "x".repeat(45).as_str(),
            "x".repeat(128).as_str(),
        ]
        .map(of);
        for (at, name) in names.iter().enumerate() {
            assert!(name.as_str().len() <= MAX_NAME, "{name}");
            assert!(!name.as_str().contains(['"', '\'', '\\']), "{name}");
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
