//! The reading of rings against a model: whatever happens to the store, nobody who was told that he has read everything has
//! missed anything.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

use super::{
    super::{
        meta::{Epoch, Identity, Meta},
        unread::{Before, Unread},
    },
    *,
};

const RINGS: u32 = 3;
const CAPACITY: usize = 4;

const SIZE: Size = Size {
    entries: 1_000,
    bytes: 1 << 20,
};

/// A store with a log in it.
#[derive(Debug, Clone)]
struct Store {
    revision: i64,
    meta: Meta,
    meta_revision: i64,
    capacity: usize,
    /// Value and `mod_revision`.
    rings: BTreeMap<u32, (Bytes, i64)>,
    newest: Place,
    version: i64,
    /// The nonces of all entries that were ever committed in this past.
    committed: BTreeSet<u64>,
}

impl Store {
    fn fresh() -> Self {
        let ring = Bytes::from(Ring::fresh(7));
        Self {
            revision: 10,
            meta: Meta::random(RINGS, 1),
            meta_revision: 10,
            capacity: CAPACITY,
            rings: (0..RINGS).map(|at| (at, (ring.clone(), 10))).collect(),
            newest: Place {
                revision: 10,
                id: 7,
            },
            version: 1,
            committed: BTreeSet::new(),
        }
    }

    fn known(&self) -> Known {
        Known {
            identity: Identity {
                cluster: 1,
                epoch: self.meta.epoch,
                created: 10,
            },
            meta: self.meta,
            meta_revision: self.meta_revision,
        }
    }

    /// Another epoch, if it still is as it was seen. Whether all are told then.
    fn renew(&mut self, seen: &Known, lost: impl IntoIterator<Item = Epoch>) -> bool {
        if self.meta_revision == seen.meta_revision {
            self.revision += 1;
            self.meta = seen.meta.renewed(lost);
            self.meta_revision = self.revision;
        }
        self.meta.follows(seen.meta.epoch)
    }

    fn append(&mut self, random: &mut impl Rng, at: u32, entries: usize) -> Seen {
        let id = random.random();
        let stored: Vec<_> = (0..entries)
            .map(|_| {
                // Of no other past either.
                let nonce = random.random();
                self.committed.insert(nonce);
                entry::encode(&Entry {
                    nonce: Nonce(nonce),
                    invalidation: Invalidation::Cache {
                        cache: CacheName::new("users").unwrap(),
                        scope: Scope::All,
                    },
                })
            })
            .collect();
        let held = self.rings.get(&at);
        let ring = held.map_or(Ring::behind(self.newest), |(value, revision)| {
            Ring::read(value.clone(), *revision).unwrap()
        });
        self.revision += 1;
        let pushed = ring.pushed(id, &stored, self.capacity);
        self.rings.insert(at, (pushed.into(), self.revision));
        self.newest = Place {
            revision: self.revision,
            id,
        };
        self.version += 1;
        Seen {
            identity: self.known().identity,
            witness: Witness {
                place: self.newest,
                ring: at,
            },
        }
    }

    /// As a reader is answered who asks for what was written at this revision or since.
    fn view(&self, since: i64) -> View {
        let written = self.rings.iter().filter(|(_, (_, at))| *at >= since);
        View {
            known: self.known(),
            newest: self.newest,
            version: self.version,
            rings: written
                .map(|(number, (value, at))| (*number, Ring::read(value.clone(), *at).unwrap()))
                .collect(),
        }
    }
}

/// A node: what it has applied, and how far it has read.
struct Reader {
    mark: Mark,
    applied: BTreeSet<u64>,
    unread: Unread,
    /// What it found to be lost, and in which log, before it told.
    lost: Option<(Known, Before)>,
    size: Size,
    gaps: usize,
    /// A page came that was not the last.
    is_behind: bool,
}

impl Reader {
    fn cold(store: &Store, size: Size) -> Self {
        Self {
            mark: store.view(0).head(),
            applied: store.committed.clone(),
            unread: Unread::default(),
            lost: None,
            size,
            gaps: 0,
            is_behind: false,
        }
    }

    fn append(&mut self, random: &mut impl Rng, store: &mut Store) {
        let at = random.random_range(0..RINGS);
        self.unread.acknowledged(store.append(random, at, 1));
    }

