//! Which links may leave the host without being verified: those that somebody calls insecure.

#[cfg(any(feature = "postgres", feature = "mysql"))]
use invalidation_core::{Error, backend::Protection};

use super::table::Table;

/// The setting that allows it.
const KEY: &str = "insecure_tls";

/// A URL whose link is verified, or the mode by which it is not.
pub(super) type Guarded = (String, Option<&'static str>);

/// The driver's words.
#[cfg(any(feature = "postgres", feature = "mysql"))]
struct Words {
    /// The option of the URL.
    option: &'static str,
    /// The option as it must be.
    verified: &'static str,
    /// What else it may be.
    weaker: &'static str,
    /// The option that names a certificate authority.
    authority: &'static str,
}

/// The PostgreSQL URL that stands in `at`, so that its link is verified, unless `table` says that it need not be.
#[cfg(feature = "postgres")]
pub(super) fn guard_postgres(url: &str, at: &Table<'_>, table: &Table<'_>) -> Option<Guarded> {
    use invalidation_transport_pg::protection;

    let words = Words {
        option: "sslmode",
        verified: protection::VERIFIED,
        weaker: "verify-ca, require, prefer or disable",
        authority: "sslrootcert",
    };
    guard(url, protection::of(url), &words, at, table)
}

/// The MySQL URL that stands in `at`, so that its link is verified, unless `table` says that it need not be.
#[cfg(feature = "mysql")]
pub(super) fn guard_mysql(url: &str, at: &Table<'_>, table: &Table<'_>) -> Option<Guarded> {
    use invalidation_log_mysql::protection;

    let words = Words {
        option: "ssl-mode",
        verified: protection::VERIFIED,
        weaker: "VERIFY_CA, REQUIRED, PREFERRED or DISABLED",
        authority: "ssl-ca",
    };
    guard(url, protection::of(url), &words, at, table)
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn guard(
    url: &str,
    protection: Result<Protection, Error>,
    words: &Words,
    at: &Table<'_>,
    table: &Table<'_>,
) -> Option<Guarded> {
    let protection = match protection {
        Ok(protection) => protection,
        Err(error) => {
            at.refuse("url", error.message);
            return None;
        }
    };
    let insecure = table.flag(KEY).unwrap_or(false);
    let Words {
        option,
        verified,
        weaker,
        authority,
    } = words;
    let refuse = |why: &str| {
        table.refuse(KEY, why);
        None
    };
    match (protection, insecure) {
        (Protection::Local, _) => Some((url.to_owned(), None)),
        (Protection::Verified, false) => Some((url.to_owned(), None)),
        (Protection::Unsaid, false) => Some((with_option(url, verified), None)),
        (Protection::Weak(mode), true) => Some((url.to_owned(), Some(mode))),
        (Protection::Weak(mode), false) => {
            let path = table.path_of(KEY).join(".");
            at.refuse(
                "url",
                format!(
                    "with {option}={mode} nobody checks that the server is the one that is meant, and it is on another \
                     host: use {verified}, which is the default ({authority} names the file of a certificate \
                     authority of your own), or write `{path} = true`"
                ),
            );
            None
        }
        (Protection::Unsaid, true) => refuse(&format!(
            "is true, and the url does not say how insecure: add {option}={weaker} to it, or take this out"
        )),
        (Protection::Verified, true) => {
            refuse("is true, and the connection is verified: take it out")
        }
        _ => refuse("the protection of the connection is unknown"),
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn with_option(url: &str, option: &str) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{option}{fragment}")
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "postgres"))]
pub(super) fn guard_postgres(url: &str, _: &Table<'_>, table: &Table<'_>) -> Option<Guarded> {
    table.flag(KEY);
    Some((url.to_owned(), None))
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "mysql"))]
pub(super) fn guard_mysql(url: &str, _: &Table<'_>, table: &Table<'_>) -> Option<Guarded> {
    table.flag(KEY);
    Some((url.to_owned(), None))
}
