//! How well the link to a server is protected, by the URL's `ssl-mode`.
//!
//! TLS is that of rustls, with the system's certificate authorities, or those of `ssl-ca`.

pub use invalidation_core::backend::Protection;
use invalidation_core::{
    Error, ErrorKind,
    backend::{says_option, stays_on_host},
};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::error::error;

/// What makes a URL's link verified.
pub const VERIFIED: &str = "ssl-mode=VERIFY_IDENTITY";

/// How well the link of a URL is protected, `mysql://USER:PASSWORD@HOST:PORT/DATABASE?ssl-mode=…`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a URL that the driver does not understand; it is not quoted.
pub fn of(url: &str) -> Result<Protection, Error> {
    let options: MySqlConnectOptions = url.parse().map_err(|_| {
        error(
            ErrorKind::Invalid,
            "connect",
            "the URL cannot be used: write mysql://USER@HOST:PORT/DATABASE, with special characters of the parts \
             percent-encoded, and ssl-mode=VERIFY_IDENTITY, VERIFY_CA, REQUIRED, PREFERRED or DISABLED behind a ?",
        )
    })?;
    if is_local(&options) {
        return Ok(Protection::Local);
    }
    Ok(match options.get_ssl_mode() {
        MySqlSslMode::VerifyIdentity => Protection::Verified,
        _ if !says_option(url, &["sslmode", "ssl-mode"]) => Protection::Unsaid,
        MySqlSslMode::VerifyCa => Protection::Weak("VERIFY_CA"),
        MySqlSslMode::Required => Protection::Weak("REQUIRED"),
        MySqlSslMode::Preferred => Protection::Weak("PREFERRED"),
        MySqlSslMode::Disabled => Protection::Weak("DISABLED"),
    })
}

fn is_local(options: &MySqlConnectOptions) -> bool {
    options.get_socket().is_some() || stays_on_host(options.get_host())
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
            assert_eq!(of(url).unwrap(), expected, "{url}");
        }
        let refused = of("mysql://u:hunter2@db/b?ssl-mode=none").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