    /// One poll, or the first half of one that tells others. When it says that it is complete, nothing may be missing.
    fn poll(&mut self, store: &mut Store) {
        self.is_behind = false;
        let unread = self.unread.before();
        if let Some((known, unread)) = self.lost.take() {
            let lost = unread.appends.iter().map(|append| append.identity.epoch);
            if !store.renew(&known, lost.chain([self.mark.identity.epoch])) {
                self.is_behind = true;
                return;
            }
            self.flush(store, &unread);
        } else if !self.is_idle(store) {
            let view = store.view(self.mark.witness.place.revision);
            let found = view.read(&self.mark, self.size);
            let reason = found.as_ref().err().copied();
            if view.may_have_lost(&self.mark, reason, &unread.appends)
                && (store.view(0)).has_lost(&self.mark, reason, &unread.appends)
            {
                self.lost = Some((view.known, unread));
                self.is_behind = true;
                return;
            }
            match found {
                Ok(cut) => {
                    self.unread.passed(&unread, &cut.next);
                    self.mark = cut.next;
                    self.is_behind = !cut.is_complete;
                    for logged in cut.entries {
                        let Payload::Entry(entry) = logged.payload else {
                            panic!("{logged:?}");
                        };
                        let is_new = self.applied.insert(entry.nonce.0);
                        assert!(is_new, "P1: an entry was read twice");
                    }
                    if self.is_behind {
                        return;
                    }
                }
                Err(_) => self.flush(store, &unread),
            }
        }
        let missed = store.committed.difference(&self.applied).count();
        assert_eq!(missed, 0, "P1: complete, and entries were missed");
    }

    /// A gap.
    fn flush(&mut self, store: &Store, unread: &Before) {
        self.unread.flushed(unread);
        self.mark = store.view(0).head();
        self.applied.extend(&store.committed);
        self.gaps += 1;
    }

    /// As the conditions of a read see it.
    fn is_idle(&self, store: &Store) -> bool {
        let witness = self.mark.witness;
        let held = store.rings.get(&witness.ring);
        self.mark.passed == Passed::Whole
            && self.unread.before().appends.is_empty()
            && self.mark.identity == store.known().identity
            && self.mark.at == store.newest
            && self.mark.version == store.version
            && (witness == Witness::NONE
                || held.is_some_and(|(_, at)| *at >= witness.place.revision))
    }

    fn catch_up(&mut self, store: &mut Store) {
        self.poll(store);
        while self.is_behind {
            self.poll(store);
        }
    }
}

fn run(seed: u64, steps: usize, disaster: u32) -> usize {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut store = Store::fresh();
    let mut is_deleted = false;
    let mut backups = vec![store.clone()];
    let mut readers: Vec<_> = (0..3)
        .map(|at| {
            let entries = [1, 2, 1_000][at];
            Reader::cold(&store, Size { entries, ..SIZE })
        })
        .collect();
    for _ in 0..steps {
        match random.random_range(0..100) {
            0..40 => {
                let (at, entries) = (random.random_range(0..RINGS), random.random_range(1..3));
                let _others = store.append(&mut random, at, entries);
            }
            40..45 => {
                let _others = store.append(&mut random, 0, CAPACITY + 3);
            }
            45..55 => store.revision += random.random_range(1..6),
            55..90 => {
                let at = random.random_range(0..readers.len());
                readers[at].poll(&mut store);
            }
            _ if random.random_range(0..100) >= disaster => {}
            90..94 => {
                let at = random.random_range(0..backups.len());
                backups[at] = store.clone();
                backups.truncate(3);
                backups.push(store.clone());
            }
            94..97 if !seed.is_multiple_of(2) => {
                store = backups[random.random_range(0..backups.len())].clone()
            }
            // Often where nothing is restored, and once where it is: what was deleted by hand in two pasts, and is as much in
            // both, looks the same.
            _ if seed.is_multiple_of(2) || !is_deleted => {
                let at = random.random_range(0..RINGS);
                store.rings.remove(&at);
                is_deleted = true;
            }
            _ => {}
        }
    }
    for reader in &mut readers {
        reader.catch_up(&mut store);
    }
    readers.iter().map(|reader| reader.gaps).sum()
}

