//! How well the link to a server is protected, by the URL's `sslmode`, or else by the variable `PGSSLMODE`.
//!
//! TLS is that of rustls, with the system's certificate authorities, or those of `sslrootcert`.

pub use invalidation_core::backend::Protection;
use invalidation_core::{
    Error, ErrorKind,
    backend::{says_option, stays_on_host},
};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::error::error;

/// What makes a URL's link verified.
pub const VERIFIED: &str = "sslmode=verify-full";

/// How well the link of a URL is protected, `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a URL that the driver does not understand; it is not quoted.
pub fn of(url: &str) -> Result<Protection, Error> {
    let options: PgConnectOptions = url.parse().map_err(|_| {
        error(
            ErrorKind::Invalid,
            "connect",
            "the URL cannot be used: write postgres://USER@HOST:PORT/DATABASE, with special characters of the \
             parts percent-encoded, and sslmode=verify-full, verify-ca, require, prefer or disable behind a ?",
        )
    })?;
    if is_local(&options) {
        return Ok(Protection::Local);
    }
    Ok(match options.get_ssl_mode() {
        PgSslMode::VerifyFull => Protection::Verified,
        _ if !says_mode(url) => Protection::Unsaid,
        PgSslMode::VerifyCa => Protection::Weak("verify-ca"),
        PgSslMode::Require => Protection::Weak("require"),
        PgSslMode::Prefer => Protection::Weak("prefer"),
        PgSslMode::Allow => Protection::Weak("allow"),
        PgSslMode::Disable => Protection::Weak("disable"),
    })
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some() || host.starts_with('/') || stays_on_host(host)
}

fn says_mode(url: &str) -> bool {
    says_option(url, &["sslmode", "ssl-mode"]) || std::env::var_os("PGSSLMODE").is_some()
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
            assert_eq!(of(url).unwrap(), expected, "{url}");
        }
        let refused = of("postgres://u:hunter2@db/b?sslmode=none").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
