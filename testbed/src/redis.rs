//! A Redis that is not alone, or not open to everybody.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::backend::Backend;
use crate::error::Error;
use crate::ping::Ready;
use crate::recipe::{Place, Recipe, list};
use crate::server::Server;

/// How a Redis is to be started where [`Server::start`] and [`Server::replica`] do not serve. Its settings stand in a
/// file of its own, which it may rewrite.
#[derive(Debug, Clone, Default)]
pub struct RedisSetup {
    directives: String,
    role: Role,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Alone,
    Replica,
    Node,
    Sentinel,
}

impl RedisSetup {
    /// As [`Server::start`] does it.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this line of `redis.conf`: `user app on >secret &* +@all`.
    #[must_use]
    pub fn directive(mut self, line: &str) -> Self {
        self.push(line);
        self
    }

    /// Listens by TLS as well, on [`Server::second_address`]. Clients need no certificate unless a directive says so.
    #[must_use]
    pub fn tls(mut self, certificate: &Path, key: &Path, authority: &Path) -> Self {
        self.push("tls-port {second}");
        self.push("tls-auth-clients no");
        for (name, file) in [("cert", certificate), ("key", key), ("ca-cert", authority)] {
            self.push(&format!("tls-{name}-file {}", file.display()));
        }
        self
    }

    /// A replica of that server.
    #[must_use]
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.push(&format!("replicaof {} {}", primary.ip(), primary.port()));
        self.role = Role::Replica;
        self
    }

    /// A node of a cluster, without slots and without acquaintances: meet others at [`Server::second_address`].
    #[must_use]
    pub fn node(mut self) -> Self {
        self.push("cluster-enabled yes");
        self.push("cluster-port {second}");
        self.role = Role::Node;
        self
    }

    /// A Sentinel that watches the service at this address; so many must agree that it is down.
    #[must_use]
    pub fn sentinel(mut self, service: &str, primary: SocketAddr, quorum: usize) -> Self {
        let (host, port) = (primary.ip(), primary.port());
        self.push(&format!(
            "sentinel monitor {service} {host} {port} {quorum}"
        ));
        self.role = Role::Sentinel;
        self
    }

    /// Starts it, and waits until it answers; a replica until it is linked.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start(&self) -> Result<Server, Error> {
        Server::prepare_with(Backend::Redis, |place| self.recipe(place))
    }

    fn push(&mut self, line: &str) {
        self.directives.push_str(line);
        self.directives.push('\n');
    }

    fn recipe(&self, place: &Place<'_>) -> Result<Recipe, Error> {
        const FILE: &str = "redis.conf";
        let mark = place.folder.mark();
        let mut config = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nproc-title-template \"{{title}} {{listen-addr}} {mark}\"\n",
            place.port(),
            place.path(""),
        );
        if self.role != Role::Sentinel {
            // A primary waits five seconds for more replicas otherwise.
            config.push_str("save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n");
        }
        let second = place.peer.port().to_string();
        let _ = writeln!(config, "{}", self.directives.replace("{second}", &second));
        place.write(FILE, &config)?;
        let mut arguments = list([&place.path(FILE)]);
        if self.role == Role::Sentinel {
            arguments.extend(list(["--sentinel"]));
        }
        let ready = match self.role {
            Role::Replica => Ready::ReplicaLinked,
            _ => Ready::Answers,
        };
        place.recipe(Backend::Redis, "redis-server", arguments, ready)
    }
}