/// P1, P10, P13: rings that overflow, states that are restored and grow beyond what was read, rings that are deleted and made
/// anew, pages of every size, at random.
#[test]
fn p1_nothing_is_missed_in_silence() {
    let mut gaps = 0;
    for seed in 0..1_000 {
        gaps += run(seed, 80, 100);
    }
    assert!(gaps > 300, "the model's disasters do something: {gaps}");
}

/// What befalls nodes that read and write while older states are restored, again and again. How often the log was renewed.
fn restores(seed: u64) -> usize {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut store = Store {
        // What a ring forgets hides what was lost.
        capacity: 1_000,
        ..Store::fresh()
    };
    let mut ever = BTreeSet::new();
    let mut epochs = BTreeSet::new();
    // All of the past that is there now.
    let mut backups = vec![store.clone()];
    let mut nodes: Vec<_> = [1, 2, 1_000]
        .map(|entries| Reader::cold(&store, Size { entries, ..SIZE }))
        .into();
    let poll = |node: &mut Reader, store: &mut Store, ever: &BTreeSet<u64>| {
        let gaps = node.gaps;
        node.poll(store);
        if node.gaps > gaps {
            node.applied.extend(ever);
        }
        node.gaps > gaps
    };
    // Answers come late, and in any order.
    let mut on_their_way = Vec::new();
    for step in 0..=60 {
        while !on_their_way.is_empty() && (step == 60 || random.random_range(0..3) == 0) {
            let which = random.random_range(0..on_their_way.len());
            let (at, append): (usize, Seen) = on_their_way.swap_remove(which);
            nodes[at].unread.acknowledged(append);
        }
        if step == 60 {
            break;
        }
        let at = random.random_range(0..nodes.len());
        match random.random_range(0..100) {
            0..30 => {
                let ring = random.random_range(0..RINGS);
                on_their_way.push((at, store.append(&mut random, ring, 1)));
                ever.extend(&store.committed);
            }
            30..40 => store.revision += random.random_range(1..6),
            40..75 => drop(poll(&mut nodes[at], &mut store, &ever)),
            75..85 => backups.push(store.clone()),
            _ => {
                backups.truncate(random.random_range(1..=backups.len()));
                store = backups[backups.len() - 1].clone();
            }
        }
        epochs.insert(store.meta.epoch);
    }
    let mut rounds = 0;
    loop {
        let mut is_still = true;
        for node in &mut nodes {
            let has_gap = poll(node, &mut store, &ever);
            is_still &= !has_gap && !node.is_behind;
        }
        epochs.insert(store.meta.epoch);
        if is_still {
            break;
        }
        rounds += 1;
        assert!(rounds < 200, "P20: seed {seed}: gaps without end");
    }
    let gaps: Vec<_> = nodes.iter().map(|node| node.gaps).collect();
    for node in &mut nodes {
        let missed = ever.difference(&node.applied).count();
        assert_eq!(
            missed, 0,
            "P1: seed {seed}: lost in a restore, and not told"
        );
        node.append(&mut random, &mut store);
    }
    for (node, gaps) in nodes.iter_mut().zip(gaps) {
        node.catch_up(&mut store);
        assert_eq!(
            node.gaps, gaps,
            "P20: seed {seed}: a gap where nothing was lost"
        );
    }
    epochs.len() - 1
}

/// P1, P10: what any node had read or appended, and a restore took back, is told to every node, also to those that had not
/// come as far as what was restored; and then it is over.
#[test]
fn p10_what_one_knows_to_be_lost_is_told_to_all() {
    let renewed: usize = (0..1_000).map(restores).sum();
    assert!(
        renewed > 500,
        "the model's restores take something back: {renewed}"
    );
}

/// P20: nodes that find the same loss at the same moment settle on one new epoch.
#[test]
fn p20_a_loss_is_told_once() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    let mut behind = Reader::cold(&store, SIZE);
    store.append(&mut random, 0, 1);
    let backup = store.clone();
    store.append(&mut random, 1, 1);
    let mut ahead = [0, 1, 2].map(|_| Reader::cold(&store, SIZE));
    store = backup;
    // All of them see it before the first one tells.
    for _ in 0..2 {
        for reader in &mut ahead {
            reader.poll(&mut store);
        }
    }
    let told = store.meta;
    for reader in ahead.iter_mut().chain([&mut behind]) {
        for _ in 0..3 {
            reader.catch_up(&mut store);
        }
        assert_eq!(reader.gaps, 1);
    }
    assert_eq!(store.meta, told);
}

