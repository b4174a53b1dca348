//! Business data in the log's own cluster.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::{Client, TxnOp};
use invalidation_conformance::BusinessTransaction;
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position};
use invalidation_transport_etcd::{EtcdLog, EtcdTransaction, NotCommitted};

pub(crate) struct Transaction {
    client: Client,
    log: Arc<EtcdLog>,
    cluster: String,
    transaction: EtcdTransaction,
}

impl Transaction {
    pub(crate) fn new(client: Client, log: Arc<EtcdLog>, cluster: &str) -> Self {
        Self {
            client,
            log,
            cluster: cluster.to_owned(),
            transaction: EtcdTransaction::new(),
        }
    }

    /// Where a row is.
    pub(crate) fn row(cluster: &str, key: &str) -> String {
        format!("/business/{cluster}/{key}")
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let write = TxnOp::put(Self::row(&self.cluster, key), value, None);
        self.transaction = std::mem::take(&mut self.transaction).and_then([write]);
        Ok(())
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.transaction.append_in(&self.log, entries).await
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        match self.transaction.commit(&self.client).await {
            Ok(_) => Ok(()),
            Err(NotCommitted::Failed(error)) => Err(error),
            Err(other) => Err(Error::new(
                ErrorKind::Other,
                "etcd",
                "commit",
                other.to_string(),
            )),
        }
    }

    async fn roll_back(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
