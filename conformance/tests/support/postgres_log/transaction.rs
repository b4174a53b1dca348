//! A transaction of the business, and the log that it joins.

use std::sync::Arc;

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Unable};
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position};
use invalidation_transport_pg::PgLog;
use sqlx::{AssertSqlSafe, PgConnection};

use super::sql::Connections;

pub(super) struct Transaction {
    pub(super) connection: PgConnection,
    pub(super) log: Arc<PgLog>,
    /// Where its connection goes when it has ended; one that is dropped closes it.
    pub(super) idle: Connections,
}

impl Transaction {
    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "postgres", "transaction", e.to_string()))
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let write =
            "INSERT INTO business VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2";
        sqlx::query(write)
            .persistent(false)
            .bind(key)
            .bind(value)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "postgres", "write", e.to_string()))
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.connection.append_in(&self.log, entries).await
    }

    async fn execute(&mut self, sql: &str, parameter: &str) -> Result<u64, Unable> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .persistent(false)
            .bind(parameter)
            .execute(&mut self.connection)
            .await;
        Ok(done.expect("the statement runs").rows_affected())
    }

    async fn savepoint(&mut self) -> Result<(), Unable> {
        self.run("SAVEPOINT here").await.expect("a savepoint");
        Ok(())
    }

    async fn roll_back_to_savepoint(&mut self) -> Result<(), Unable> {
        let back = self.run("ROLLBACK TO here").await;
        back.expect("goes back to the savepoint");
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.run("COMMIT").await?;
        self.idle.lock().push(self.connection);
        Ok(())
    }

    async fn roll_back(mut self: Box<Self>) -> Result<(), Error> {
        self.run("ROLLBACK").await?;
        self.idle.lock().push(self.connection);
        Ok(())
    }
}
