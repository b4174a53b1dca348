//! The fence under every order of its steps, by `loom`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at the place"
)]

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{
    Begun, Consider, FlightTable, Ticket,
    sync::{Counter, Lock, SyncTypes},
};

struct LoomSync;

impl SyncTypes for LoomSync {
    type Counter = AtomicU64;
    type Lock<T: Send> = Mutex<T>;
}

impl Counter for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn get(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn increment(&self) -> u64 {
        self.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn decrement(&self) {
        self.fetch_sub(1, Ordering::AcqRel);
    }

    fn raise(&self, to: u64) {
        self.fetch_max(to, Ordering::AcqRel);
    }
}

impl<T: Send> Lock<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock().unwrap())
    }
}

/// A database of one row, a store of one slot, and the fence between. The row holds a version.
struct World {
    row: AtomicU64,
    /// What is cached: a version, and the sequence at the start of its load.
    slot: Mutex<Option<(u64, u64)>>,
    table: FlightTable<u8, (), LoomSync>,
}

const KEY: u8 = 7;
const TAG: u64 = 5;

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            row: AtomicU64::new(1),
            slot: Mutex::new(None),
            table: FlightTable::new(1, 1),
        })
    }

    fn begin(&self, joins: bool) -> Begun<(), ()> {
        self.table.begin(
            0,
            &KEY,
            || None,
            |()| {
                if joins {
                    Consider::Join
                } else {
                    Consider::Skip
                }
            },
            || false,
            || (KEY, ()),
        )
    }

    fn read_row(&self) -> u64 {
        self.row.load(Ordering::SeqCst)
    }

    fn finish(&self, ticket: Ticket, tags: &[u64], version: u64) {
        self.table.finish(ticket, tags, |_| {
            *self.slot.lock().unwrap() = Some((version, ticket.start));
        });
    }

    fn load(&self, tags: &[u64]) {
        if let Begun::Flight(ticket) = self.begin(false) {
            let version = self.read_row();
            self.finish(ticket, tags, version);
        }
    }

    fn invalidate(&self) {
        self.table
            .invalidate(0, &KEY, || *self.slot.lock().unwrap() = None);
    }

    /// What a hit serves.
    fn hit(&self, tags: &[u64]) -> Option<u64> {
        let slot = *self.slot.lock().unwrap();
        let (version, start) = slot?;
        (start >= self.table.cleared() && self.table.tags_hold(tags, start)).then_some(version)
    }
}

/// P5, P6: an invalidation against a load in every order: once it returned, the old version is not served.
#[test]
fn p5_invalidate_against_begin_and_finish() {
    loom::model(|| {
        let world = World::new();
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[])
        });
        world.row.store(2, Ordering::SeqCst);
        world.invalidate();
        assert_ne!(world.hit(&[]), Some(1));
        loader.join().unwrap();
        assert_ne!(world.hit(&[]), Some(1));
    });
}

/// P5, P6: the same for a clear, which takes no lock.
#[test]
fn p5_clear_against_finish_and_hit() {
    loom::model(|| {
        let world = World::new();
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[])
        });
        world.row.store(2, Ordering::SeqCst);
        world.table.clear();
        assert_ne!(world.hit(&[]), Some(1));
        loader.join().unwrap();
        assert_ne!(world.hit(&[]), Some(1));
    });
}

/// P5, P6: the same for a tag, which the load names only at its end.
#[test]
fn p5_a_tag_against_finish_and_hit() {
    loom::model(|| {
        let world = World::new();
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[TAG])
        });
        world.row.store(2, Ordering::SeqCst);
        world.table.invalidate_tags([TAG]);
        assert_ne!(world.hit(&[TAG]), Some(1));
        loader.join().unwrap();
        assert_ne!(world.hit(&[TAG]), Some(1));
    });
}

/// P5: for a store that cannot compare at its hits, the emptying itself must not be overtaken.
#[test]
fn p5_clear_with_against_finish_in_a_store_that_cannot_compare() {
    loom::model(|| {
        let world = World::new();
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[])
        });
        world.row.store(2, Ordering::SeqCst);
        world
            .table
            .clear_with(|| *world.slot.lock().unwrap() = None);
        let version = |world: &World| world.slot.lock().unwrap().map(|(version, _)| version);
        assert_ne!(version(&world), Some(1));
        loader.join().unwrap();
        assert_ne!(version(&world), Some(1));
    });
}

/// P5: two loads of one key and an invalidation: whichever ends last, the old version does not stay.
#[test]
fn p5_two_loaders_against_an_invalidation() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new();
        let loaders = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.load(&[]))
        });
        world.row.store(2, Ordering::SeqCst);
        world.invalidate();
        for loader in loaders {
            loader.join().unwrap();
        }
        assert_ne!(world.hit(&[]), Some(1));
    });
}

/// P7: who comes after an invalidation never joins a load that began before it, and one flight is led at a time.
#[test]
fn p7_join_against_an_invalidation() {
    loom::model(|| {
        let world = World::new();
        let leader = thread::spawn({
            let world = Arc::clone(&world);
            move || match world.begin(true) {
                Begun::Flight(ticket) => Some((ticket, world.read_row())),
                _ => None,
            }
        });
        world.row.store(2, Ordering::SeqCst);
        world.invalidate();
        // After the invalidation returned: a load that is joined now has read version 2.
        let joined = matches!(world.begin(true), Begun::Joined(()));
        let led = leader.join().unwrap();
        if joined {
            assert_eq!(led.map(|(_, version)| version), Some(2));
        }
    });
}

/// P5: what was loaded while a transaction was open is not kept, even when it ends after the release.
#[test]
fn p5_a_whole_quarantine_against_a_load() {
    loom::model(|| {
        let world = World::new();
        world.table.quarantine_all();
        // Uncommitted, and rolled back later.
        world.row.store(3, Ordering::SeqCst);
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[])
        });
        world.row.store(1, Ordering::SeqCst);
        world.table.clear();
        world.table.release_all();
        loader.join().unwrap();
        assert_ne!(world.hit(&[]), Some(3));
    });
}

/// P5: a load that begins while everything is being quarantined counts as begun before, or is kept to itself.
#[test]
fn p5_a_load_that_begins_while_everything_is_quarantined() {
    loom::model(|| {
        let world = World::new();
        let loader = thread::spawn({
            let world = Arc::clone(&world);
            move || world.load(&[])
        });
        world.table.quarantine_all();
        // Uncommitted from here on.
        world.row.store(3, Ordering::SeqCst);
        loader.join().unwrap();
        assert_ne!(world.hit(&[]), Some(3));
    });
}
