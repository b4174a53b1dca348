//! The harness of the memory log, with business rows in memory as well.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Disruption, LogHarness, LogSpace, Unable};
use invalidation_core::{
    CacheName, Entry, Error, JoinsLog, MemoryLog, MemorySnapshot, MemoryTransaction, Position,
    SharedLog,
};
use parking_lot::Mutex;

/// Makes memory logs.
#[derive(Debug, Default)]
pub(crate) struct MemoryLogs;

#[async_trait]
impl LogHarness for MemoryLogs {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        Ok(Box::new(Space {
            log: MemoryLog::new(),
            rows: Rows::default(),
            snapshot: Mutex::new(None),
        }))
    }
}

type Rows = Arc<Mutex<HashMap<String, String>>>;

struct Space {
    log: MemoryLog,
    rows: Rows,
    snapshot: Mutex<Option<(MemorySnapshot, HashMap<String, String>)>>,
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(self.log.connect()))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        Err(Unable::because("who has the memory has every right"))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        Ok(Box::new(Transaction {
            inner: self.log.begin(),
            log: self.log.clone(),
            rows: Arc::clone(&self.rows),
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        Ok(self.rows.lock().get(key).cloned())
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let cache = CacheName::new("users").expect("a good name");
        self.log.faults().inject_undecodable(Some(cache));
        Ok(())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        let faults = self.log.faults();
        match disruption {
            Disruption::Snapshot => {
                *self.snapshot.lock() = Some((faults.snapshot(), self.rows.lock().clone()));
            }
            Disruption::Restore => {
                let snapshot = self.snapshot.lock();
                let (log, rows) = snapshot.as_ref().expect("a snapshot was taken before");
                faults.restore(log);
                self.rows.lock().clone_from(rows);
            }
            Disruption::Recreate => {
                faults.recreate();
                self.rows.lock().clear();
            }
            Disruption::DeleteAll | Disruption::DeleteNewest => {
                return Err(Unable::because("nobody but the log can delete its entries"));
            }
            Disruption::Fill | Disruption::ReadOnly => {
                return Err(Unable::because("it has no disk that fills or refuses"));
            }
            _ => return Err(Unable::because("it has no server")),
        }
        Ok(())
    }
}

struct Transaction {
    inner: MemoryTransaction,
    log: MemoryLog,
    rows: Rows,
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let (rows, key, value) = (Arc::clone(&self.rows), key.to_owned(), value.to_owned());
        self.inner.and_write(move || {
            rows.lock().insert(key, value);
        });
        Ok(())
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.inner.append_in(&self.log, entries).await
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        self.inner.commit().await
    }

    async fn roll_back(self: Box<Self>) -> Result<(), Error> {
        self.inner.rollback();
        Ok(())
    }
}
