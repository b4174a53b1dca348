//! Whether all came to read what was written last.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{
        recovery::{Found, Recovery},
        under_test::Freshness,
    },
    checker::Awaited,
    run::History,
    schedule::KEYS,
};
use crate::wait;

impl History {
    /// Waits until every cache of every node serves what was committed last, no longer than it may take; but each is
    /// read once at least.
    pub(super) async fn awaited(&self) -> Vec<Awaited> {
        let places = self.stage.places.iter();
        let recoveries: Vec<_> = places.map(|place| Recovery::of(place)).collect();
        let mut all = Vec::new();
        for key in 0..KEYS {
            let version = self.newest(key);
            for (at, recovery) in recoveries.iter().enumerate() {
                for freshness in Freshness::ALL {
                    let mut awaited = Awaited {
                        key,
                        at,
                        freshness,
                        version,
                        read: None,
                        seen: None,
                        why: None,
                    };
                    self.wait_for(&mut awaited, recovery).await;
                    all.push(awaited);
                }
            }
        }
        all
    }

    async fn wait_for(&self, awaited: &mut Awaited, recovery: &Recovery<'_>) {
        let Awaited { at, freshness, .. } = *awaited;
        let (node, key) = (self.stage.places[at].node(), awaited.key.to_string());
        let waiting = recovery.wait();
        loop {
            let applied = waiting.applied();
            let read = node.read(freshness, &key, self.loader(&key));
            awaited.read = wait::within("a read", wait::PATIENCE, read).await.ok();
            let found = match awaited.read {
                None => Found::Nothing,
                Some(read) if read < awaited.version => Found::Old,
                // What may be served without waiting tells whether there is a lease again.
                Some(_) if freshness != Freshness::Bounded || node.holds(freshness, &key) => {
                    awaited.seen = Some(recovery.lasts());
                    return;
                }
                Some(_) => Found::NoLease,
            };
            awaited.why = waiting.breach(applied, found);
            if awaited.why.is_some() {
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
