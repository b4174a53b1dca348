//! The framework's own node, as a node under test.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use invalidation_core::{
    BoxError, Cache, Changes, Entry, Error, Invalidation, JoinsLog, Loaded, Node, NodeClock,
    NodeSettings, Position,
};

use super::{
    gate::GatedLog,
    under_test::{CLUSTER, Ending, Freshness, Loader, NodeUnderTest, Setup},
};
use crate::BusinessTransaction;

/// Starts a node with its three caches.
pub(crate) async fn start(setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
    let mut settings = NodeSettings::default();
    settings.poll_interval = setup.poll_interval;
    settings.read_timeout = setup.read_timeout;
    settings.outbox_items = setup.outbox_items;
    let node = Node::builder(CLUSTER)
        .shared_log(setup.log)
        .shared_transport(setup.transport)
        .clock(NodeClock::Custom(setup.clock))
        .settings(settings)
        .start()
        .await?;
    let cache = |freshness: Freshness| {
        let builder = node
            .cache::<String, u64>(freshness.cache().as_str())
            .capacity(1_000)
            .ttl(setup.ttl)
            .ttl_jitter(0.0);
        match freshness {
            Freshness::Eventual => builder,
            Freshness::Bounded => builder.max_staleness(setup.max_staleness),
            Freshness::Strict => builder.max_staleness(Duration::ZERO),
        }
        .build()
    };
    Ok(Arc::new(RealNode {
        eventual: cache(Freshness::Eventual)?,
        bounded: cache(Freshness::Bounded)?,
        strict: cache(Freshness::Strict)?,
        node,
    }))
}

struct RealNode {
    node: Node,
    eventual: Cache<String, u64>,
    bounded: Cache<String, u64>,
    strict: Cache<String, u64>,
}

impl RealNode {
    const fn cache(&self, freshness: Freshness) -> &Cache<String, u64> {
        match freshness {
            Freshness::Eventual => &self.eventual,
            Freshness::Bounded => &self.bounded,
            Freshness::Strict => &self.strict,
        }
    }

    fn changes(&self, what: Vec<Invalidation>) -> Changes {
        let add = |changes: Changes, invalidation| match invalidation {
            Invalidation::Cache { cache, scope } => changes.scope(cache, scope),
            Invalidation::Everything => changes.everything(),
        };
        what.into_iter().fold(self.node.changes(), add)
    }
}

#[async_trait]
impl NodeUnderTest for RealNode {
    async fn read(&self, freshness: Freshness, key: &str, load: Loader) -> Result<u64, BoxError> {
        let load = || async move {
            let row = load().await?;
            Ok::<_, BoxError>(Loaded::new(row.version).tags(row.tags))
        };
        Ok(self.cache(freshness).get_or_load(key, load).await?)
    }

    fn holds(&self, freshness: Freshness, key: &str) -> bool {
        self.cache(freshness).peek(key).is_some()
    }

    async fn invalidate(&self, what: Vec<Invalidation>) -> Result<(), Error> {
        self.changes(what).publish().await.map(drop)
    }

    async fn end(
        &self,
        transaction: Box<dyn BusinessTransaction>,
        what: Vec<Invalidation>,
        ending: Ending,
    ) -> Result<(), Error> {
        let mut joining = Joining(transaction);
        let pending = self
            .changes(what)
            .log_in::<GatedLog, _>(&mut joining)
            .await?;
        match ending {
            Ending::Commit => pending.commit(joining.0.commit()).await.map(drop),
            Ending::RollBack => {
                joining.0.roll_back().await?;
                pending.rolled_back();
                Ok(())
            }
            Ending::Drop => Ok(()),
        }
    }

    async fn shutdown(&self) {
        // What failed to close is the harness's, and ends with it.
        let _ = self.node.shutdown(Duration::from_secs(2)).await;
    }
}

/// A transaction of any harness, as the gated log's own.
struct Joining(Box<dyn BusinessTransaction>);

impl JoinsLog<GatedLog> for Joining {
    async fn append_in(
        &mut self,
        _log: &GatedLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        self.0.append(entries).await
    }
}
