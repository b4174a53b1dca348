//! Which stream holds the log, and which subject it takes.

use std::fmt::Write as _;

use invalidation_core::Error;

use crate::error::invalid;

/// With what the default names begin. The transport's subjects begin otherwise, so that no stream takes frames.
const BASE: &str = "cache_invalidation_log";
/// What the server takes (`JSMaxNameLen`).
const LONGEST: usize = 255;

/// A stream and its subject, which both can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stream: String,
    pub(super) subject: String,
}

impl Place {
    /// The defaults for a cluster, where nothing else was said.
    pub(super) fn checked(
        cluster: &str,
        stream: Option<String>,
        subject: Option<String>,
    ) -> Result<Self, Error> {
        let token = token(cluster);
        let stream = stream.unwrap_or_else(|| format!("{BASE}-{token}"));
        let subject = subject.unwrap_or_else(|| format!("{BASE}.{token}"));
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        let can_be_stream = |c: char| is_plain(c) && !".*>/\\".contains(c);
        if stream.is_empty() || stream.len() > LONGEST || !stream.chars().all(can_be_stream) {
            return Err(invalid(format!(
                "{stream:?} cannot be the name of a stream: use 1 to {LONGEST} bytes without white space, '.', '*', '>', \
                 '/' and '\\'"
            )));
        }
        let can_be_token = |token: &str| {
            !token.is_empty() && token.chars().all(|c| is_plain(c) && !"*>".contains(c))
        };
        // `$JS`, `$SYS` and `$KV` belong to the server, `_INBOX` to clients.
        let is_taken = subject.starts_with('$') || subject.starts_with("_INBOX");
        if is_taken || subject.len() > LONGEST || !subject.split('.').all(can_be_token) {
            return Err(invalid(format!(
                "{subject:?} cannot be the log's subject: use up to {LONGEST} bytes, words parted by '.', without white \
                 space and wildcards, that begin neither with '$' nor with _INBOX"
            )));
        }
        Ok(Self { stream, subject })
    }
}

/// The name as one token of a subject: each byte that is not plain as `%XX`, so that no two names have the same.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "%{byte:02X}");
        }
    }
    token
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Two clusters never share a stream, whatever their names.
    #[test]
    fn clusters_have_streams_of_their_own() {
        let place = |cluster| Place::checked(cluster, None, None).unwrap();
        assert_eq!(place("billing").stream, "cache_invalidation_log-billing");
        assert_eq!(place("billing").subject, "cache_invalidation_log.billing");
        assert_ne!(place("a.b"), place("a_b"));
        assert_ne!(place("a b"), place("a%20b"));
        assert!(Place::checked(&"ü".repeat(64), None, None).is_err());
    }

    /// What the server would take for something else, or never answer to, is refused.
    #[test]
    fn names_that_cannot_be_are_refused() {
        for stream in ["", "a.b", "a b", "a*", ">", "a/b", "a\\b", "a\n"] {
            assert!(
                Place::checked("a", Some(stream.into()), None).is_err(),
                "{stream:?}"
            );
        }
        for subject in [
            "", "a..b", ".a", "a.", "a.*", "a.>", "a b", "$JS.x", "_INBOX.x",
        ] {
            assert!(
                Place::checked("a", None, Some(subject.into())).is_err(),
                "{subject:?}"
            );
        }
        assert!(Place::checked("a", Some("S".into()), Some("x.y".into())).is_ok());
    }
}
