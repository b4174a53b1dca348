//! How peers are written.

use std::{fmt, net::SocketAddr, str::FromStr};

use http::{HeaderValue, Uri, uri::Authority};
use invalidation_core::{Error, ErrorKind};

use crate::{
    connect::{Address, Endpoint},
    server::PATH,
};

/// One entry of the list of peers: `host:port`, `http://host:port/prefix`, `dns:name:port`, or `log`.
#[derive(Debug, Clone)]
pub(crate) enum PeerAddress {
    /// One peer.
    Fixed { name: String, endpoint: Endpoint },
    /// As many as the name has addresses; resolved again and again.
    Dns { name: String, port: u16 },
    /// All nodes that share this node's log.
    Log,
}

impl FromStr for PeerAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The text may hold a password, and is therefore never part of an error.
        let refuse = |what: &'static str| {
            Err(Error::new(
                ErrorKind::Invalid,
                "http",
                "build",
                format!(
                    "a peer {what}: write host:port, http://host:port/prefix, dns:name:port or log"
                ),
            ))
        };
        if text.contains('@') {
            return refuse("holds a user name or password, which is not used here");
        }
        if text == "log" {
            return Ok(Self::Log);
        }
        if let Some(rest) = text.strip_prefix("dns:") {
            return match rest
                .rsplit_once(':')
                .map(|(name, port)| (name, port.parse()))
            {
                Some((name, Ok(port))) if !name.is_empty() && port != 0 => Ok(Self::Dns {
                    name: name.to_owned(),
                    port,
                }),
                _ => refuse("has no name or no port after dns:"),
            };
        }
        if text.starts_with("https:") {
            return refuse(
                "has an https address, and this transport speaks plain HTTP (leave TLS to a mesh or \
                 sidecar, and give its plain address here)",
            );
        }
        let (authority, prefix) = match text.strip_prefix("http://") {
            None if text.contains("://") => return refuse("has an unknown scheme"),
            None if text.contains('/') => return refuse("has a path but no http://"),
            None => (text, ""),
            Some(rest) => match rest.find('/') {
                None => (rest, ""),
                Some(slash) => rest.split_at(slash),
            },
        };
        let Ok(authority) = Authority::from_str(authority) else {
            return refuse("has no valid host");
        };
        let port = match authority.port_u16() {
            Some(0) => return refuse("has port 0"),
            Some(port) => port,
            None if text.starts_with("http://") && authority.port().is_none() => 80,
            None => return refuse("has no port"),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let prefix = prefix.trim_end_matches('/');
        if host.is_empty() || prefix.contains(['?', '#']) {
            return refuse("has no host, or a query");
        }
        let (Ok(path), Ok(header)) = (
            Uri::from_str(&format!("{prefix}{PATH}")),
            HeaderValue::from_str(authority.as_str()),
        ) else {
            return refuse("has a prefix that is no path");
        };
        Ok(Self::Fixed {
            name: text.to_owned(),
            endpoint: Endpoint {
                address: Address::Name(host, port),
                host: header,
                path,
            },
        })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { name, .. } => f.write_str(name),
            Self::Dns { name, port } => write!(f, "dns:{name}:{port}"),
            Self::Log => f.write_str("log"),
        }
    }
}

/// The endpoint of a discovered peer.
pub(crate) fn discovered(address: SocketAddr) -> Endpoint {
    Endpoint {
        address: Address::Fixed(address),
        host: HeaderValue::from_str(&address.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("peer")),
        path: Uri::from_static(PATH),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn fixed(text: &str) -> (String, u16, String) {
        match text.parse().unwrap() {
            PeerAddress::Fixed { endpoint, .. } => match endpoint.address {
                Address::Name(host, port) => (host, port, endpoint.path.to_string()),
                Address::Fixed(address) => panic!("{address}"),
            },
            other => panic!("{text} is {other:?}"),
        }
    }

    /// Each documented way to write a peer means what it says.
    #[test]
    fn peers_parse() {
        assert_eq!(fixed("a.b:7400"), ("a.b".into(), 7400, PATH.into()));
        assert_eq!(fixed("[::1]:7400"), ("::1".into(), 7400, PATH.into()));
        assert_eq!(fixed("http://a"), ("a".into(), 80, PATH.into()));
        assert_eq!(
            fixed("http://a:1/in/side/"),
            ("a".into(), 1, format!("/in/side{PATH}"))
        );
        assert!(matches!(
            "dns:a.b:7400".parse().unwrap(),
            PeerAddress::Dns { name, port: 7400 } if name == "a.b"
        ));
    }

    /// What is no peer is refused, and no password in it is repeated.
    #[test]
    fn what_is_no_peer_is_refused() {
        for text in [
            "",
            "a",
            "a:0",
            "a:x",
            ":7400",
            "a:7400/x",
            "ftp://a:1",
            "https://a:1",
            "dns:a",
            "dns::1",
            "dns:a:0",
            "http://",
            "http://a:1/?q",
            "http://u:hunter2@a:1",
        ] {
            let error = text.parse::<PeerAddress>().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
