//! What a server must be set to, looked at when the log is installed.

use invalidation_core::{Error, ErrorKind};

use super::{builder::Eviction, reply::bytes, scripts::from_script};
use crate::{error::error, server::Link};

/// Refuses a server that may evict the log, unless that is allowed; warns of what could become wrong.
pub(crate) async fn check(
    operation: &'static str,
    link: &Link,
    eviction: Eviction,
) -> Result<(), Error> {
    let mut ask = redis::cmd("INFO");
    ask.arg("memory");
    let answer = link.ask(&ask).await;
    let answer = answer.map_err(|source| from_script(operation, source))?;
    let info = bytes(&answer).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match judge(info.unwrap_or_default()) {
        Evicts::Never => Ok(()),
        // All of its memory is the server's own limit then, which may be set at any time.
        Evicts::OnceLimited(policy) => {
            tracing::warn!(
                policy,
                "maxmemory is not set; once it is, the server may evict the invalidation log: set maxmemory-policy to \
                 noeviction or volatile-…"
            );
            Ok(())
        }
        Evicts::Now(policy) if eviction == Eviction::Allowed => {
            tracing::warn!(
                policy,
                "the server may evict the invalidation log, and every node then flushes: set maxmemory-policy to \
                 noeviction or volatile-…"
            );
            Ok(())
        }
        Evicts::Now(policy) => Err(error(
            ErrorKind::Invalid,
            operation,
            format!(
                "the server may evict the log when it is full, and every node then flushes (maxmemory-policy is {policy}): \
                 set it to noeviction or volatile-…, or accept that with allow_eviction"
            ),
        )),
    }
}

/// Whether the server evicts keys that do not expire, as the log's does not.
#[derive(Debug, PartialEq, Eq)]
enum Evicts<'a> {
    Never,
    OnceLimited(&'a str),
    Now(&'a str),
}

fn judge(info: &str) -> Evicts<'_> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    match field("maxmemory_policy") {
        Some(policy) if policy.starts_with("allkeys-") => match field("maxmemory") {
            Some("0") => Evicts::OnceLimited(policy),
            _ => Evicts::Now(policy),
        },
        _ => Evicts::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a policy that takes keys which never expire takes the log.
    #[test]
    fn policies_are_told_apart() {
        let info = |policy: &str, limit: &str| {
            format!(
                "# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_human:x\r\nmaxmemory_policy:{policy}\r\n"
            )
        };
        assert_eq!(judge(&info("noeviction", "9")), Evicts::Never);
        assert_eq!(judge(&info("volatile-lru", "9")), Evicts::Never);
        assert_eq!(
            judge(&info("allkeys-lru", "0")),
            Evicts::OnceLimited("allkeys-lru")
        );
        assert_eq!(
            judge(&info("allkeys-random", "9")),
            Evicts::Now("allkeys-random")
        );
        assert_eq!(judge(""), Evicts::Never);
    }
}
