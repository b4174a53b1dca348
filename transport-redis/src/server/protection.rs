//! How well the link to a server is protected.

use invalidation_core::{Error, ErrorKind};

use super::place::{Arrangement, HOW, Place};
use crate::error::error;

/// How well the link that a URL leads to is protected, by its scheme.
///
/// TLS is that of rustls, with the system's certificate authorities, or those that the builder's `ca_file` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// It stays on this host: a loopback address, of one server. Sentinels and clusters lead on to others.
    Local,
    /// Encrypted, and the certificate is that of the host, unless the builder was told `insecure_tls`.
    Verified,
    /// Less, which this names: somebody in between can read along, or be the server.
    Weak(&'static str),
}

impl Protection {
    /// What makes a URL's link verified.
    pub const VERIFIED: &str = "rediss://";

    /// Of a URL, as the builders take it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no such URL; it is not quoted.
    pub fn of(url: &str) -> Result<Self, Error> {
        let place = Place::parse(url).ok_or_else(|| {
            error(
                ErrorKind::Invalid,
                "connect",
                format!("the URL cannot be used: {HOW}"),
            )
        })?;
        // Sentinels and clusters name further servers, on whatever host.
        let stays = matches!(&place.arrangement, Arrangement::Alone(address) if address.is_local());
        Ok(if stays {
            Self::Local
        } else if place.tls {
            Self::Verified
        } else {
            Self::Weak("plain text")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Only TLS protects a link that leaves the host.
    #[test]
    fn links_are_told_apart() {
        for (url, expected) in [
            ("redis://db", Protection::Weak("plain text")),
            ("redis://localhost.evil", Protection::Weak("plain text")),
            (
                "redis-sentinel://127.0.0.1,db/x",
                Protection::Weak("plain text"),
            ),
            ("rediss://db", Protection::Verified),
            ("rediss-cluster://db", Protection::Verified),
            ("redis://127.0.0.2/1", Protection::Local),
            (
                "redis-cluster://localhost,[::1]",
                Protection::Weak("plain text"),
            ),
            (
                "redis-sentinel://127.0.0.1/x",
                Protection::Weak("plain text"),
            ),
        ] {
            assert_eq!(Protection::of(url).unwrap(), expected, "{url}");
        }
        let refused = Protection::of("redis://u:secret@db/x").unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(!format!("{refused:?}").contains("secret"));
    }
}