/// P20: nodes that each have an epoch of a past of its own, none of which the log knows, settle on one.
#[test]
fn p20_many_lost_pasts_come_to_an_end() {
    let store = Store::fresh();
    let mut nodes: Vec<_> = (0..12)
        .map(|_| {
            let lost = Store {
                meta: Meta::random(RINGS, 1),
                ..store.clone()
            };
            Reader::cold(&lost, SIZE)
        })
        .collect();
    let mut store = store;
    for _ in 0..4 {
        for node in &mut nodes {
            node.catch_up(&mut store);
        }
    }
    let told = store.meta.epoch;
    for node in &mut nodes {
        node.catch_up(&mut store);
        assert!(node.gaps <= 2, "{} gaps", node.gaps);
    }
    assert_eq!(store.meta.epoch, told);
}

/// P20: a reader that keeps up has no gap where nothing is lost.
#[test]
fn p20_who_keeps_up_has_no_gap() {
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut store = Store::fresh();
        let mut reader = Reader::cold(&store, SIZE);
        for _ in 0..200 {
            let (at, entries) = (random.random_range(0..RINGS), random.random_range(1..6));
            store.append(&mut random, at, entries);
            store.revision += random.random_range(0..3);
            reader.catch_up(&mut store);
        }
        assert_eq!(reader.gaps, 0, "seed {seed}");
    }
}

/// P10: what a ring forgot is not taken for lost, and what is in no ring is, in whatever place of it something else stands.
#[test]
fn p10_forgotten_is_not_lost() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    let before = store.clone();
    let append = store.append(&mut random, 0, 1);
    for _ in 0..CAPACITY + 1 {
        assert_eq!(store.view(0).fate(&append), Fate::Kept);
        store.append(&mut random, 0, 1);
    }
    assert_eq!(store.view(0).fate(&append), Fate::Kept);
    store.rings.remove(&0);
    assert_eq!(store.view(0).fate(&append), Fate::Absent);
    let mut restored = before;
    let mut also_deleted = restored.clone();
    also_deleted.rings.remove(&0);
    assert_eq!(also_deleted.view(0).fate(&append), Fate::Lost);
    for _ in 0..CAPACITY {
        assert_eq!(restored.view(0).fate(&append), Fate::Lost);
        restored.append(&mut random, 0, 1);
    }
    let other = restored.meta.renewed([]);
    let renewed = Store {
        meta: other,
        ..restored.clone()
    };
    assert_eq!(renewed.view(0).fate(&append), Fate::Kept, "that tells all");
    restored.meta = Meta::random(RINGS, 1);
    assert_eq!(restored.view(0).fate(&append), Fate::Lost);
}

/// P1, P10: an append to a ring that is not there may have made it, in a past that was lost, also where its reader counts as
/// many appends as there are.
#[test]
fn p10_what_a_ring_that_is_gone_held_is_told() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    store.rings.remove(&0);
    let mut reader = Reader::cold(&store, SIZE);
    let restored = store.clone();
    reader.unread.acknowledged(store.append(&mut random, 0, 1));
    store = restored;
    let mut behind = Reader::cold(&store, SIZE);
    for _ in 0..2 {
        store.append(&mut random, 1, 1);
    }
    behind.catch_up(&mut store);
    reader.catch_up(&mut store);
    behind.catch_up(&mut store);
    assert_eq!((reader.gaps, behind.gaps), (1, 1));
    for _ in 0..3 {
        store.append(&mut random, 0, 1);
        reader.catch_up(&mut store);
        behind.catch_up(&mut store);
    }
    assert_eq!((reader.gaps, behind.gaps), (1, 1), "P20");
}

