//! The store: a sharded hash table that evicts by a clock.

use std::{
    hash::{BuildHasher, Hash},
    num::NonZeroUsize,
    sync::atomic::{AtomicU8, Ordering},
    thread::available_parallelism,
};

use crossbeam_utils::CachePadded;
use equivalent::Equivalent;
use hashbrown::HashTable;
use parking_lot::RwLock;
use smallvec::SmallVec;

/// Up to this many uses of an entry are remembered.
const MOST_USES: u8 = 3;
/// How many entries an eviction looks at before it takes the least used of them.
const LOOKS: usize = 64;
/// So that two readers seldom meet at one lock.
const SHARDS_A_PROCESSOR: usize = 4;
/// A shard has room for about this many at least, or its share would depend on the luck of the hashes.
const LEAST_ENTRIES: usize = 256;

/// Entries by key, up to a total weight.
///
/// Entries lie in the table itself, and are looked at where they lie: a hit touches two cache lines and copies
/// nothing but what it returns.
///
/// What has to go is chosen by a clock with a few counts of use, and with *ghosts*, as in S3-FIFO: a hand goes
/// round the table and takes the first entry that was never used. Only where it finds none among [`LOOKS`] does
/// it take one use off each of them, so that keys that are asked for once go soon and age nothing else. Of what
/// went, a fingerprint stays behind for a while: a key that comes back counts as used.
///
/// A read locks one shard for reading, everything else one shard for writing. What runs under a lock is what
/// the caller passes, and `Eq` and `Hash` of keys; nothing is dropped under one.
#[derive(Debug)]
pub(super) struct Store<K, E, S> {
    shards: Box<[Locked<K, E>]>,
    hasher: S,
    /// What one shard may weigh.
    room: u64,
}

/// On cache lines of its own: readers of one shard do not slow those of another.
type Locked<K, E> = CachePadded<RwLock<Shard<K, E>>>;

#[derive(Debug)]
struct Shard<K, E> {
    slots: HashTable<Slot<K, E>>,
    hand: usize,
    weight: u64,
    /// Fingerprints of keys that were evicted, at a place of their hash; as many as the table has buckets.
    ghosts: Box<[u16]>,
}

#[derive(Debug)]
struct Slot<K, E> {
    key: K,
    entry: E,
    weight: u32,
    uses: AtomicU8,
}

/// What left the store, to be dropped outside of every lock.
#[must_use = "drop it where no lock is held"]
#[derive(Debug)]
pub(super) struct Removed<K, E>(SmallVec<[Slot<K, E>; 1]>);

impl<K: Eq + Hash, E, S: BuildHasher> Store<K, E, S> {
    /// A store for `room` in weight, or about `entries`.
    pub(super) fn new(room: u64, entries: usize, hasher: S) -> Self {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let most = (entries / LEAST_ENTRIES).clamp(1, SHARDS_A_PROCESSOR * processors);
        let shards = 1 << most.ilog2();
        let shard = || Shard {
            slots: HashTable::new(),
            hand: 0,
            weight: 0,
            ghosts: Box::default(),
        };
        Self {
            room: (room / shards as u64).max(1),
            shards: (0..shards)
                .map(|_| CachePadded::new(RwLock::new(shard())))
                .collect(),
            hasher,
        }
    }

