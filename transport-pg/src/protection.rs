//! How well the link to a server is protected.

use invalidation_core::{Error, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::error::error;

/// How well the link that a URL leads to is protected, by its `sslmode`, or else by the variable `PGSSLMODE`.
///
/// TLS is that of rustls, with the system's certificate authorities, or those of `sslrootcert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// It stays on this host: a socket, or a loopback address.
    Local,
    /// `verify-full`: encrypted, and the certificate is that of the host.
    Verified,
    /// Anything less, which this names: somebody in between can read along, or be the server.
    Weak(&'static str),
    /// Nothing is said, and the driver would take what the server offers, plain text as well: say
    /// [`VERIFIED`](Self::VERIFIED).
    Unsaid,
}

impl Protection {
    /// What makes a URL's link verified.
    pub const VERIFIED: &str = "sslmode=verify-full";

    /// Of a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a URL that the driver does not understand; it is not quoted.
    pub fn of(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(|_| {
            error(
                ErrorKind::Invalid,
                "connect",
                "the URL cannot be used: write postgres://USER@HOST:PORT/DATABASE, with special characters of the \
                 parts percent-encoded, and sslmode=verify-full, verify-ca, require, prefer or disable behind a ?",
            )
        })?;
        if is_local(&options) {
            return Ok(Self::Local);
        }
        Ok(match options.get_ssl_mode() {
            PgSslMode::VerifyFull => Self::Verified,
            _ if !says_mode(url) => Self::Unsaid,
            PgSslMode::VerifyCa => Self::Weak("verify-ca"),
            PgSslMode::Require => Self::Weak("require"),
            PgSslMode::Prefer => Self::Weak("prefer"),
            PgSslMode::Allow => Self::Weak("allow"),
            PgSslMode::Disable => Self::Weak("disable"),
        })
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn says_mode(url: &str) -> bool {
    let in_url = url.split_once('?').is_some_and(|(_, options)| {
        options
            .split(['&', '#'])
            .any(|option| option.starts_with("sslmode=") || option.starts_with("ssl-mode="))
    });
    in_url || std::env::var_os("PGSSLMODE").is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Only a checked name protects a link that leaves the host.
    #[test]
    fn links_are_told_apart() {
        for (url, expected) in [
            ("postgres://db/b", Protection::Unsaid),
            (
                "postgres://db/b?application_name=sslmode",
                Protection::Unsaid,
            ),
            ("postgres://db/b?sslmode=verify-full", Protection::Verified),
            ("postgres://db/b?ssl-mode=VERIFY-FULL", Protection::Verified),
            (
                "postgres://db/b?sslmode=verify-ca",
                Protection::Weak("verify-ca"),
            ),
            (
                "postgres://db/b?x=y&sslmode=require",
                Protection::Weak("require"),
            ),
            ("postgres://db/b?sslmode=prefer", Protection::Weak("prefer")),
            ("postgres://db/b?sslmode=allow", Protection::Weak("allow")),
            (
                "postgres://10.0.0.1/b?sslmode=disable",
                Protection::Weak("disable"),
            ),
            (
                "postgres://localhost.evil/b?sslmode=disable",
                Protection::Weak("disable"),
            ),
            (
                "postgres://localhost/b?host=10.0.0.1&sslmode=disable",
                Protection::Weak("disable"),
            ),
            ("postgres://localhost/b?sslmode=disable", Protection::Local),
            ("postgres://127.0.0.2/b", Protection::Local),
            ("postgres://[::1]/b", Protection::Local),
            ("postgres://%2Fvar%2Frun%2Fpostgresql/b", Protection::Local),
            ("postgres:///b?host=/var/run/postgresql", Protection::Local),
        ] {
            assert_eq!(Protection::of(url).unwrap(), expected, "{url}");
        }
        let refused = Protection::of("postgres://u:hunter2@db/b?sslmode=none").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
