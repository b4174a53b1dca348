//! The store alone: what it holds, what it evicts, and what it drops where.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use proptest::prelude::*;

use crate::cache::store::Store;

type Numbers = Store<u64, u64, FixedState>;

fn store(room: u64) -> Numbers {
    Store::new(room, room as usize, FixedState::with_seed(7))
}

fn get(store: &Numbers, key: u64) -> Option<u64> {
    store.get(store.hash(&key), &key, |value| Some(*value))
}

fn put(store: &Numbers, key: u64, value: u64) {
    let removed = store.insert(store.hash(&key), key, value, 1, |_| true);
    drop(removed.expect("there is room"));
}

/// A key has one entry, the last, and its use is remembered; a removed one has none.
#[test]
fn a_key_has_its_last_entry() {
    let store = store(10);
    put(&store, 1, 10);
    put(&store, 1, 11);
    assert_eq!(
        (get(&store, 1), store.len(), store.weight()),
        (Some(11), 1, 1)
    );
    drop(store.remove(store.hash(&1), &1));
    assert_eq!((get(&store, 1), store.len(), store.weight()), (None, 0, 0));
}

/// Keys that are asked for once displace one another, and not what is used.
#[test]
fn what_is_asked_for_once_does_not_displace_what_is_used() {
    for (room, hot) in [(100, 50), (10_000, 5_000)] {
        let store = store(room);
        for key in 0..hot {
            put(&store, key, key);
            get(&store, key);
        }
        for key in 0..20 * room {
            put(&store, 1_000_000 + key, key);
        }
        let left = (0..hot).filter(|key| get(&store, *key).is_some()).count();
        assert!(left as u64 >= hot * 9 / 10, "{left} of {hot} are left");
    }
}

/// A key that comes back soon after it was evicted counts as used.
#[test]
fn what_comes_back_counts_as_used() {
    let (room, seldom) = (1_000, 500);
    let store = store(room);
    for round in 0..3 {
        for key in 0..seldom {
            put(&store, key, key);
        }
        // The first time they are gone by now.
        for key in 0..room {
            put(&store, 1_000_000 * (round + 1) + key, key);
        }
    }
    let left = (0..seldom)
        .filter(|key| get(&store, *key).is_some())
        .count();
    assert!(
        left as u64 >= seldom * 6 / 10,
        "{left} of {seldom} are left"
    );
}

/// What is used in turns wears off: in the end a new set of hot keys takes the place of the old one.
#[test]
fn a_new_hot_set_displaces_the_old_one() {
    let store = store(1_000);
    for set in 0..3 {
        let keys = (set * 10_000)..(set * 10_000 + 800);
        for _ in 0..30 {
            for key in keys.clone() {
                if get(&store, key).is_none() {
                    put(&store, key, key);
                }
            }
        }
        let left = keys
            .clone()
            .filter(|key| get(&store, *key).is_some())
            .count();
        assert!(left >= 720, "{left} of 800 of set {set} are there");
    }
}

/// What is no longer served makes room wherever it is met, however often it was used.
#[test]
fn what_is_dead_goes_first() {
    let store = store(200);
    for key in 0..200 {
        put(&store, key, key % 2);
        for _ in 0..3 {
            get(&store, key);
        }
    }
    let alive = |value: &u64| *value == 0;
    for key in 1_000..1_050 {
        let removed = store.insert(store.hash(&key), key, 0, 1, alive);
        drop(removed.expect("there is room"));
    }
    assert!((0..200).step_by(2).all(|key| get(&store, key).is_some()));
}

/// A sweep drops what is dead and nothing else, and what it held can be held again.
#[test]
fn a_sweep_drops_what_is_dead() {
    let store = store(100_000);
    for key in 0..50_000 {
        put(&store, key, key);
    }
    store.sweep(|value| value % 1_000 == 0);
    assert_eq!((store.len(), store.weight()), (50, 50));
    assert!((0..50_000).all(|key| get(&store, key).is_some() == (key % 1_000 == 0)));
    for key in 0..50_000 {
        put(&store, key, key);
    }
    assert_eq!(store.len(), 50_000);
}

/// A sweep gives back the memory of what it dropped, also that of the ghosts.
#[test]
fn a_sweep_gives_memory_back() {
    let store = store(100_000);
    for key in 0..200_000 {
        put(&store, key, key);
    }
    store.sweep(|_| false);
    let (buckets, ghosts) = store.buckets();
    assert!(
        buckets + ghosts < 1_000,
        "{buckets} buckets, {ghosts} ghosts"
    );
}

