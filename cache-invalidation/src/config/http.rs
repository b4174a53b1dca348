//! The HTTP fan-out.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    secret::Secret,
    sources,
    table::{Provenance, Table, quoted},
};

/// `[transport.http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where this node listens.
    pub listen: SocketAddr,
    /// Where the other nodes listen. This node itself may be among them.
    pub peers: Vec<Peer>,
    /// What authenticates frames. `None` only with `insecure = true`.
    pub secret: Option<Secret>,
    /// The secret before a rotation: still accepted, no longer sent.
    pub previous_secret: Option<Secret>,
    /// The largest body that is read, in bytes.
    pub max_body: Option<usize>,
    /// How long one attempt to reach a peer may take.
    pub publish_timeout: Option<Duration>,
    /// The only networks in which discovered peers may be. Empty: any.
    pub allowed_networks: Vec<IpNet>,
    /// The only ports at which discovered peers may be. Empty: any.
    pub allowed_ports: Vec<u16>,
}

/// Where another node listens.
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
    /// `dns:host:port`: a node at every address of the name, which is looked up again and again.
    Dns {
        /// The name.
        host: String,
        /// Above zero.
        port: u16,
    },
}

pub(super) fn parse(table: &Table<'_>) -> Option<HttpConfig> {
    if !cfg!(feature = "http") {
        table.refuse_all("the HTTP transport is not compiled in: enable the cargo feature `http`");
        return None;
    }
    let listen = table.parsed("listen", |text| {
        text.trim().parse::<SocketAddr>().map_err(|_| {
            format!(
                "{} is no address to listen at: write an IP address and a port, such as \"0.0.0.0:7400\"",
                quoted(text)
            )
        })
    });
    if !table.has("listen") {
        table.missing(
            "listen",
            "say where this node listens, such as \"0.0.0.0:7400\"",
        );
    }
    let insecure = table.flag("insecure").unwrap_or(false);
    let secret = secret(table, "secret", "secret_file");
    let previous = secret_pair(table);
    let given = table.has("secret") || table.has("secret_file");
    match (insecure, given) {
        (true, true) => table.refuse(
            "insecure",
            "is true, and a secret is given too: take one of them out",
        ),
        (false, false) => table.missing(
            "secret_file",
            "name a file that holds the secret which all nodes share, or write `insecure = true` to run \
             without authentication",
        ),
        _ => {}
    }
    if previous.is_some() && !given {
        table.refuse_all("a previous secret needs a secret: set secret_file");
    }
    let peers = table.list("peers", "peers", |text| text.parse::<Peer>());
    let allowed_networks = table.list("allowed_networks", "networks", network);
    let allowed_ports = table.list("allowed_ports", "ports", port);
    Some(HttpConfig {
        listen: listen?,
        peers: peers.unwrap_or_default(),
        secret,
        previous_secret: previous,
        max_body: table.count("max_body"),
        publish_timeout: table.positive_duration("publish_timeout"),
        allowed_networks: allowed_networks.unwrap_or_default(),
        allowed_ports: allowed_ports.unwrap_or_default(),
    })
}

fn secret_pair(table: &Table<'_>) -> Option<Secret> {
    secret(table, "previous_secret", "previous_secret_file")
}

/// From a variable or a file, never from the text of the configuration, which is copied, committed and shown.
fn secret(table: &Table<'_>, key: &str, file_key: &str) -> Option<Secret> {
    if table.has(key) && table.has(file_key) {
        table.refuse(
            file_key,
            format!("{key} is given too: take one of them out"),
        );
        return None;
    }
    if table.provenance(key) == Some(Provenance::Text) {
        table.refuse(
            key,
            format!(
                "a secret does not stand in the configuration itself: name a file in {file_key}, or set the \
                 variable {}",
                sources::variable(&table.path_of(key))
            ),
        );
        return None;
    }
    if let Some(text) = table.text(key) {
        let secret = Secret::new(text);
        if secret.is_none() {
            table.refuse(key, "is empty: set it to the secret that all nodes share");
        }
        return secret;
    }
    table.parsed(file_key, |path| {
        if path.is_empty() {
            return Err("names no file".into());
        }
        Secret::read(path.as_ref())
    })
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!(
                "{} is no network: write it like \"10.0.0.0/8\"",
                quoted(text)
            )
        })
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "{} is no port: write a number from 1 to 65535",
            quoted(text)
        )),
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "{} is no peer: {why}; write \"host:port\", or \"dns:host:port\" for every address of a name",
                quoted(text)
            ))
        };
        if text.contains("//") {
            return refuse("it takes no scheme and no path");
        }
        let (dns, address) = match text.trim().strip_prefix("dns:") {
            Some(address) => (true, address),
            None => (false, text.trim()),
        };
        let Some((host, digits)) = address.rsplit_once(':') else {
            return refuse("it has no port");
        };
        let port = match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => return refuse("its port is not a number from 1 to 65535"),
        };
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return refuse("what stands in brackets is no IPv6 address"),
            None if host.parse::<Ipv6Addr>().is_ok() => {
                return refuse("an IPv6 address stands in brackets");
            }
            None if host.is_empty() => return refuse("it has no host"),
            None => host,
        };
        let is_address = host.parse::<IpAddr>().is_ok();
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !is_address && !host.chars().all(named) {
            return refuse("its host holds a character that no host name has");
        }
        let host = host.to_owned();
        match (dns, is_address) {
            (true, true) => refuse("`dns:` takes a name"),
            (true, false) => Ok(Self::Dns { host, port }),
            (false, _) => Ok(Self::Node { host, port }),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { host, port } => write!(f, "dns:{host}:{port}"),
            Self::Node { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Node { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
