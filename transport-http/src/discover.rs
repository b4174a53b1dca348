//! Peers behind a name: how it is resolved, and which addresses are allowed.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use async_trait::async_trait;
use ipnet::IpNet;

/// The most peers that one name may stand for (`P18`).
pub(crate) const MAX_DISCOVERED: usize = 1_024;

/// How a `dns:name:port` peer becomes addresses. The default asks the system's resolver.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `name`, each with `port`. Called every
    /// [`dns_interval`](crate::HttpTransportBuilder::dns_interval), one call per name at a time; a call that
    /// takes longer than 5 s is dropped.
    ///
    /// # Errors
    /// On any error, and on an empty answer, the peers known so far are kept.
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }
}

/// Which discovered addresses may be connected to. Whoever controls a name could otherwise point every node
/// at a metadata service, or at anything else that is reachable from inside.
#[derive(Debug, Clone)]
pub(crate) struct Allowed {
    /// Any of these.
    pub(crate) networks: Vec<IpNet>,
    /// Any of these; `None` is the port that is written with the name.
    pub(crate) ports: Option<Vec<u16>>,
}

/// Loopback, private (RFC 1918), carrier-grade NAT (RFC 6598, used by some clusters) and unique local
/// networks (RFC 4193). Not link-local: metadata services live there.
const PRIVATE: [&str; 7] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
];

impl Default for Allowed {
    fn default() -> Self {
        Self {
            networks: PRIVATE.iter().filter_map(|net| net.parse().ok()).collect(),
            ports: None,
        }
    }
}

impl Allowed {
    /// Whether `address` may be connected to. An IPv4 address in IPv6 clothes is judged as what it is.
    pub(crate) fn allows(&self, address: SocketAddr) -> bool {
        let ip: IpAddr = address.ip().to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
            && self.allows_port(address.port())
    }

    /// Whether a discovered peer may have this port.
    pub(crate) fn allows_port(&self, port: u16) -> bool {
        self.ports
            .as_ref()
            .is_none_or(|ports| ports.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// `P18`: by default a name leads to private networks only, and never to a metadata address, in whatever
    /// clothes.
    #[test]
    fn the_default_allows_private_networks_only() {
        let allowed = Allowed::default();
        assert_eq!(allowed.networks.len(), PRIVATE.len());
        for (address, expected) in [
            ("10.1.2.3:7400", true),
            ("127.0.0.1:7400", true),
            ("[fd00::1]:7400", true),
            ("[::ffff:10.1.2.3]:7400", true),
            ("169.254.169.254:80", false),
            ("[::ffff:169.254.169.254]:80", false),
            ("[fe80::1]:7400", false),
            ("8.8.8.8:7400", false),
            ("0.0.0.0:7400", false),
        ] {
            assert_eq!(
                allowed.allows(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
