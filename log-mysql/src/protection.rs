//! How well the link to a server is protected.

use invalidation_core::{Error, ErrorKind};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::error::error;

/// How well the link that a URL leads to is protected, by its `ssl-mode`.
///
/// TLS is that of rustls, with the system's certificate authorities, or those of `ssl-ca`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// It stays on this host: a socket, or a loopback address.
    Local,
    /// `VERIFY_IDENTITY`: encrypted, and the certificate is that of the host.
    Verified,
    /// Anything less, which this names: somebody in between can read along, or be the server.
    Weak(&'static str),
    /// Nothing is said, and the driver would take what the server offers, plain text as well: say
    /// [`VERIFIED`](Self::VERIFIED).
    Unsaid,
}

impl Protection {
    /// What makes a URL's link verified.
    pub const VERIFIED: &str = "ssl-mode=VERIFY_IDENTITY";

    /// Of a URL, `mysql://USER:PASSWORD@HOST:PORT/DATABASE?ssl-mode=…`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a URL that the driver does not understand; it is not quoted.
    pub fn of(url: &str) -> Result<Self, Error> {
        let options: MySqlConnectOptions = url.parse().map_err(|_| {
            error(
                ErrorKind::Invalid,
                "connect",
                "the URL cannot be used: write mysql://USER@HOST:PORT/DATABASE, with special characters of the parts \
                 percent-encoded, and ssl-mode=VERIFY_IDENTITY, VERIFY_CA, REQUIRED, PREFERRED or DISABLED behind a ?",
            )
        })?;
        if is_local(&options) {
            return Ok(Self::Local);
        }
        Ok(match options.get_ssl_mode() {
            MySqlSslMode::VerifyIdentity => Self::Verified,
            _ if !says_mode(url) => Self::Unsaid,
            MySqlSslMode::VerifyCa => Self::Weak("VERIFY_CA"),
            MySqlSslMode::Required => Self::Weak("REQUIRED"),
            MySqlSslMode::Preferred => Self::Weak("PREFERRED"),
            MySqlSslMode::Disabled => Self::Weak("DISABLED"),
        })
    }
}

fn is_local(options: &MySqlConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn says_mode(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, options)| {
        options
            .split(['&', '#'])
            .any(|option| option.starts_with("sslmode=") || option.starts_with("ssl-mode="))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Only a checked name protects a link that leaves the host.
    #[test]
    fn links_are_told_apart() {
        for (url, expected) in [
            ("mysql://db/b", Protection::Unsaid),
            ("mysql://db/b?charset=utf8mb4", Protection::Unsaid),
            (
                "mysql://db/b?ssl-mode=VERIFY_IDENTITY",
                Protection::Verified,
            ),
            (
                "mysql://db/b?ssl-mode=verify_identity",
                Protection::Verified,
            ),
            (
                "mysql://db/b?ssl-mode=VERIFY_CA",
                Protection::Weak("VERIFY_CA"),
            ),
            (
                "mysql://db/b?charset=utf8mb4&ssl-mode=REQUIRED",
                Protection::Weak("REQUIRED"),
            ),
            (
                "mysql://10.0.0.1/b?ssl-mode=PREFERRED",
                Protection::Weak("PREFERRED"),
            ),
            (
                "mysql://localhost.evil/b?ssl-mode=DISABLED",
                Protection::Weak("DISABLED"),
            ),
            ("mysql://localhost/b?ssl-mode=DISABLED", Protection::Local),
            ("mysql://127.0.0.2/b", Protection::Local),
            ("mysql://[::1]/b", Protection::Local),
            ("mysql://db/b?socket=/run/mysqld.sock", Protection::Local),
        ] {
            assert_eq!(Protection::of(url).unwrap(), expected, "{url}");
        }
        let refused = Protection::of("mysql://u:hunter2@db/b?ssl-mode=none").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
