//! Whether all came to read what was written last.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{machine::Machine, under_test::Freshness},
    checker::Awaited,
    run::{History, NODES},
    schedule::KEYS,
};
use crate::wait;

impl History {
    /// Waits until every cache of every node serves what was committed last, no longer than `limit`; but each is read
    /// once at least.
    pub(super) async fn awaited(&self, limit: Duration) -> Vec<Awaited> {
        let machine = Machine::watch();
        let mut all = Vec::new();
        for key in 0..KEYS {
            let version = self.newest(key);
            for at in 0..NODES {
                for freshness in Freshness::ALL {
                    let mut awaited = Awaited {
                        key,
                        at,
                        freshness,
                        version,
                        read: None,
                        seen: None,
                    };
                    self.wait_for(&mut awaited, &machine, limit).await;
                    all.push(awaited);
                }
            }
        }
        all
    }

    async fn wait_for(&self, awaited: &mut Awaited, machine: &Machine, limit: Duration) {
        let Awaited { at, freshness, .. } = *awaited;
        let (node, key) = (self.stage.places[at].node(), awaited.key.to_string());
        loop {
            let read = node.read(freshness, &key, self.loader(&key));
            awaited.read = wait::within("a read", wait::PATIENCE, read).await.ok();
            let is_new = awaited.read.is_some_and(|read| read >= awaited.version);
            // What may be served without waiting tells whether there is a lease again.
            if is_new && (freshness != Freshness::Bounded || node.holds(freshness, &key)) {
                awaited.seen = Some(machine.ran());
                return;
            }
            if machine.ran() > limit {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn newest(&self, key: usize) -> u64 {
        let committed = self.committed.lock();
        let of_key = committed.iter().filter(|write| write.key == key);
        of_key.map(|write| write.version).max().unwrap_or_default()
    }
}
