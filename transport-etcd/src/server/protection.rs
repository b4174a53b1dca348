//! How well the links to a cluster are protected.

use invalidation_core::{Error, ErrorKind};

use super::{WRONG_URL, address::Address};
use crate::error::error;

/// How well the links are protected that a URL leads to.
///
/// TLS is that of rustls, with the system's certificate authorities, or those of a file.
/// `insecure_tls` of the builders makes of [`Verified`](Self::Verified) what is encrypted alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// They stay on this host: loopback addresses.
    Local,
    /// `etcds://`: encrypted, and the certificate is that of the host.
    Verified,
    /// Plain text, which this names: somebody in between can read along, or be the server.
    Weak(&'static str),
}

impl Protection {
    /// What makes a URL's links verified.
    pub const VERIFIED: &str = "etcds://";

    /// Of a URL, `etcd://USER:PASSWORD@HOST:PORT,HOST:PORT`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no such URL; it is not quoted.
    pub fn of(url: &str) -> Result<Self, Error> {
        let address =
            Address::parse(url).ok_or_else(|| error(ErrorKind::Invalid, "connect", WRONG_URL))?;
        Ok(if address.is_encrypted {
            Self::Verified
        } else if address.is_local() {
            Self::Local
        } else {
            Self::Weak("etcd://")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Only a checked name protects a link that leaves the host.
    #[test]
    fn links_are_told_apart() {
        for (url, expected) in [
            ("etcds://db", Protection::Verified),
            ("etcds://localhost", Protection::Verified),
            ("etcd://localhost", Protection::Local),
            ("etcd://127.0.0.1:1,db", Protection::Weak("etcd://")),
        ] {
            assert_eq!(Protection::of(url).unwrap(), expected, "{url}");
        }
        let refused = Protection::of("etcd://u:hunter2@db?x").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
