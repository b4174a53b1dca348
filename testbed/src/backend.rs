//! The servers that can be started, and where their programs are.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Absent, Error};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Backend {
    /// PostgreSQL.
    Postgres,
    /// pgbouncer in transaction mode, in front of a PostgreSQL.
    Pgbouncer,
    /// MariaDB with a row-based binary log.
    Mariadb,
    /// Redis without persistence: a restart empties it.
    Redis,
    /// NATS with JetStream.
    Nats,
    /// etcd, one member.
    Etcd,
}

/// A name that is no [`Backend`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no server is called {name:?}; use postgres, pgbouncer, mariadb, redis, nats or etcd")]
pub struct UnknownBackend {
    /// What was given.
    pub name: String,
}

impl Backend {
    /// Every kind there is.
    pub const ALL: [Self; 6] = [
        Self::Postgres,
        Self::Pgbouncer,
        Self::Mariadb,
        Self::Redis,
        Self::Nats,
        Self::Etcd,
    ];

    /// The name in `REQUIRE_BACKENDS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Pgbouncer => "pgbouncer",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Etcd => "etcd",
        }
    }

    /// The Debian package that brings it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Pgbouncer => "pgbouncer",
            Self::Mariadb => "mariadb-server",
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
            Self::Etcd => "etcd-server",
        }
    }

    /// The URL of such a server at an address, which may be that of a proxy.
    pub fn url(self, address: SocketAddr) -> String {
        match self {
            Self::Postgres | Self::Pgbouncer => format!("postgres://postgres@{address}/postgres"),
            Self::Mariadb => format!("mysql://root@{address}/mysql"),
            Self::Redis => format!("redis://{address}/"),
            Self::Nats => format!("nats://{address}"),
            Self::Etcd => format!("http://{address}"),
        }
    }

    /// Where one of its programs is: in `PATH`, or where Debian keeps servers.
    ///
    /// # Errors
    /// [`Error::Absent`], with the places and the package.
    pub fn program(self, name: &str) -> Result<PathBuf, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .chain(self.versioned_folders())
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                Error::Absent(Absent {
                    backend: self,
                    because: format!("`{name}` is neither in PATH nor where Debian keeps servers"),
                })
            })
    }

    /// PostgreSQL's own folders, newest version first: Debian keeps `initdb` and `postgres` out of `PATH`.
    fn versioned_folders(self) -> Vec<PathBuf> {
        if self != Self::Postgres {
            return Vec::new();
        }
        let versions = Path::new("/usr/lib/postgresql");
        let mut found: Vec<u32> = std::fs::read_dir(versions)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        found.sort_unstable_by(|left, right| right.cmp(left));
        found
            .into_iter()
            .map(|version| versions.join(version.to_string()).join("bin"))
            .collect()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend { name: name.into() })
    }
}
