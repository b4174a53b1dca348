//! What users' values and keys do when they are dropped happens outside of every lock: one whose drop calls the
//! cache, or the fence, does not hang.

use std::{
    cell::Cell,
    convert::Infallible,
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use super::fixture::*;
use crate::{Fence, cache::Cache};

/// Whether `work` ends; what hangs is left behind on a thread of its own.
fn ends(work: impl FnOnce() + Send + 'static) -> bool {
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    end.recv_timeout(Duration::from_secs(20)).is_ok()
}

/// A value whose drop begins a fill of key 1.
#[derive(Clone)]
struct Calling(Arc<OnceLock<Cache<Id, Calling>>>);

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get() {
            drop(cache.start_fill(&Id(1)));
        }
    }
}

fn calling(fixture: &Fixture) -> (Cache<Id, Calling>, Calling) {
    let cache: Cache<Id, Calling> = fixture
        .builder()
        .max_staleness(Duration::from_secs(1))
        .build()
        .unwrap();
    let own = Arc::new(OnceLock::new());
    own.set(cache.clone()).ok().unwrap();
    (cache, Calling(own))
}

#[test]
fn a_value_that_is_not_kept() {
    let (cache, value) = calling(&Fixture::new());
    assert!(ends(move || {
        let fill = cache.start_fill(&Id(1));
        drop_key(&cache, 1);
        assert!(!fill.complete(value));
    }));
}

#[test]
fn a_value_that_is_found_and_not_proved() {
    let fixture = Fixture::new();
    let (cache, value) = calling(&fixture);
    assert!(cache.start_fill(&Id(1)).complete(value.clone()));
    fixture.clock.advance(Duration::from_secs(3));
    assert!(ends(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let load = || async { Ok::<_, Infallible>(value) };
        let read = async {
            let read = cache.get_or_load(&Id(1), load);
            tokio::time::timeout(Duration::from_millis(100), read).await
        };
        let _ = runtime.block_on(read);
    }));
}

#[test]
fn a_value_that_is_invalidated_evicted_or_swept() {
    let fixture = Fixture::new();
    let (cache, value) = calling(&fixture);
    assert!(ends(move || {
        for key in 1..3 {
            assert!(cache.start_fill(&Id(key)).complete(value.clone()));
        }
        drop_key(&cache, 1);
        flush(&cache);
        cache.inner().sweep();
        assert_eq!(cache.stats().entries, 0);
    }));
}

/// A key whose drop calls the fence.
struct CallingKey(u64, Arc<OnceLock<Fence<CallingKey>>>);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Clone for CallingKey {
    fn clone(&self) -> Self {
        Self(self.0, Arc::clone(&self.1))
    }
}

impl PartialEq for CallingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for CallingKey {}

impl Hash for CallingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for CallingKey {
    fn drop(&mut self) {
        if let Some(fence) = self.1.get()
            && !INSIDE.replace(true)
        {
            fence.release(&CallingKey(self.0, Arc::default()));
            INSIDE.set(false);
        }
    }
}

#[test]
fn a_key_that_is_released_or_committed() {
    type Use = fn(&Fence<CallingKey>, &CallingKey);
    let uses: [Use; 3] = [
        |fence, key| assert!(fence.begin(key).commit(|| {})),
        |fence, key| {
            let ticket = fence.begin(key);
            fence.invalidate(key, || {});
            assert!(!ticket.commit(|| {}));
        },
        |fence, key| {
            fence.quarantine(key);
            fence.release(key);
        },
    ];
    for (number, using) in uses.into_iter().enumerate() {
        let own = Arc::new(OnceLock::new());
        let fence: Fence<CallingKey> = Fence::new();
        own.set(fence.clone()).ok();
        let done = ends(move || using(&fence, &CallingKey(1, own)));
        assert!(done, "use {number} hangs");
    }
}