/// P10: the log was made before the reader's: that was put in its place by hand, and taken back by a restore, of which those
/// that slept meanwhile have no other sign.
#[test]
fn p10_a_log_that_is_older_than_what_was_read_is_told() {
    let store = Store::fresh();
    let view = store.view(0);
    let mark = view.head();
    let made = |created| Seen {
        identity: Identity {
            created,
            ..mark.identity
        },
        witness: mark.witness,
    };
    let created = mark.identity.created;
    assert_eq!(view.fate(&made(created + 1)), Fate::Lost);
    assert_eq!(view.fate(&made(created)), Fate::Kept);
    assert_eq!(view.fate(&made(created - 1)), Fate::Kept, "that tells all");
}

/// P13: what a ring forgot is told as purged, and what somebody deleted as lost.
#[test]
fn p13_gaps_are_named() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    let empty = store.clone();
    store.append(&mut random, 1, 1);
    let mark = store.view(0).head();
    let reason = |store: &Store| {
        let view = store.view(mark.witness.place.revision);
        view.read(&mark, SIZE).unwrap_err()
    };
    let mut overflown = store.clone();
    for _ in 0..=CAPACITY {
        overflown.append(&mut random, 0, 1);
    }
    assert_eq!(reason(&overflown), GapReason::Purged);
    let mut deleted = store.clone();
    deleted.append(&mut random, 0, 1);
    deleted.rings.remove(&0);
    assert_eq!(reason(&deleted), GapReason::EntriesLost);
    deleted.append(&mut random, 2, 1);
    assert_eq!(reason(&deleted), GapReason::EntriesLost);
    let mut restored = empty;
    for _ in 0..3 {
        restored.append(&mut random, 2, 1);
    }
    assert_eq!(reason(&restored), GapReason::WitnessLost);
}

/// P10: one who starts behind a ring that was deleted, which held the newest append, reads on.
#[test]
fn p10_a_witness_that_was_deleted_is_replaced() {
    let mut random = SmallRng::seed_from_u64(1);
    for others in [0, 1, 5] {
        let mut store = Store::fresh();
        for at in [1, 0] {
            store.append(&mut random, at, 1);
        }
        store.rings.remove(&0);
        let mut cold = Reader::cold(&store, SIZE);
        assert_ne!(cold.mark.witness.place, cold.mark.at);
        for number in 0..others {
            store.append(&mut random, 1 + number % 2, 1);
        }
        cold.catch_up(&mut store);
        assert_eq!(cold.gaps, 0, "{others}");
    }
}

/// One who started behind a newest append that was deleted by hand, in a past of which that was then taken back.
fn behind_what_was_deleted() -> (SmallRng, Store, Reader) {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    store.append(&mut random, 1, 1);
    let backup = store.clone();
    store.append(&mut random, 2, 1);
    store.rings.remove(&2);
    let reader = Reader::cold(&store, SIZE);
    (random, backup, reader)
}

/// P10: as many appends as were lost, at the same revisions, are told from them.
#[test]
fn p10_appends_in_place_of_others_are_told() {
    let (mut random, mut store, mut reader) = behind_what_was_deleted();
    store.append(&mut random, 0, 1);
    assert_eq!(store.newest.revision, reader.mark.at.revision);
    store.append(&mut random, 0, 1);
    reader.catch_up(&mut store);
    assert_eq!(reader.gaps, 1);
}

/// P13: and so are as many that are there, where one more was forgotten.
#[test]
fn p13_what_was_forgotten_is_not_made_up_for() {
    let (mut random, mut store, mut reader) = behind_what_was_deleted();
    store.revision += 5;
    for _ in 0..=CAPACITY {
        store.append(&mut random, 0, 1);
    }
    reader.catch_up(&mut store);
    assert_eq!(reader.gaps, 1);
}

/// P10: a ring that somebody put back as it was looks newer, and does not stand for the append of another that is gone.
#[test]
fn p10_what_was_put_back_stands_for_nothing_else() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut store = Store::fresh();
    store.append(&mut random, 0, 1);
    store.append(&mut random, 2, 1);
    let reader = Reader::cold(&store, SIZE);
    store.revision += 1;
    store.rings.get_mut(&0).unwrap().1 = store.revision;
    store.append(&mut random, 1, 1);
    store.rings.remove(&1);
    let view = store.view(reader.mark.witness.place.revision);
    let read = view.read(&reader.mark, SIZE);
    assert_eq!(read.unwrap_err(), GapReason::EntriesLost);
}
