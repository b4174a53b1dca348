//! The harness of the toy log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_conformance::{
    BusinessTransaction, Disruption, LogHarness, LogSpace, Stranger, Unable,
};
use invalidation_core::{Entry, Error, Nonce, Position, SharedLog};
use parking_lot::Mutex;

use super::{Mistake, Server, Store, ToyLog, User};

/// Makes toy logs with this mistake.
pub(crate) struct ToyLogs(pub(crate) Option<Mistake>);

#[async_trait]
impl LogHarness for ToyLogs {
    fn name(&self) -> &'static str {
        "toy"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        Ok(Box::new(Space {
            server: Arc::new(Server {
                mistake: self.0,
                store: Mutex::new(Store::new(self.0)),
                refuses: AtomicBool::new(false),
                down: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                silent: AtomicBool::new(false),
                installed: AtomicBool::new(false),
                locked: AtomicBool::new(false),
                appending: AtomicUsize::new(0),
                group: Mutex::default(),
                delay: Mutex::default(),
                password: format!("horse-{:x}", rand::random::<u64>()),
                statements: Mutex::new(Vec::new()),
            }),
            snapshot: Mutex::new(None),
        }))
    }
}

struct Space {
    server: Arc<Server>,
    snapshot: Mutex<Option<Store>>,
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(ToyLog::new(&self.server, User::Writer)))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(ToyLog::new(&self.server, User::Reader)))
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        let user = match stranger {
            Stranger::WrongSecret => User::Refused,
            Stranger::WrongHost => User::Lost,
            other => return Err(Unable::because(format!("a toy has no {other:?}"))),
        };
        Ok(Ok(Arc::new(ToyLog::new(&self.server, user))))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        Ok(Box::new(Transaction {
            number: self.server.store.lock().begin(),
            server: Arc::clone(&self.server),
            writes: Vec::new(),
            savepoint: 0,
            is_over: false,
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        Ok(self.server.store.lock().business(key))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        self.server.store.lock().append_unknown();
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        Ok(self.server.store.lock().writes())
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        Ok(self.server.store.lock().nonces())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        let server = &self.server;
        let mut store = server.store.lock();
        match disruption {
            Disruption::Restart
            | Disruption::Resume
            | Disruption::Heal
            | Disruption::Empty
            | Disruption::Writable
                if server.has(Mistake::CannotMend) =>
            {
                return Err(Unable::because("it was not built to mend"));
            }
            Disruption::Stop | Disruption::Cut => server.down.store(true, Ordering::SeqCst),
            Disruption::Kill => {
                if server.has(Mistake::LosesTheLastInACrash) {
                    store.lose_the_last();
                }
                if server.has(Mistake::LosesAndTellsInACrash) {
                    store.lose_the_last();
                    store.change_identity();
                }
                server.down.store(true, Ordering::SeqCst);
            }
            Disruption::Pause | Disruption::BlackHole => {
                server.silent.store(true, Ordering::SeqCst)
            }
            Disruption::Restart | Disruption::Resume | Disruption::Heal => {
                if server.has(Mistake::ExpiresAfterSilence) {
                    store.change_identity();
                }
                if server.has(Mistake::FloorInMemory) {
                    store.forget_floor();
                }
                *server.delay.lock() = Duration::ZERO;
                server.down.store(false, Ordering::SeqCst);
                server.silent.store(false, Ordering::SeqCst);
            }
            Disruption::Fill | Disruption::ReadOnly => server.refuses.store(true, Ordering::SeqCst),
            Disruption::Empty | Disruption::Writable => {
                server.refuses.store(false, Ordering::SeqCst)
            }
            Disruption::Snapshot => *self.snapshot.lock() = Some(store.clone()),
            Disruption::Restore => {
                let snapshot = self.snapshot.lock();
                *store = snapshot.clone().expect("a snapshot was taken before");
            }
            Disruption::Recreate => *store = Store::new(server.mistake),
            Disruption::DeleteAll => store.delete_all(),
            Disruption::DeleteNewest => store.delete_newest(),
            Disruption::Trim { keep } => store.trim(keep),
            Disruption::Delay(by) => *server.delay.lock() = by,
            Disruption::FailOver => {
                let lacks_the_last = server.has(Mistake::LosesAndTellsInAFailover)
                    || server.has(Mistake::FailsOverSilently);
                if lacks_the_last {
                    store.lose_the_last();
                }
                if !server.has(Mistake::FailsOverSilently) {
                    store.change_identity();
                }
            }
            other => return Err(Unable::because(format!("a toy does not {other:?}"))),
        }
        Ok(())
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.server.password.clone()]
    }
}

struct Transaction {
    number: u64,
    server: Arc<Server>,
    writes: Vec<(String, String)>,
    /// The id from which on a rollback to the savepoint forgets.
    savepoint: u64,
    is_over: bool,
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.writes.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if self.server.has(Mistake::AppendsBesideTransaction) {
            return Ok(self.server.append(entries));
        }
        Ok(self.server.store.lock().append(self.number, entries))
    }

    async fn execute(&mut self, _sql: &str, parameter: &str) -> Result<u64, Unable> {
        let number: usize = parameter.parse().expect("a parameter of this log");
        let entries = self.server.statements.lock()[number].clone();
        if self.server.has(Mistake::StatementOutsideTransaction) {
            self.server.append(&entries);
        } else {
            self.server.store.lock().append(self.number, &entries);
        }
        Ok(entries.len() as u64)
    }

    async fn savepoint(&mut self) -> Result<(), Unable> {
        self.savepoint = self.server.store.lock().next_id();
        Ok(())
    }

    async fn roll_back_to_savepoint(&mut self) -> Result<(), Unable> {
        if !self.server.has(Mistake::IgnoresSavepoints) {
            let mut store = self.server.store.lock();
            store.roll_back_to(self.number, self.savepoint);
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.is_over = true;
        let mut store = self.server.store.lock();
        for (key, value) in &self.writes {
            store.write(key.clone(), value.clone());
        }
        store.commit(self.number);
        Ok(())
    }

    async fn roll_back(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_over {
            self.server.store.lock().roll_back(self.number);
        }
    }
}
