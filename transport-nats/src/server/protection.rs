//! How well the link to a server is protected.

use invalidation_core::Error;

use super::address::{Address, Url};

/// How well the link that a URL leads to is protected, as long as `insecure_tls` is not set.
///
/// TLS is that of rustls, with the system's certificate authorities, or those of the CA file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// It stays on this host: each server has a loopback address.
    Local,
    /// `tls://`: encrypted, and the certificate is that of the host.
    Verified,
    /// `nats://`: plain text, unless the server insists on TLS. Somebody in between can read along, or be the server.
    Weak(&'static str),
}

impl Protection {
    /// With what a URL begins that makes its link verified.
    pub const VERIFIED: &str = "tls://";

    /// Of a URL, `nats://HOST:PORT,…` or `tls://HOST:PORT,…`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](invalidation_core::ErrorKind::Invalid) for anything else; it is not quoted.
    pub fn of(url: &str) -> Result<Self, Error> {
        let url = Url::parse(url)?;
        Ok(if url.servers.iter().all(Address::is_local) {
            Self::Local
        } else if url.tls {
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

    /// Only TLS protects a link that leaves the host, and one server abroad is enough for that.
    #[test]
    fn links_are_told_apart() {
        for (url, expected) in [
            ("nats://localhost", Protection::Local),
            ("nats://127.0.0.2:1,[::1]:2", Protection::Local),
            ("tls://127.0.0.1", Protection::Local),
            ("tls://a,b", Protection::Verified),
            ("nats://localhost.evil", Protection::Weak("plain text")),
            ("nats://127.0.0.1,10.0.0.1", Protection::Weak("plain text")),
        ] {
            assert_eq!(Protection::of(url).unwrap(), expected, "{url}");
        }
        let refused = Protection::of("nats://u:hunter2@a/x").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
