//! The harness of the memory log, with business rows in memory as well.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Disruption, LogHarness, LogSpace, Unable};
use invalidation_core::{
    CacheName, Entry, Error, ErrorKind, JoinsLog, LogFaults, MemoryLog, MemorySnapshot,
    MemoryTransaction, Position, SharedLog,
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
        let (log, mut links) = (MemoryLog::new(), Links::default());
        links.add(log.faults());
        Ok(Box::new(Space {
            log,
            rows: Rows::default(),
            snapshot: Mutex::new(None),
            links: Mutex::new(links),
        }))
    }
}

type Rows = Arc<Mutex<HashMap<String, String>>>;

struct Space {
    log: MemoryLog,
    rows: Rows,
    snapshot: Mutex<Option<(MemorySnapshot, HashMap<String, String>)>>,
    links: Mutex<Links>,
}

/// The ways from the handles to the entries.
#[derive(Default)]
struct Links {
    way: Way,
    handles: Vec<LogFaults>,
}

/// What becomes of calls.
#[derive(Debug, Clone, Copy, Default)]
enum Way {
    #[default]
    Open,
    Fails,
    Hangs,
    /// Only those that write fail.
    ReadOnly,
}

impl Links {
    fn add(&mut self, faults: LogFaults) {
        self.way.apply(&faults);
        self.handles.push(faults);
    }

    fn set(&mut self, way: Way) {
        self.way = way;
        for faults in &self.handles {
            way.apply(faults);
        }
    }
}

impl Way {
    fn apply(self, faults: &LogFaults) {
        let reading = [faults.installs(), faults.heads(), faults.reads()];
        let writing = [faults.appends(), faults.purges(), faults.commits()];
        for reads in reading {
            match self {
                Self::Open | Self::ReadOnly => reads.heal(),
                Self::Fails => reads.fail_all(ErrorKind::Unavailable),
                Self::Hangs => reads.hang(),
            }
        }
        for writes in writing {
            match self {
                Self::Open => writes.heal(),
                Self::Fails => writes.fail_all(ErrorKind::Unavailable),
                Self::Hangs => writes.hang(),
                Self::ReadOnly => writes.fail_all(ErrorKind::ReadOnly),
            }
        }
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        let handle = self.log.connect();
        self.links.lock().add(handle.faults());
        Ok(Arc::new(handle))
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

    async fn writes(&self) -> Result<u64, Unable> {
        Err(Unable::because(
            "an append within the process shares nothing with others but a lock",
        ))
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
            Disruption::Cut | Disruption::Kill | Disruption::Stop => {
                self.links.lock().set(Way::Fails);
            }
            Disruption::BlackHole | Disruption::Pause => self.links.lock().set(Way::Hangs),
            Disruption::ReadOnly => self.links.lock().set(Way::ReadOnly),
            Disruption::Heal | Disruption::Resume | Disruption::Writable => {
                self.links.lock().set(Way::Open);
            }
            // Memory survives no process; the rows are another one's.
            Disruption::Restart => {
                faults.recreate();
                self.links.lock().set(Way::Open);
            }
            Disruption::Trim { keep: 0 } => {
                return Err(Unable::because("it never forgets its newest entry"));
            }
            Disruption::Trim { keep } => faults.trim(keep),
            Disruption::DeleteAll | Disruption::DeleteNewest => {
                return Err(Unable::because("nobody but the log can delete its entries"));
            }
            Disruption::Fill => {
                return Err(Unable::because("it has no disk that fills"));
            }
            Disruption::FailOver => return Err(Unable::because("it has no standby")),
            _ => return Err(Unable::because("a call within the process is never slow")),
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
