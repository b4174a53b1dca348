//! What a log's backend gives to be tried.

use async_trait::async_trait;
use invalidation_core::{Entry, Error, Nonce, Position, SharedLog};

use crate::{Disruption, Stranger, Unable};

/// Makes fresh logs of one backend. What should work and does not is a panic; what the backend cannot do is
/// [`Unable`].
#[async_trait]
pub trait LogHarness: Send + Sync + 'static {
    /// The backend's name, with which the names of its cases begin.
    fn name(&self) -> &'static str;

    /// A fresh log, not installed yet, which no other case sees.
    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable>;
}

/// One fresh log and its backend. Dropped at the end of a case: frees what it took.
#[async_trait]
pub trait LogSpace: Send + Sync {
    /// A handle of a node's own, with connections of its own; not installed yet.
    async fn connect(&self) -> Result<SharedLog, Unable>;

    /// A handle whose user may read the log and do nothing else, or not even that.
    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        Err(Unable::because("the harness has no user of fewer rights"))
    }

    /// A handle of somebody who does not get through to this log: with wrong credentials, at an address where nobody listens.
    /// Either opening it fails, with that error, or its calls do. Only what they show is looked at.
    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        Err(Unable::because(format!(
            "the harness cannot make a stranger ({stranger:?})"
        )))
    }

    /// A transaction on the business database, which entries can join. Several may be open at once, unless this says
    /// that they cannot.
    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        Err(Unable::because("the log does not join transactions"))
    }

    /// Why two transactions cannot be open at once, when they cannot.
    fn concurrent_transactions(&self) -> Result<(), Unable> {
        Ok(())
    }

    /// Why [`purge`](invalidation_core::InvalidationLog::purge) deletes nothing, when the backend forgets by itself.
    fn purges(&self) -> Result<(), Unable> {
        Ok(())
    }

    /// Appends so much to the log, by this handle or otherwise, that the backend forgets all that was there before by a rule
    /// of its own, where [`purge`](invalidation_core::InvalidationLog::purge) deletes nothing.
    async fn outgrow(&self, log: &SharedLog) -> Result<(), Unable> {
        let _ = log;
        Err(Unable::because(
            "purge deletes nothing, and the harness cannot make the backend forget",
        ))
    }

    /// The value of a business row, as committed.
    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let _ = key;
        Err(Unable::because("the harness has no business rows"))
    }

    /// Writes a row of the log that only a newer version would understand; it concerns the cache `users`, or names none.
    async fn write_unknown_row(&self) -> Result<(), Unable> {
        Err(Unable::because(
            "the harness cannot write rows of a newer version",
        ))
    }

    /// How many transactions have written entries so far, as the backend tells and not the log: an append alone is one,
    /// and so are appends that share it.
    async fn writes(&self) -> Result<u64, Unable> {
        Err(Unable::because(
            "the harness cannot count what the log writes",
        ))
    }

    /// The nonces of all entries that are stored, as the backend tells and not the log.
    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        Err(Unable::because("the harness cannot tell what is stored"))
    }

    /// Does this to the backend.
    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        Err(Unable::because(format!(
            "the harness cannot {disruption:?}"
        )))
    }

    /// Texts that no `Debug`, error or log line may show; those of a [stranger](Self::stranger) too. Better of this space
    /// alone: the log lines of all cases that run at the same time are looked at.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A transaction of the business database. Dropped without a commit, it rolls back.
#[async_trait]
pub trait BusinessTransaction: Send {
    /// Writes a business row.
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error>;

    /// Appends entries of the log inside of it.
    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error>;

    /// Runs the SQL of a [`LogStatement`](invalidation_core::LogStatement) with its parameter inside of it; how many
    /// rows it inserted.
    async fn execute(&mut self, sql: &str, parameter: &str) -> Result<u64, Unable> {
        let _ = (sql, parameter);
        Err(Unable::because("the harness runs no statements"))
    }

    /// Sets a savepoint, in place of an older one.
    async fn savepoint(&mut self) -> Result<(), Unable> {
        Err(Unable::because("its transactions have no savepoints"))
    }

    /// Goes back to the savepoint.
    async fn roll_back_to_savepoint(&mut self) -> Result<(), Unable> {
        Err(Unable::because("its transactions have no savepoints"))
    }

    /// Commits.
    async fn commit(self: Box<Self>) -> Result<(), Error>;

    /// Rolls back.
    async fn roll_back(self: Box<Self>) -> Result<(), Error>;
}
