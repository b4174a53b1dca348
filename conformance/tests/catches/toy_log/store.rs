//! The toy's database: rows whose ids are given before their transactions commit, as a sequence does.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use invalidation_core::{CacheName, Entry, LogIdentity, Nonce, Payload, Position};

use super::{mistake::Mistake, reading::Place};

#[derive(Debug, Clone)]
pub(crate) struct Store {
    mistake: Option<Mistake>,
    pub(super) identity: u64,
    pub(super) next_id: u64,
    next_transaction: u64,
    pub(super) next_commit: u64,
    pub(super) reads: u64,
    pub(super) open: BTreeSet<u64>,
    /// In the order of ids.
    pub(super) rows: Vec<Row>,
    pub(super) floor: Place,
    /// How many transactions have written entries.
    writes: u64,
    /// Which series of pages is read, and where it ends.
    pub(super) series: (u64, u64),
    business: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) transaction: u64,
    /// Its place in the order of commits, once its transaction has committed.
    pub(super) commit: Option<u64>,
    /// After how many reads of the log it was committed.
    pub(super) committed_at: u64,
    at: Instant,
    pub(super) nonce: u64,
    pub(super) payload: Payload,
}

impl Store {
    pub(crate) fn new(mistake: Option<Mistake>) -> Self {
        Self {
            mistake,
            identity: rand::random(),
            next_id: 1,
            next_transaction: 1,
            next_commit: 1,
            reads: 0,
            open: BTreeSet::new(),
            rows: Vec::new(),
            floor: Place::default(),
            writes: 0,
            series: (0, 0),
            business: HashMap::new(),
        }
    }

    pub(super) const fn mistake(&self) -> Option<Mistake> {
        self.mistake
    }

    pub(super) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn begin(&mut self) -> u64 {
        let transaction = self.next_transaction;
        self.next_transaction += 1;
        self.open.insert(transaction);
        transaction
    }

    pub(crate) fn append(&mut self, transaction: u64, entries: &[Entry]) -> Vec<Position> {
        let payload = |entry: &Entry| Payload::Entry(entry.clone());
        let ids: Vec<_> = entries
            .iter()
            .map(|entry| {
                let known = self.rows.iter().find(|row| row.nonce == entry.nonce.0);
                match known.filter(|_| self.has(Mistake::DropsKnownNonces)) {
                    Some(known) => known.id,
                    None => self.insert(transaction, entry.nonce.0, payload(entry)),
                }
            })
            .collect();
        ids.into_iter().map(|id| self.position(id)).collect()
    }

    pub(crate) fn append_unknown(&mut self) {
        let transaction = self.begin();
        let payload = Payload::Undecodable {
            cache: self
                .has(Mistake::BlamesAnotherCache)
                .then(|| CacheName::new("sessions").expect("a good name")),
            why: "of a newer version".to_owned(),
        };
        self.insert(transaction, rand::random(), payload);
        self.commit(transaction);
    }

