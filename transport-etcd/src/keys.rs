//! Where a cluster's keys are.

use std::fmt::{self, Write as _};

use invalidation_core::ClusterName;

/// What the keys of a cluster begin with: `/cache-invalidation/CLUSTER/`. No cluster's is the beginning of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// That of a cluster. What could not stand between two slashes is percent-encoded.
    pub(crate) fn of(cluster: &ClusterName) -> Self {
        let mut prefix = "/cache-invalidation/".to_owned();
        for byte in cluster.as_str().bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                prefix.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(prefix, "%{byte:02X}");
            }
        }
        prefix.push('/');
        Self(prefix)
    }

    /// A key, or the beginning of some.
    pub(crate) fn join(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cluster: &str) -> Prefix {
        Prefix::of(&ClusterName::new(cluster).expect("a name"))
    }

    /// A plain name can be read, and any other still gives keys of its own.
    #[test]
    fn each_cluster_has_keys_of_its_own() {
        assert_eq!(
            of("billing").join("frames"),
            "/cache-invalidation/billing/frames"
        );
        let prefixes = ["billing", "billing/x", "billing%2Fx", "ä", "b"].map(of);
        for (at, one) in prefixes.iter().enumerate() {
            for (before, other) in prefixes.iter().enumerate() {
                assert!(
                    at == before || !one.0.starts_with(&other.0),
                    "{one} {other}"
                );
            }
        }
    }
}
