//! The URL that says where a cluster is.

use std::fmt;

/// The parts of `etcd://USER:PASSWORD@HOST:PORT,HOST:PORT`, `etcds://` for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_encrypted: bool,
    /// `HOST:PORT`, at least one.
    pub(crate) hosts: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
}

/// What is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

const PORT: u16 = 2379;

impl Address {
    /// `None` for what is no such URL. It is not quoted: it may hold a password.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_encrypted = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, hosts) = match rest.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, rest),
        };
        let (user, password) = match credentials {
            None => (None, None),
            Some(credentials) => match credentials.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(credentials), None),
            },
        };
        let user = decoded(user)?;
        if user.as_ref().is_some_and(String::is_empty) {
            return None;
        }
        Some(Self {
            is_encrypted,
            hosts: hosts.split(',').map(host).collect::<Option<_>>()?,
            user,
            password: decoded(password)?.map(Secret),
        })
    }

    /// Whether every host is this one.
    pub(crate) fn is_local(&self) -> bool {
        self.hosts.iter().all(|host| {
            let name = host
                .rsplit_once(':')
                .map_or(host.as_str(), |(name, _)| name);
            let name = name.trim_matches(['[', ']']);
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.to_canonical().is_loopback())
        })
    }
}

/// `HOST:PORT`, with the port that etcd has by default.
fn host(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            (
                format!("[{inner}]"),
                after
                    .strip_prefix(':')
                    .or_else(|| after.is_empty().then_some("")),
            )
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            if name.is_empty() || !name.chars().all(is_plain) {
                return None;
            }
            (name.to_owned(), Some(port))
        }
    };
    let port = match port? {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    Some(format!("{name}:{port}"))
}

/// A part without its percent-encoding; `None` when that is broken.
#[allow(
    clippy::option_option,
    reason = "a part that is absent is none that is broken"
)]
fn decoded(part: Option<&str>) -> Option<Option<String>> {
    let Some(part) = part else {
        return Some(None);
    };
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(Some(String::from_utf8(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Several hosts, both kinds of names, and credentials with any character.
    #[test]
    fn urls_are_understood() {
        let address = Address::parse("etcds://app:p%40ss%3a%2f@db-1:1234,[::1],10.0.0.1/").unwrap();
        assert!(address.is_encrypted);
        assert_eq!(address.hosts, ["db-1:1234", "[::1]:2379", "10.0.0.1:2379"]);
        assert_eq!(address.user.as_deref(), Some("app"));
        assert_eq!(address.password, Some(Secret("p@ss:/".to_owned())));
        assert!(!format!("{address:?}").contains("p@ss"));
        let address = Address::parse("etcd://localhost").unwrap();
        assert_eq!(address.hosts, ["localhost:2379"]);
        assert_eq!((address.user, address.password), (None, None));
    }

    /// Nothing is guessed.
    #[test]
    fn nonsense_is_no_url() {
        for url in [
            "",
            "http://a:1",
            "etcd:a",
            "etcd://",
            "etcd://a,,b",
            "etcd://a:0",
            "etcd://a:99999",
            "etcd://a:x",
            "etcd://a/path",
            "etcd://a?x=y",
            "etcd://[::1",
            "etcd://[::1]x",
            "etcd://[a]:1",
            "etcd://@a",
            "etcd://:p@a",
            "etcd://u:%@a",
            "etcd://u:%zz@a",
            "etcd://u:%ff@a",
        ] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }

    /// Only if every host is this one.
    #[test]
    fn this_host_is_known() {
        for (url, expected) in [
            ("etcd://localhost", true),
            ("etcd://127.0.0.1:1,[::1]:2", true),
            ("etcd://127.0.0.1,db", false),
            ("etcd://localhost.evil", false),
        ] {
            assert_eq!(Address::parse(url).unwrap().is_local(), expected, "{url}");
        }
    }
}
