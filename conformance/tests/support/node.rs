//! The harness of nodes on the memory log and the memory transport.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use invalidation_conformance::{
    BusinessTransaction, Disruption, LogSpace, Member, NodeHarness, NodeSpace, Stranger,
    TransportCluster, Unable,
};
use invalidation_core::{
    CacheInvalidationTransport as _, Entry, Error, JoinsLog, MemoryHub, MemoryLog, MemorySnapshot,
    MemoryTransaction, MemoryTransport, NodeId, Position, SharedLog,
};
use parking_lot::Mutex;

/// Makes memory logs and clusters on memory hubs.
#[derive(Debug)]
pub(crate) struct MemoryNodes;

#[async_trait]
impl NodeHarness for MemoryNodes {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable> {
        Ok(NodeSpace {
            log: Box::new(Log::default()),
            cluster: Box::new(Cluster::of(nodes)),
        })
    }
}

type Rows = Arc<Mutex<HashMap<String, String>>>;

/// A memory log, and a table whose writes commit with its entries.
#[derive(Default)]
struct Log {
    log: MemoryLog,
    rows: Rows,
    snapshot: Mutex<Option<MemorySnapshot>>,
}

#[async_trait]
impl LogSpace for Log {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(self.log.connect()))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        Ok(Box::new(Transaction {
            log: self.log.clone(),
            inner: self.log.begin(),
            rows: Arc::clone(&self.rows),
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        Ok(self.rows.lock().get(key).cloned())
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        self.log.faults().inject_undecodable(None);
        Ok(())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        let faults = self.log.faults();
        match disruption {
            Disruption::Snapshot => *self.snapshot.lock() = Some(faults.snapshot()),
            Disruption::Restore => {
                let snapshot = self.snapshot.lock();
                faults.restore(snapshot.as_ref().expect("there is a snapshot"));
            }
            Disruption::Recreate => faults.recreate(),
            other => {
                let why = format!("a log in memory has nothing to {other:?}");
                return Err(Unable::because(why));
            }
        }
        Ok(())
    }
}

struct Transaction {
    log: MemoryLog,
    inner: MemoryTransaction,
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

/// Transports on one hub.
pub(crate) struct Cluster {
    members: Vec<Member>,
}

impl Cluster {
    pub(crate) fn of(nodes: usize) -> Self {
        let hub = MemoryHub::new();
        let member = |_| {
            let (id, transport) = (NodeId::random(), MemoryTransport::new(&hub));
            transport.bind(id);
            Member {
                id,
                transport: Arc::new(transport),
            }
        };
        Self {
            members: (0..nodes).map(member).collect(),
        }
    }
}

#[async_trait]
impl TransportCluster for Cluster {
    fn members(&self) -> &[Member] {
        &self.members
    }

    async fn stranger(&self, _stranger: Stranger) -> Result<Member, Unable> {
        Err(Unable::because("the node suite asks for no strangers"))
    }
}
