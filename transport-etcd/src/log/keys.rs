//! The keys that the log keeps.

use std::sync::Arc;

use invalidation_core::ClusterName;

use crate::keys::Prefix;

/// Where the log stands among the keys of the server: all of it below the cluster's prefix, so that one permission is
/// enough.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    root: Arc<str>,
}

impl Keys {
    pub(crate) fn of(cluster: &ClusterName) -> Self {
        Self {
            root: Prefix::of(cluster).join("log/").into(),
        }
    }

    /// What changes only when the log does: version, epoch, number of rings.
    pub(crate) fn meta(&self) -> String {
        format!("{}meta", self.root)
    }

    /// Written by every append: who was the newest, and how many there were.
    pub(crate) fn newest(&self) -> String {
        format!("{}newest", self.root)
    }

    /// With which the keys of all rings begin.
    pub(crate) fn rings(&self) -> String {
        format!("{}ring/", self.root)
    }

    pub(crate) fn ring(&self, number: u32) -> String {
        format!("{}ring/{number:04x}", self.root)
    }

    /// Which ring this key is, if it is one.
    pub(crate) fn number(&self, key: &[u8]) -> Option<u32> {
        let rest = key.strip_prefix(self.rings().as_bytes())?;
        let text = std::str::from_utf8(rest).ok()?;
        (text.len() == 4)
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// A ring's key leads back to its number, and no other key does.
    #[test]
    fn numbers_come_back() {
        let keys = Keys::of(&ClusterName::new("billing").unwrap());
        assert_eq!(keys.ring(10), "/cache-invalidation/billing/log/ring/000a");
        assert_eq!(keys.number(keys.ring(10).as_bytes()), Some(10));
        for other in [
            keys.meta(),
            keys.newest(),
            keys.rings() + "zz",
            keys.ring(1) + "0",
        ] {
            assert_eq!(keys.number(other.as_bytes()), None, "{other}");
        }
    }
}
