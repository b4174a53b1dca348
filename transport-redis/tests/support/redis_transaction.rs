//! Business data in the log's own Redis: what is written goes with the entries in one script.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use invalidation_conformance::BusinessTransaction;
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position};
use invalidation_transport_redis::{RedisLog, RedisWrite};
use redis::RedisError;

use super::connect;

/// Behind the business keys and their values stand the log's own.
const WRITE: &str = "for at, key in ipairs(KEYS) do
  if string.sub(key, 1, 9) == 'business:' then redis.call('SET', key, ARGV[at]) end
end";

/// Nothing is sent before it commits.
pub(super) struct Transaction {
    to: SocketAddr,
    log: Arc<RedisLog>,
    cluster: String,
    write: RedisWrite,
}

impl Transaction {
    pub(super) fn new(to: SocketAddr, log: Arc<RedisLog>, cluster: &str) -> Self {
        Self {
            to,
            log,
            cluster: cluster.to_owned(),
            write: RedisWrite::new(WRITE),
        }
    }

    /// Where a row is.
    pub(super) fn row(cluster: &str, key: &str) -> String {
        format!("business:{{{cluster}}}:{key}")
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let key = Self::row(&self.cluster, key);
        self.write = self.write.clone().key(key).argument(value);
        Ok(())
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.write.append_in(&self.log, entries).await
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let failed = |e: RedisError| Error::new(ErrorKind::Other, "redis", "commit", e.to_string());
        let mut connection = connect(self.to).await.map_err(failed)?;
        self.write.run(&mut connection).await.map_err(failed)
    }

    async fn roll_back(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
