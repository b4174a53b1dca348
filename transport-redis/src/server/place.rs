//! Where the servers are, as a URL says it.

use std::{fmt, net::IpAddr};

use percent_encoding::percent_decode_str;

/// How a URL is written; the parts are never quoted in an error.
pub(super) const HOW: &str = "write redis://USER:PASSWORD@HOST:PORT/DB, redis-sentinel://HOST:PORT,HOST:PORT/SERVICE \
                              or redis-cluster://HOST:PORT,HOST:PORT, with rediss for TLS, and special characters of \
                              the user and the password percent-encoded";

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// A host's name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(super) fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback())
    }

    fn parse(text: &str, default: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                host.parse::<IpAddr>().ok()?;
                match after {
                    "" => (host, None),
                    _ => (host, Some(after.strip_prefix(':')?)),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => default,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
        let is_host = !host.is_empty() && host.chars().all(is_plain);
        is_host.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How the servers are arranged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// One server.
    Alone(Address),
    /// A primary that these Sentinels know under this name.
    Sentinel {
        sentinels: Vec<Address>,
        service: String,
    },
    /// A cluster, of which these are some nodes.
    Cluster(Vec<Address>),
}

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) arrangement: Arrangement,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

impl Place {
    /// `None` for what is no such URL.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (family, tls) = match scheme {
            "redis" | "valkey" => ("", false),
            "rediss" | "valkeys" => ("", true),
            "redis-sentinel" | "valkey-sentinel" => ("sentinel", false),
            "rediss-sentinel" | "valkeys-sentinel" => ("sentinel", true),
            "redis-cluster" | "valkey-cluster" => ("cluster", false),
            "rediss-cluster" | "valkeys-cluster" => ("cluster", true),
            _ => return None,
        };
        if rest.contains(['?', '#']) {
            return None;
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = match credentials.map(|both| both.split_once(':')) {
            None => (None, None),
            Some(None) => (decoded(credentials.unwrap_or_default())?, None),
            Some(Some((user, password))) => (decoded(user)?, decoded(password)?),
        };
        let default = if family == "sentinel" {
            SENTINEL_PORT
        } else {
            PORT
        };
        let hosts = hosts.split(',').map(|host| Address::parse(host, default));
        let mut hosts: Vec<Address> = hosts.collect::<Option<_>>()?;
        let (arrangement, database) = match family {
            "sentinel" => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                let service = decoded(service)??;
                let sentinels = hosts;
                (Arrangement::Sentinel { sentinels, service }, database)
            }
            "cluster" if path.is_empty() => (Arrangement::Cluster(hosts), ""),
            "" if hosts.len() == 1 => (Arrangement::Alone(hosts.pop()?), path),
            _ => return None,
        };
        let database = match database {
            "" => 0,
            number => number.parse().ok().filter(|number| *number >= 0)?,
        };
        Some(Self {
            arrangement,
            tls,
            user,
            password,
            database,
        })
    }
}

/// A part, percent-decoded: `Some(None)` for an empty one, `None` for one that is no text.
#[expect(
    clippy::option_option,
    reason = "absent and unreadable are told apart only here"
)]
fn decoded(part: &str) -> Option<Option<String>> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    Some((!text.is_empty()).then(|| text.into_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    /// Each form says where, by whom, and whether by TLS.
    #[test]
    fn each_form_is_understood() {
        let place = Place::parse("redis://app:p%40ss%3a@db:7000/3").unwrap();
        assert_eq!(place.arrangement, Arrangement::Alone(address("db", 7_000)));
        assert_eq!(place.user.as_deref(), Some("app"));
        assert_eq!(place.password.as_deref(), Some("p@ss:"));
        assert_eq!((place.tls, place.database), (false, 3));

        let place = Place::parse("rediss://:secret@[::1]").unwrap();
        assert_eq!(place.arrangement, Arrangement::Alone(address("::1", PORT)));
        assert_eq!((place.user, place.tls), (None, true));
        assert_eq!(place.password.as_deref(), Some("secret"));

        let place = Place::parse("redis-sentinel://a,b:1/main/2").unwrap();
        let sentinels = vec![address("a", SENTINEL_PORT), address("b", 1)];
        let service = "main".to_owned();
        let expected = Arrangement::Sentinel { sentinels, service };
        assert_eq!((place.arrangement, place.database), (expected, 2));

        let place = Place::parse("rediss-cluster://a:1,[::1]:2/").unwrap();
        let nodes = vec![address("a", 1), address("::1", 2)];
        assert_eq!(place.arrangement, Arrangement::Cluster(nodes));
        assert!(place.tls);
    }

    /// What cannot be meant is refused, and not guessed.
    #[test]
    fn nonsense_is_refused() {
        for nonsense in [
            "",
            "db:6379",
            "http://db",
            "redis://",
            "redis://a,b",
            "redis://db:0",
            "redis://db:65536",
            "redis://db:1:2",
            "redis://d b",
            "redis://db/x",
            "redis://db/-1",
            "redis://db/1/2",
            "redis://db?protocol=resp3",
            "redis://[db]",
            "redis://[::1",
            "redis://%ff@db",
            "redis-sentinel://a,b",
            "redis-sentinel://a//0",
            "redis-cluster://a,b/1",
            "redis-cluster://a,,b",
        ] {
            assert!(Place::parse(nonsense).is_none(), "{nonsense}");
        }
    }
}
