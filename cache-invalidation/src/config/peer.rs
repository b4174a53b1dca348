//! Where another node listens.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use super::value::quoted;

/// Where another node listens, as the HTTP transport takes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// `host:port`: one node.
    Node {
        /// A name, or an address; an IPv6 address without its brackets.
        host: String,
        /// Above zero.
        port: u16,
    },
    /// `http://host:port/prefix`: one node, behind a path.
    Under {
        /// As in `Node`.
        host: String,
        /// Above zero; 80 when it is not written.
        port: u16,
        /// Begins with `/`, and is empty for none.
        prefix: String,
    },
    /// `dns:host:port`: a node at every address of the name, which is looked up again and again.
    Dns {
        /// The name.
        host: String,
        /// Above zero.
        port: u16,
    },
    /// `log`: all nodes that share the log, if it keeps members.
    Log,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        parse(text).map_err(|why| {
            format!(
                "{} is no peer: {why}; write \"host:port\", \"http://host:port/prefix\", \"dns:name:port\" for \
                 every address of a name, or \"log\" for all that share the log",
                quoted(text)
            )
        })
    }
}

fn parse(text: &str) -> Result<Peer, &'static str> {
    if text == "log" {
        return Ok(Peer::Log);
    }
    if text.contains('@') {
        return Err("it holds a user name or password, which is not used here");
    }
    if text.starts_with("https:") {
        return Err(
            "the transport speaks plain HTTP (leave TLS to a mesh or a sidecar, and give its plain address)",
        );
    }
    if let Some(address) = text.strip_prefix("dns:") {
        let (host, port) = split(address, None)?;
        if host.parse::<IpAddr>().is_ok() {
            return Err("`dns:` takes a name");
        }
        return Ok(Peer::Dns { host, port });
    }
    let Some(rest) = text.strip_prefix("http://") else {
        if text.contains('/') {
            return Err("it has another scheme, or a path without `http://`");
        }
        let (host, port) = split(text, None)?;
        return Ok(Peer::Node { host, port });
    };
    let (address, prefix) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (host, port) = split(address, Some(80))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    if !prefix.chars().all(plain) {
        return Err("its prefix holds a character other than letters, digits and /-._~");
    }
    Ok(Peer::Under {
        host,
        port,
        prefix: prefix.trim_end_matches('/').to_owned(),
    })
}

fn split(address: &str, default_port: Option<u16>) -> Result<(String, u16), &'static str> {
    if address.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address stands in brackets");
    }
    let bracketed_alone = address.ends_with(']');
    let (host, port) = match address.rsplit_once(':').filter(|_| !bracketed_alone) {
        Some((host, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, digits.parse().ok().filter(|port| *port > 0))
        }
        Some((host, _)) => (host, None),
        None => match default_port {
            Some(port) => (address, Some(port)),
            None => return Err("it has no port"),
        },
    };
    let port = port.ok_or("its port is not a number from 1 to 65535")?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match bracketed {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => Ok((inner.to_owned(), port)),
        Some(_) => Err("what stands in brackets is no IPv6 address"),
        None if host.parse::<Ipv6Addr>().is_ok() => Err("an IPv6 address stands in brackets"),
        None if host.is_empty() => Err("it has no host"),
        None if !host.chars().all(named) => Err("its host holds a character that no name has"),
        None => Ok((host.to_owned(), port)),
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port, prefix) = match self {
            Self::Dns { host, port } => ("dns:", host, port, ""),
            Self::Node { host, port } => ("", host, port, ""),
            Self::Under { host, port, prefix } => ("http://", host, port, prefix.as_str()),
            Self::Log => return f.write_str("log"),
        };
        if host.contains(':') {
            write!(f, "{scheme}[{host}]:{port}{prefix}")
        } else {
            write!(f, "{scheme}{host}:{port}{prefix}")
        }
    }
}
