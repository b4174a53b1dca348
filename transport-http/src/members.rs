//! Peers that a log keeps: how this node is announced, and how the others become peers.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use invalidation_core::{Error, ErrorKind, Member, Members, NodeId};
use tokio::time::timeout;

use crate::{
    address::PeerAddress,
    connect::{Address, Endpoint},
    fleet::{Fleet, Known, RESOLVE_TIMEOUT},
    server::PATH,
};

/// Where the others reach this node: an address, or a name that becomes one, a port and a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertised {
    host: String,
    port: u16,
    prefix: String,
}

impl Advertised {
    /// Of an own listener that listens at an address of its own.
    pub(crate) fn listener(address: SocketAddr) -> Option<Self> {
        (!address.ip().is_unspecified()).then(|| Self {
            host: address.ip().to_string(),
            port: address.port(),
            prefix: String::new(),
        })
    }

    fn member(&self, node: NodeId, ip: IpAddr) -> Member {
        let at = SocketAddr::new(ip, self.port);
        Member::new(node, format!("http://{at}{}", self.prefix))
    }
}

impl FromStr for Advertised {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new(
                ErrorKind::Invalid,
                "http",
                "build",
                "the advertised address must be one at which the others reach this node: write host:port or \
                 http://host:port/prefix",
            )
        };
        let PeerAddress::Fixed { endpoint, .. } = text.parse().map_err(|_| refuse())? else {
            return Err(refuse());
        };
        let Address::Name(host, port) = endpoint.address else {
            return Err(refuse());
        };
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(refuse());
        }
        let path = endpoint.path.path();
        let prefix = path.strip_suffix(PATH).unwrap_or_default().to_owned();
        Ok(Self { host, port, prefix })
    }
}

/// An address as a member announces it: never a name, so that what is connected to is what was checked.
struct Announced {
    at: SocketAddr,
    endpoint: Endpoint,
}

impl FromStr for Announced {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if !text.starts_with("http://") {
            return Err(());
        }
        let Ok(PeerAddress::Fixed { mut endpoint, .. }) = text.parse() else {
            return Err(());
        };
        let Address::Name(host, port) = &endpoint.address else {
            return Err(());
        };
        let at = SocketAddr::new(host.parse().map_err(|_| ())?, *port);
        endpoint.address = Address::Fixed(at);
        Ok(Self { at, endpoint })
    }
}

/// Tells the log how this node is reached, again and again when that is a name.
pub(crate) async fn announce(fleet: Arc<Fleet>, members: Members, own: Advertised, node: NodeId) {
    let settings = &fleet.settings;
    loop {
        if let Ok(ip) = own.host.parse() {
            members.announce(own.member(node, ip));
            return;
        }
        let resolving = settings.resolver.resolve(&own.host, own.port);
        let addresses = match timeout(RESOLVE_TIMEOUT, resolving).await {
            Ok(Ok(addresses)) => addresses,
            _ => Vec::new(),
        };
        // The name of a host often stands for a loopback address, too.
        let outside = addresses.iter().find(|at| !at.ip().is_loopback());
        match outside.or(addresses.first()) {
            Some(at) => members.announce(own.member(node, at.ip())),
            None => tracing::warn!(
                name = own.host,
                "the advertised name could not be resolved; what was announced stays"
            ),
        }
        tokio::time::sleep(settings.dns_interval).await;
    }
}

/// Keeps up with the members that the log tells.
pub(crate) async fn follow(fleet: Arc<Fleet>, members: Members, node: NodeId) {
    let mut known = Known::default();
    let mut others = members.others();
    loop {
        let list = others.borrow_and_update().clone();
        if let Some(list) = list {
            known.keep_up_with(&fleet, node, endpoints(&fleet, &list));
        }
        if others.changed().await.is_err() {
            return;
        }
    }
}

/// The allowed ones, by their names. Two nodes at one address are an old and a new run of the same.
pub(crate) fn endpoints(fleet: &Fleet, members: &[Member]) -> HashMap<String, Endpoint> {
    let mut found = HashMap::new();
    for member in members {
        match member.address.parse::<Announced>() {
            Ok(announced) if fleet.admits(&"log", announced.at, found.len()) => {
                found.insert(name(&announced), announced.endpoint);
            }
            Ok(_) => {}
            Err(()) => tracing::debug!(node = %member.node, "a member is not reached by HTTP"),
        }
    }
    found
}

fn name(announced: &Announced) -> String {
    match announced.endpoint.path.path().strip_suffix(PATH) {
        None | Some("") => announced.at.to_string(),
        Some(prefix) => format!("http://{}{prefix}", announced.at),
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.host, self.port, self.prefix)
    }
}
