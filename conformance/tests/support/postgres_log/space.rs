//! What a case has: its database, and how it is disrupted.

use std::{
    process::Command,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Disruption, LogSpace, Unable};
use invalidation_core::{Nonce, SharedLog};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_pg::PgLog;
use parking_lot::Mutex;
use sqlx::{PgConnection, Row};

use super::{
    rig::{Rig, admin},
    sql::{Connections, PASSWORD, connect, log, run, until, url},
    transaction::Transaction,
};

pub(super) struct Space {
    /// There until it is dropped.
    pub(super) rig: Option<Rig>,
    pub(super) database: String,
    /// The log that business transactions are joined to.
    pub(super) joined: Arc<PgLog>,
    pub(super) idle: Arc<Mutex<Vec<Rig>>>,
    /// Of the administrator, for rows.
    pub(super) readers: Connections,
    /// Of the service, for transactions.
    pub(super) writers: Connections,
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take()
            && rig.is_whole()
            && !std::thread::panicking()
        {
            rig.front.heal();
            self.idle.lock().push(rig);
        }
    }
}

impl Space {
    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("until it is dropped")
    }

    /// A connection of the service, on the same way as the log's.
    pub(super) async fn app(&self) -> PgConnection {
        connect(&url(self.rig().front.address(), "app", &self.database)).await
    }

    async fn admin(&self) -> PgConnection {
        admin(self.rig(), &self.database).await
    }

    fn dump(&self) -> String {
        let folder = self.rig().server.folder();
        let file = folder.join(format!("{}.sql", self.database));
        file.to_string_lossy().into_owned()
    }

    /// Runs a program of PostgreSQL as the administrator.
    fn program(&self, name: &str, arguments: &[&str]) {
        let program = Backend::Postgres.program(name).expect("is installed");
        let output = Command::new(program)
            .args([
                "-d",
                &url(self.rig().primary().address(), "postgres", &self.database),
            ])
            .args(arguments)
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {error}");
    }

    fn breaks(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        self.rig().is_broken.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    fn mends(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
        self.rig().is_broken.store(false, Ordering::Relaxed);
    }

    async fn make_read_only(&self, read_only: bool) {
        self.rig().is_broken.store(true, Ordering::Relaxed);
        let value = if read_only { "on" } else { "off" };
        let mut admin = self.admin().await;
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        run(&mut admin, &set).await;
        run(&mut admin, "SELECT pg_reload_conf()").await;
        let is_set = format!("SELECT current_setting('default_transaction_read_only') = '{value}'");
        until(&mut admin, &is_set).await;
        self.rig().is_broken.store(read_only, Ordering::Relaxed);
    }

    /// A standby takes over, and the name leads to it.
    async fn fail_over(&self) {
        let rig = self.rig();
        let standby = Server::standby(rig.server.address()).expect("a standby starts");
        self.breaks("kill", rig.server.kill());
        let mut promoted = connect(&url(standby.address(), "postgres", "postgres")).await;
        run(&mut promoted, "SELECT pg_promote()").await;
        rig.back.lead_to(standby.address());
        let first = rig.standby.set(standby);
        first.expect("there is one failover in a case");
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(log(
            self.rig().front.address(),
            "app",
            &self.database,
        )))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        let mut admin = self.admin().await;
        for grant in [
            "GRANT USAGE ON SCHEMA cache_invalidation TO weak",
            "GRANT SELECT ON ALL TABLES IN SCHEMA cache_invalidation TO weak",
            "GRANT EXECUTE ON FUNCTION cache_invalidation.page(text[]) TO weak",
        ] {
            run(&mut admin, grant).await;
        }
        Ok(Arc::new(log(
            self.rig().front.address(),
            "weak",
            &self.database,
        )))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let idle = self.writers.lock().pop();
        let begun = match idle {
            Some(mut idle) => sqlx::raw_sql("BEGIN")
                .execute(&mut idle)
                .await
                .map(|_| idle),
            None => Err(sqlx::Error::PoolClosed),
        };
        let connection = match begun {
            Ok(connection) => connection,
            Err(_) => {
                let mut connection = self.app().await;
                run(&mut connection, "BEGIN").await;
                connection
            }
        };
        Ok(Box::new(Transaction {
            connection,
            log: Arc::clone(&self.joined),
            idle: Arc::clone(&self.writers),
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let idle = self.readers.lock().pop();
        if let Some(mut idle) = idle
            && let Ok(row) = value_of(&mut idle, key).await
        {
            self.readers.lock().push(idle);
            return Ok(row);
        }
        let mut fresh = self.admin().await;
        let row = value_of(&mut fresh, key).await;
        self.readers.lock().push(fresh);
        Ok(row.expect("the row is read"))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let unknown = "INSERT INTO cache_invalidation.log (cache, scope, items) \
                       VALUES ('users', 'prefixes', '[\"1\"]')";
        run(&mut self.app().await, unknown).await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        let count = "SELECT count(DISTINCT xid) FROM cache_invalidation.log";
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut self.admin().await)
            .await
            .expect("the rows are counted");
        Ok(count.cast_unsigned())
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        let nonces: Vec<i64> = sqlx::query_scalar("SELECT nonce FROM cache_invalidation.log")
            .fetch_all(&mut self.admin().await)
            .await
            .expect("the rows are read");
        let nonce = |nonce: i64| Nonce(nonce.cast_unsigned());
        Ok(nonces.into_iter().map(nonce).collect())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        for connections in [&self.readers, &self.writers] {
            connections.lock().clear(); // They may be silent for ever.
        }
        let rig = self.rig();
        match disruption {
            Disruption::Stop => self.breaks("stop", rig.primary().stop()),
            Disruption::Kill => self.breaks("kill", rig.primary().kill()),
            Disruption::Restart => self.mends("restart", rig.primary().restart()),
            Disruption::Pause => self.breaks("pause", rig.primary().pause()),
            Disruption::Resume => self.mends("resume", rig.primary().resume()),
            Disruption::Cut => rig.front.cut(),
            Disruption::BlackHole => rig.front.black_hole(),
            Disruption::Delay(by) => rig.front.delay(by),
            Disruption::Heal => rig.front.heal(),
            Disruption::ReadOnly => self.make_read_only(true).await,
            Disruption::Writable => self.make_read_only(false).await,
            Disruption::Snapshot => {
                self.program("pg_dump", &["--clean", "--if-exists", "-f", &self.dump()]);
            }
            Disruption::Restore => {
                let dump = self.dump();
                self.program("psql", &["-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", &dump]);
            }
            Disruption::Recreate => {
                run(
                    &mut self.admin().await,
                    "DROP SCHEMA cache_invalidation CASCADE",
                )
                .await;
            }
            Disruption::DeleteAll => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation.log",
                )
                .await;
            }
            Disruption::DeleteNewest => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation.log WHERE id = (SELECT max(id) FROM cache_invalidation.log)",
                )
                .await;
            }
            Disruption::Trim { keep } => {
                let trim = format!(
                    "DELETE FROM cache_invalidation.log WHERE (xid, id) NOT IN (SELECT xid, id
                         FROM cache_invalidation.log ORDER BY xid DESC, id DESC LIMIT {keep})"
                );
                run(&mut self.admin().await, &trim).await;
            }
            Disruption::FailOver => self.fail_over().await,
            Disruption::Fill => {
                return Err(Unable::because(
                    "the harness has no small disk for a server",
                ));
            }
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot {disruption:?}"
                )));
            }
        }
        Ok(())
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into()]
    }
}

async fn value_of(connection: &mut PgConnection, key: &str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query("SELECT value FROM business WHERE key = $1")
        .persistent(false)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.get(0)))
}
