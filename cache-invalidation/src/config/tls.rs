//! Which links may leave the host without being verified: those that somebody calls insecure.

use super::table::Table;

/// The setting that allows it.
const KEY: &str = "insecure_tls";

/// The URL that stands in `at`, so that its link is verified, unless `table` says that it need not be; then the mode by
/// which it is not.
#[cfg(feature = "postgres")]
pub(super) fn guard(
    url: &str,
    at: &Table<'_>,
    table: &Table<'_>,
) -> Option<(String, Option<&'static str>)> {
    use invalidation_transport_pg::Protection;

    let insecure = table.flag(KEY).unwrap_or(false);
    let protection = match Protection::of(url) {
        Ok(protection) => protection,
        Err(error) => {
            at.refuse("url", error.message);
            return None;
        }
    };
    let refuse = |why: &str| {
        table.refuse(KEY, why);
        None
    };
    match (protection, insecure) {
        (Protection::Local, _) => Some((url.to_owned(), None)),
        (Protection::Verified, false) => Some((url.to_owned(), None)),
        (Protection::Unsaid, false) => Some((verified(url), None)),
        (Protection::Weak(mode), true) => Some((url.to_owned(), Some(mode))),
        (Protection::Weak(mode), false) => {
            let path = table.path_of(KEY).join(".");
            at.refuse(
                "url",
                format!(
                    "with sslmode={mode} nobody checks that the server is the one that is meant, and it is on another \
                     host: use sslmode=verify-full, which is the default (sslrootcert names the file of a certificate \
                     authority of your own), or write `{path} = true`"
                ),
            );
            None
        }
        (Protection::Unsaid, true) => refuse(
            "is true, and the url does not say how insecure: add sslmode=verify-ca, require, prefer or disable to it, \
             or take this out",
        ),
        (_, true) => refuse("is true, and the connection is verified: take it out"),
        (_, false) => refuse("the protection of the connection is unknown"),
    }
}

#[cfg(feature = "postgres")]
fn verified(url: &str) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let joint = if url.contains('?') { '&' } else { '?' };
    let verified = invalidation_transport_pg::Protection::VERIFIED;
    format!("{url}{joint}{verified}{fragment}")
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "postgres"))]
pub(super) fn guard(
    url: &str,
    _: &Table<'_>,
    table: &Table<'_>,
) -> Option<(String, Option<&'static str>)> {
    table.flag(KEY);
    Some((url.to_owned(), None))
}