    /// The hash by which a key is found; the same for each form of a key.
    #[inline(always)]
    pub(super) fn hash<Q: ?Sized + Hash>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// What `look` makes of the entry. Counts as a use of it unless that is `None`.
    #[inline(always)]
    pub(super) fn get<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        look: impl FnOnce(&E) -> Option<R>,
    ) -> Option<R>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let shard = self.shard(hash).read();
        let slot = shard.slots.find(hash, |slot| key.equivalent(&slot.key))?;
        let found = look(&slot.entry)?;
        let uses = slot.uses.load(Ordering::Relaxed);
        if uses < MOST_USES {
            // Not an addition: a count that is lost to another thread costs nothing.
            slot.uses.store(uses + 1, Ordering::Relaxed);
        }
        Some(found)
    }

    /// Puts an entry in the place of what the key had. To make room, what is not `alive` goes first, then what
    /// is used least.
    ///
    /// # Errors
    /// The entry, when it is heavier than what can be held. What the key had is gone all the same.
    pub(super) fn insert(
        &self,
        hash: u64,
        key: K,
        entry: E,
        weight: u32,
        alive: impl Fn(&E) -> bool,
    ) -> Result<Removed<K, E>, Removed<K, E>> {
        let mut slot = Slot {
            key,
            entry,
            weight,
            uses: AtomicU8::new(0),
        };
        let mut removed = Removed(SmallVec::new());
        let rehash = |slot: &Slot<K, E>| self.hasher.hash_one(&slot.key);
        let mut shard = self.shard(hash).write();
        if let Some(old) = shard.remove(hash, |old| old.key == slot.key) {
            slot.uses = old.uses.load(Ordering::Relaxed).into();
            removed.0.push(old);
        } else if shard.haunted(hash) {
            slot.uses = 1.into();
        }
        let weight = u64::from(weight);
        if weight > self.room {
            drop(shard);
            removed.0.push(slot);
            return Err(removed);
        }
        while shard.weight + weight > self.room {
            let Some(evicted) = shard.evict(&alive) else {
                break; // It is empty.
            };
            shard.remember(rehash(&evicted));
            removed.0.push(evicted);
        }
        shard.slots.insert_unique(hash, slot, rehash);
        shard.weight += weight;
        Ok(removed)
    }

    /// Takes the entry of one key out.
    pub(super) fn remove<Q>(&self, hash: u64, key: &Q) -> Removed<K, E>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let mut shard = self.shard(hash).write();
        let old = shard.remove(hash, |slot| key.equivalent(&slot.key));
        Removed(old.into_iter().collect())
    }

    /// Drops what is not `alive`, and gives back memory that is no longer needed. Locks one shard at a time.
    pub(super) fn sweep(&self, alive: impl Fn(&E) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write();
            let dead: Vec<_> = shard.slots.extract_if(|slot| !alive(&slot.entry)).collect();
            shard.weight -= dead.iter().map(|slot| u64::from(slot.weight)).sum::<u64>();
            if shard.slots.num_buckets() / 8 > shard.slots.len() {
                let twice = 2 * shard.slots.len();
                let rehash = |slot: &Slot<K, E>| self.hasher.hash_one(&slot.key);
                shard.slots.shrink_to(twice, rehash);
            }
            drop(shard);
            drop(dead);
        }
    }

    /// How many entries it holds.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().slots.len()).sum()
    }

    /// What they weigh together.
    pub(super) fn weight(&self) -> u64 {
        self.shards.iter().map(|s| s.read().weight).sum()
    }

    // A table uses the lowest and the highest bits.
    #[inline(always)]
    fn shard(&self, hash: u64) -> &RwLock<Shard<K, E>> {
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }
}

impl<K, E> Shard<K, E> {
    fn remove(&mut self, hash: u64, is: impl FnMut(&Slot<K, E>) -> bool) -> Option<Slot<K, E>> {
        let (slot, _) = self.slots.find_entry(hash, is).ok()?.remove();
        self.weight -= u64::from(slot.weight);
        Some(slot)
    }

    /// Takes out what is needed least; `None` when nothing is left.
    fn evict(&mut self, alive: impl Fn(&E) -> bool) -> Option<Slot<K, E>> {
        let mut least: Option<(usize, u8)> = None;
        let mut seen: SmallVec<[usize; LOOKS]> = SmallVec::new();
        let buckets = self.slots.num_buckets();
        for _ in 0..buckets {
            self.hand = (self.hand + 1) % buckets;
            let Some(slot) = self.slots.get_bucket(self.hand) else {
                continue;
            };
            let uses = slot.uses.load(Ordering::Relaxed);
            if uses == 0 || !alive(&slot.entry) {
                least = Some((self.hand, 0));
                break;
            }
            if least.is_none_or(|(_, least)| uses < least) {
                least = Some((self.hand, uses));
            }
            seen.push(self.hand);
            if seen.len() == LOOKS {
                break;
            }
        }
        let (bucket, uses) = least?;
        if uses > 0 {
            for bucket in seen {
                if let Some(slot) = self.slots.get_bucket_mut(bucket) {
                    *slot.uses.get_mut() -= 1;
                }
            }
        }
        let (slot, _) = self.slots.get_bucket_entry(bucket).ok()?.remove();
        self.weight -= u64::from(slot.weight);
        Some(slot)
    }

    fn remember(&mut self, hash: u64) {
        let buckets = self.slots.num_buckets();
        if self.ghosts.len() != buckets {
            self.ghosts = vec![0; buckets].into();
        }
        let (place, fingerprint) = self.ghost(hash);
        self.ghosts[place] = fingerprint;
    }

    fn haunted(&self, hash: u64) -> bool {
        let (place, fingerprint) = self.ghost(hash);
        self.ghosts.get(place) == Some(&fingerprint)
    }

    /// Where the ghost of a key is, and what it looks like: never zero.
    fn ghost(&self, hash: u64) -> (usize, u16) {
        let place = hash as usize & self.ghosts.len().wrapping_sub(1);
        (place, (hash >> 44) as u16 | 1)
    }
}
