//! A server, and the way to it.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use invalidation_testbed::{Backend, Proxy, Server};
use sqlx::PgConnection;

use super::{
    Way,
    sql::{connect, run, url},
};

/// A server and the way to it: front, pgbouncer if there is one, back, server.
pub(super) struct Rig {
    pub(super) front: Proxy,
    _pooler: Option<Server>,
    pub(super) back: Proxy,
    pub(super) server: Server,
    /// The standby that took over.
    pub(super) standby: OnceLock<Server>,
    /// Whether the server takes no calls, or no writes, until that is mended.
    pub(super) is_broken: AtomicBool,
    /// That of the newest case.
    database: Option<String>,
}

impl Rig {
    pub(super) fn start(way: Way) -> Result<Self, invalidation_testbed::Error> {
        let server = Server::start(Backend::Postgres)?;
        let back = Proxy::to(server.address())?;
        let pooler = match way {
            Way::Direct => None,
            Way::Pooled => Some(Server::pgbouncer(back.address())?),
        };
        let before = pooler.as_ref().map_or(back.address(), Server::address);
        Ok(Self {
            front: Proxy::to(before)?,
            _pooler: pooler,
            back,
            server,
            standby: OnceLock::new(),
            is_broken: AtomicBool::new(false),
            database: None,
        })
    }

    /// What every case finds.
    pub(super) async fn prepare(&self) {
        let mut admin = admin(self, "postgres").await;
        // Its own transactions would be seen in snapshots, and make them unlike from run to run.
        run(&mut admin, "ALTER SYSTEM SET autovacuum = off").await;
        run(&mut admin, "SELECT pg_reload_conf()").await;
        run(&mut admin, "CREATE ROLE app LOGIN").await;
        run(&mut admin, "CREATE ROLE weak LOGIN").await;
    }

    /// A fresh database instead of that of the case before, with all that still goes on there, and with the
    /// connections that a pooler keeps: a server has room for so many, and a standby copies everything.
    pub(super) async fn fresh_database(&mut self, name: String) {
        let mut admin = admin(self, "postgres").await;
        run(&mut admin, &format!("CREATE DATABASE {name} OWNER app")).await;
        if let Some(old) = self.database.replace(name) {
            run(&mut admin, &format!("DROP DATABASE {old} WITH (FORCE)")).await;
        }
    }

    /// Whether it serves another case as it did this one.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed) && self.standby.get().is_none()
    }

    /// The server that is the primary now.
    pub(super) fn primary(&self) -> &Server {
        self.standby.get().unwrap_or(&self.server)
    }
}

/// A connection of the administrator, straight to the primary.
pub(super) async fn admin(rig: &Rig, database: &str) -> PgConnection {
    connect(&url(rig.primary().address(), "postgres", database)).await
}
