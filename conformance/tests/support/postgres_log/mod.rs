//! The harness of the PostgreSQL log: a fresh database for each case, owned by an ordinary user, on a server that no
//! other case uses meanwhile.

mod rig;
mod space;
mod sql;
mod transaction;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use invalidation_conformance::{LogHarness, LogSpace, Unable};
use invalidation_testbed::{Offer, Required};
use parking_lot::Mutex;

use self::{
    rig::Rig,
    space::Space,
    sql::{Connections, log, run},
};

/// How the log reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Directly.
    Direct,
    /// Through pgbouncer in transaction mode.
    Pooled,
}

/// Makes logs, each in a database of its own.
pub(crate) struct PostgresLogs {
    way: Way,
    /// Servers that a case left as they were.
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl PostgresLogs {
    pub(crate) fn new(way: Way) -> Self {
        Self {
            way,
            idle: Arc::default(),
        }
    }
}

#[async_trait]
impl LogHarness for PostgresLogs {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Direct => "postgres",
            Way::Pooled => "pgbouncer",
        }
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let idle = self.idle.lock().pop();
        let mut rig = match idle {
            Some(rig) => rig,
            None => {
                let started =
                    Required::from_env().and_then(|required| required.decide(Rig::start(self.way)));
                match started.expect("the servers start") {
                    Offer::Here(rig) => {
                        rig.prepare().await;
                        rig
                    }
                    Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
                }
            }
        };
        let database = format!("case_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        rig.fresh_database(database.clone()).await;
        let joined = log(rig.front.address(), "app", &database);
        let space = Space {
            rig: Some(rig),
            joined: Arc::new(joined),
            database,
            idle: Arc::clone(&self.idle),
            readers: Connections::default(),
            writers: Connections::default(),
        };
        run(
            &mut space.app().await,
            "CREATE TABLE business (key text PRIMARY KEY, value text)",
        )
        .await;
        Ok(Box::new(space))
    }
}
