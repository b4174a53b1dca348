//! Where the servers are: the URL.

use invalidation_core::Error;
use percent_encoding::percent_decode_str;

use super::credentials::Credentials;
use crate::error::invalid;

const DEFAULT_PORT: u16 = 4222;

/// What a URL says. One of several servers is as good as any other.
#[derive(Clone)]
pub(crate) struct Url {
    pub(super) servers: Vec<Address>,
    /// Whether it asks for TLS: `tls://`.
    pub(super) tls: bool,
    pub(super) credentials: Option<Credentials>,
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// An IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Url {
    /// Parses `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]]…`, or the same with `tls://`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        Self::parts(url).ok_or_else(|| {
            invalid(
                "the URL cannot be used: write nats://HOST:PORT,HOST:PORT or tls://…, before the first host \
                 USER:PASSWORD@ or TOKEN@ with special characters percent-encoded, and nothing behind the last port",
            )
        })
    }

    fn parts(url: &str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://")? {
            ("nats", rest) => (false, rest),
            ("tls", rest) => (true, rest),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, rest),
        };
        let servers = hosts.split(',').map(Address::parse);
        let credentials = match user {
            None => None,
            Some(user) => Some(match user.split_once(':') {
                Some((user, password)) => Credentials::User {
                    user: decoded(user)?,
                    password: decoded(password)?,
                },
                None => Credentials::Token(decoded(user)?),
            }),
        };
        Some(Self {
            servers: servers.collect::<Option<_>>()?,
            tls,
            credentials,
        })
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':')?)),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let is_named = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || !host.chars().all(is_named) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => DEFAULT_PORT,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether it stays on this host.
    pub(super) fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

fn decoded(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn hosts(url: &str) -> Vec<String> {
        let servers = Url::parse(url).unwrap().servers;
        servers.iter().map(ToString::to_string).collect()
    }

    /// Each part of a URL is found, with the port that NATS has by default.
    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(hosts("nats://db"), ["db:4222"]);
        assert_eq!(hosts("tls://a:1,b,[::1]:3/"), ["a:1", "b:4222", "[::1]:3"]);
        assert!(Url::parse("tls://a").unwrap().tls);
        assert!(!Url::parse("nats://a").unwrap().tls);
        let url = Url::parse("nats://app:p%40s%3As@a,b:2").unwrap();
        assert!(
            matches!(url.credentials, Some(Credentials::User { user, password })
            if user == "app" && password == "p@s:s")
        );
        assert_eq!(url.servers.len(), 2);
        let url = Url::parse("nats://s3cr3t@a").unwrap();
        assert!(matches!(url.credentials, Some(Credentials::Token(token)) if token == "s3cr3t"));
    }

    /// What is no such URL is refused, and not repeated.
    #[test]
    fn nonsense_is_refused_without_its_secrets() {
        for url in [
            "",
            "nats://",
            "nats://:4222",
            "redis://hunter2@a",
            "hunter2@a:1",
            "nats://hunter2@a:0",
            "nats://hunter2@a:x",
            "nats://u:hunter2@a,",
            "nats://u:hunter2@a/path",
            "nats://u:hunter2@a?x=y",
            "nats://u:hunter2@[::1",
            "nats://u:hunter2@[x]:1",
            "nats://u:hunter2%ff@a",
            "nats://:hunter2@a",
        ] {
            let error = Url::parse(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