    fn insert(&mut self, transaction: u64, nonce: u64, payload: Payload) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.rows.push(Row {
            id,
            transaction,
            commit: None,
            committed_at: 0,
            at: Instant::now(),
            nonce,
            payload,
        });
        id
    }

    pub(crate) fn commit(&mut self, transaction: u64) {
        self.open.remove(&transaction);
        let before = self.next_commit;
        for row in &mut self.rows {
            if row.transaction == transaction && row.commit.is_none() {
                row.commit = Some(self.next_commit);
                row.committed_at = self.reads;
                self.next_commit += 1;
            }
        }
        self.writes += u64::from(self.next_commit > before);
    }

    pub(crate) fn roll_back(&mut self, transaction: u64) {
        self.open.remove(&transaction);
        self.roll_back_to(transaction, 0);
    }

    /// Forgets the rows of the transaction with ids from `id` on.
    pub(crate) fn roll_back_to(&mut self, transaction: u64, id: u64) {
        self.rows
            .retain(|row| row.transaction != transaction || row.commit.is_some() || row.id < id);
    }

    pub(crate) const fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(crate) fn write(&mut self, key: String, value: String) {
        self.business.insert(key, value);
    }

    pub(crate) fn business(&self, key: &str) -> Option<String> {
        self.business.get(key).cloned()
    }

    pub(crate) fn delete_all(&mut self) {
        self.rows.clear();
    }

    pub(crate) fn delete_newest(&mut self) {
        self.rows.pop();
    }

    /// Forgets the oldest by a rule of its own, of which the floor knows nothing.
    pub(crate) fn trim(&mut self, keep: usize) {
        let places: Vec<_> = self.visible().map(|(place, _)| place.at).collect();
        let going = places.len().saturating_sub(keep);
        if let Some(last) = places[..going].last() {
            self.rows
                .retain(|row| row.commit.is_none_or(|commit| commit > *last));
        }
    }

    pub(crate) const fn writes(&self) -> u64 {
        self.writes
    }

    pub(crate) fn nonces(&self) -> Vec<Nonce> {
        let committed = self.rows.iter().filter(|row| row.commit.is_some());
        committed.map(|row| Nonce(row.nonce)).collect()
    }

    pub(crate) fn forget_floor(&mut self) {
        self.floor = Place::default();
    }

    /// As if it had never been: another is committed in its place.
    pub(crate) fn lose_the_last(&mut self) {
        if self.rows.pop().is_some() {
            self.next_commit -= 1;
        }
    }

    /// The incarnation that a failover makes.
    pub(crate) fn change_identity(&mut self) {
        self.identity = rand::random();
    }

    pub(crate) fn identity(&self) -> LogIdentity {
        LogIdentity::from_bytes(self.identity.to_be_bytes().to_vec())
    }

    pub(crate) fn position(&self, id: u64) -> Position {
        let row = self.rows.iter().rev().find(|row| row.id == id);
        let row = row.filter(|_| !self.has(Mistake::PositionsAreIds));
        let nonce = row.map_or(0, |row| row.nonce);
        Position {
            identity: self.identity(),
            at: [id, nonce].map(u64::to_be_bytes).concat().into(),
        }
    }

    pub(crate) fn purge(&mut self, retention: Duration) -> u64 {
        if self.has(Mistake::PurgesOnlyEverything) && !retention.is_zero() {
            return 0;
        }
        let retention = match self.mistake {
            Some(Mistake::TakesSecondsForMilliseconds) => {
                Duration::from_millis(retention.as_secs())
            }
            _ => retention,
        };
        let old = self.rows.iter().any(|row| row.at.elapsed() >= retention);
        let takes_all = self.has(Mistake::PurgesTheYoungWithTheOld) && old;
        let keep_newest = usize::from(!self.has(Mistake::PurgesTheNewest));
        let mut going: Vec<_> = self
            .visible()
            .map(|(place, row)| (place, row.clone()))
            .collect();
        going.truncate(going.len().saturating_sub(keep_newest));
        if !self.has(Mistake::PurgesTheYoung) && !takes_all {
            going.retain(|(_, row)| row.at.elapsed() >= retention);
        }
        let last = if self.has(Mistake::FloorById) {
            going.iter().max_by_key(|(_, row)| row.id)
        } else {
            going.last()
        };
        let Some((last, _)) = last else {
            return 0;
        };
        if !self.has(Mistake::ForgetsTheFloor) && !self.has(Mistake::PurgesInTwoSteps) {
            self.floor = *last;
        }
        let ids: BTreeSet<_> = going.iter().map(|(_, row)| row.id).collect();
        self.rows.retain(|row| !ids.contains(&row.id));
        ids.len() as u64
    }

    /// The second step of a purge.
    pub(crate) fn move_floor(&mut self) {
        if let Some(oldest) = self.rows.first() {
            self.floor = Place {
                at: oldest.commit.unwrap_or_default().saturating_sub(1),
                nonce: 0,
            };
        }
    }
}
