//! The name under which a cluster's frames go.

use std::fmt::Write as _;

use invalidation_core::ClusterName;

const BASE: &str = "cache_invalidation";

/// That of a cluster in a database: channels know nothing of databases. The cluster stands in a hash tag, so that keys
/// with the same one share its slot. What is neither a plain letter or digit nor one of `._-` is percent-encoded: such a name
/// is no pattern, and closes no tag.
pub(super) fn of(cluster: &ClusterName, database: i64) -> String {
    let mut name = String::from(BASE);
    if database != 0 {
        // Writing to a String cannot fail.
        let _ = write!(name, "/{database}");
    }
    name.push_str(":{");
    for byte in cluster.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name.push('}');
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(cluster: &str, database: i64) -> String {
        of(&ClusterName::new(cluster).expect("a name"), database)
    }

    /// A plain name can be read in `PUBSUB CHANNELS`, and any other still gives one of its own, without a pattern.
    #[test]
    fn each_cluster_has_a_channel_of_its_own() {
        assert_eq!(name("billing", 0), "cache_invalidation:{billing}");
        assert_eq!(name("billing", 3), "cache_invalidation/3:{billing}");
        assert_eq!(name("a}b*%", 0), "cache_invalidation:{a%7db%2a%25}");
        assert_eq!(name("ä", 0), "cache_invalidation:{%c3%a4}");
        assert_ne!(name("a}", 0), name("a%7d", 0));
    }
}