/// A full cache in which entries come and go does not grow: with values in the table, a bucket costs as much as
/// an entry.
#[test]
fn turnover_does_not_grow_the_table() {
    for room in [1_200, 1_250, 1_500, 1_700, 1_792, 1_793, 2_500, 3_000] {
        let store = Numbers::new(room, 1, FixedState::with_seed(7));
        for key in 0..100 * room {
            put(&store, key, key);
        }
        let (buckets, _) = store.buckets();
        assert!(
            buckets as u64 * 10 < room * 27,
            "{buckets} buckets for {room}"
        );
    }
}

/// A heavy entry that displaces many light ones leaves a small table: the hand has not far to go after.
#[test]
fn a_heavy_entry_leaves_a_small_table() {
    let room = 100_000;
    let store = Numbers::new(room, 1, FixedState::with_seed(7));
    for key in 0..room {
        put(&store, key, key);
    }
    let removed = store.insert(store.hash(&0), 0, 0, room as u32, |_| true);
    drop(removed.expect("there is room"));
    assert_eq!((store.len(), store.weight()), (1, room));
    assert!(store.buckets().0 < 100, "{:?}", store.buckets());
}

/// Nearly all of the room is used and never more, whatever the keys look like.
#[test]
fn the_room_is_used_whatever_the_keys() {
    for room in [1_u64, 2, 256, 257, 512, 1_000, 10_000] {
        for shift in [0, 1, 7, 8, 16, 24, 31, 32, 40, 47] {
            let store = store(room);
            for key in 0..3 * room {
                put(&store, key << shift, key);
            }
            let held = store.len() as u64;
            assert!(
                held <= room && held * 100 >= room * 97,
                "{held} of {room} << {shift}"
            );
        }
    }
}

/// A value whose drop comes back to the store.
struct Returning(Arc<Store<u64, Returning, FixedState>>);

impl Drop for Returning {
    fn drop(&mut self) {
        drop(self.0.remove(self.0.hash(&99), &99));
    }
}

/// Values are dropped where no lock is held: one whose drop calls the store does not hang.
#[test]
fn nothing_is_dropped_under_a_lock() {
    let store = Arc::new(Store::new(4, 4, FixedState::with_seed(7)));
    let value = || Returning(Arc::clone(&store));
    let put = |key: u64, weight| {
        drop(store.insert(store.hash(&key), key, value(), weight, |_| true));
    };
    put(1, 1);
    put(1, 1); // replaces
    put(1, 9); // is refused
    (0..20).for_each(|key| put(key, 1)); // evicts
    store.sweep(|_| false);
    assert_eq!(store.len(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64, u32),
    Get(u64),
    Remove(u64),
    Sweep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..40_u64;
    prop_oneof![
        4 => (key.clone(), any::<u64>(), 1..12_u32).prop_map(|(k, v, w)| Step::Put(k, v, w)),
        2 => key.clone().prop_map(Step::Get),
        1 => key.prop_map(Step::Remove),
        1 => (1..5_u64).prop_map(Step::Sweep),
    ]
}

proptest! {
    /// Whatever is done to it: never above its room, never a value that was replaced, removed or swept, and its
    /// weight is that of what it holds.
    #[test]
    fn it_holds_a_part_of_what_a_map_would_hold(
        room in 1..60_u64,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let store = store(room);
        let mut map: HashMap<u64, (u64, u32)> = HashMap::new();
        for step in steps {
            match step {
                Step::Put(key, value, weight) => {
                    let put = store.insert(store.hash(&key), key, value, weight, |_| true);
                    prop_assert_eq!(put.is_ok(), u64::from(weight) <= room);
                    if put.is_ok() {
                        prop_assert_eq!(get(&store, key), Some(value));
                        map.insert(key, (value, weight));
                    } else {
                        map.remove(&key);
                    }
                }
                Step::Get(key) => {
                    let (found, known) = (get(&store, key), map.get(&key).map(|(value, _)| *value));
                    prop_assert!(found.is_none() || found == known, "{found:?} is not {known:?}");
                }
                Step::Remove(key) => {
                    drop(store.remove(store.hash(&key), &key));
                    map.remove(&key);
                }
                Step::Sweep(part) => {
                    store.sweep(|value| value % part == 0);
                    map.retain(|_, (value, _)| *value % part == 0);
                }
            }
            let held: Vec<_> = map.keys().filter(|key| get(&store, **key).is_some()).collect();
            prop_assert_eq!(store.len(), held.len());
            let weight: u64 = held.iter().map(|key| u64::from(map[key].1)).sum();
            prop_assert_eq!(store.weight(), weight);
            prop_assert!(weight <= room);
        }
    }
}
