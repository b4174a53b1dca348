//! The toy's database: rows whose ids are given before their transactions commit, as a sequence does.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use invalidation_core::{
    Completeness, Cursor, Entry, GapReason, LogIdentity, LoggedEntry, Page, Payload, Position,
    ReadRequest, ReadStart, Tick,
};

use super::mistake::Mistake;

/// How many reads a lagging replica serves before it has caught up.
const LAG: u64 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Store {
    mistake: Option<Mistake>,
    identity: u64,
    next_id: u64,
    next_transaction: u64,
    next_commit: u64,
    reads: u64,
    open: BTreeSet<u64>,
    /// In the order of ids.
    rows: Vec<Row>,
    floor: Place,
    business: HashMap<String, String>,
}

#[derive(Debug, Clone)]
struct Row {
    id: u64,
    transaction: u64,
    /// Its place in the order of commits, once its transaction has committed.
    commit: Option<u64>,
    /// After how many reads of the log it was committed.
    committed_at: u64,
    at: Instant,
    nonce: u64,
    payload: Payload,
}

/// What a cursor holds: a place in the order of commits, and the nonce of the row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    at: u64,
    nonce: u64,
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
            business: HashMap::new(),
        }
    }

    fn has(&self, mistake: Mistake) -> bool {
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
            .map(|entry| self.insert(transaction, entry.nonce.0, payload(entry)))
            .collect();
        ids.into_iter().map(|id| self.position(id)).collect()
    }

    pub(crate) fn append_unknown(&mut self) {
        let transaction = self.begin();
        let payload = Payload::Undecodable {
            cache: None,
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
        for row in &mut self.rows {
            if row.transaction == transaction && row.commit.is_none() {
                row.commit = Some(self.next_commit);
                row.committed_at = self.reads;
                self.next_commit += 1;
            }
        }
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

    pub(crate) fn lose_the_last(&mut self) {
        self.rows.pop();
    }

    /// The incarnation that a failover makes.
    pub(crate) fn change_identity(&mut self) {
        self.identity = rand::random();
    }

    pub(crate) fn identity(&self) -> LogIdentity {
        LogIdentity::from_bytes(self.identity.to_be_bytes().to_vec())
    }

    pub(crate) fn position(&self, id: u64) -> Position {
        Position {
            identity: self.identity(),
            at: Bytes::copy_from_slice(&id.to_be_bytes()),
        }
    }

    pub(crate) fn purge(&mut self, retention: Duration) -> u64 {
        let keep_newest = usize::from(!self.has(Mistake::PurgesTheNewest));
        let mut going: Vec<_> = self
            .visible()
            .map(|(place, row)| (place, row.clone()))
            .collect();
        going.truncate(going.len().saturating_sub(keep_newest));
        if !self.has(Mistake::PurgesTheYoung) {
            going.retain(|(_, row)| row.at.elapsed() >= retention);
        }
        let Some((last, _)) = going.last() else {
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

    /// The rows that a read sees, in the order in which it reads them.
    fn visible(&self) -> impl Iterator<Item = (Place, &Row)> {
        let by_id = matches!(
            self.mistake,
            Some(
                Mistake::IdCursor
                    | Mistake::HorizonIdCursor
                    | Mistake::DirtyReads
                    | Mistake::HeadPastOpenTransactions
            )
        );
        let horizon = self.open.first().copied().unwrap_or(u64::MAX);
        let seen = |row: &Row| match self.mistake {
            Some(Mistake::HorizonIdCursor) => row.commit.is_some() && row.transaction < horizon,
            Some(Mistake::DirtyReads) => true,
            Some(Mistake::ReadsAReplica) => {
                row.commit.is_some() && row.committed_at + LAG <= self.reads
            }
            _ => row.commit.is_some(),
        };
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter(|row| seen(row))
            .map(|row| {
                let at = if by_id { Some(row.id) } else { row.commit };
                let nonce = row.nonce;
                (
                    Place {
                        at: at.unwrap_or_default(),
                        nonce,
                    },
                    row,
                )
            })
            .collect();
        rows.sort_by_key(|(place, _)| place.at);
        rows.into_iter()
    }

    pub(crate) fn head(&self) -> Cursor {
        match self.mistake {
            Some(Mistake::LateHead) => self.cursor(Place {
                at: u64::MAX,
                nonce: 0,
            }),
            Some(Mistake::HeadPastOpenTransactions) => self.cursor(Place {
                at: self.next_id - 1,
                nonce: 0,
            }),
            _ => self.cursor(self.newest()),
        }
    }

    fn newest(&self) -> Place {
        self.visible().last().map_or(self.floor, |(place, _)| place)
    }

    pub(crate) fn page(&mut self, request: &ReadRequest<'_>) -> Page {
        self.reads += 1;
        let later_page = request.started != request.series_started;
        let checked = match parse(request.after) {
            Some((_, place)) if later_page && self.has(Mistake::ChecksTheFirstPageAlone) => {
                Ok(place)
            }
            _ => self.check(request.after),
        };
        let after = match checked {
            Ok(place) => place,
            Err(reason) => {
                return Page::Expired {
                    next: self.cursor(self.newest()),
                    as_of: request.started,
                    reason,
                };
            }
        };
        let mut bytes = 0;
        let mut entries = Vec::new();
        let mut places = vec![after];
        let mut complete = Completeness::AsOf(request.started);
        for (place, row) in self.visible().filter(|(place, _)| place.at > after.at) {
            let too_large = bytes >= request.max_bytes && !self.has(Mistake::IgnoresMaxBytes);
            if entries.len() >= request.max_entries.max(1) || (too_large && !entries.is_empty()) {
                complete = Completeness::Partial;
                break;
            }
            bytes += format!("{:?}", row.payload).len();
            places.push(place);
            let skipped = self.has(Mistake::SkipsUnknownRows)
                && matches!(row.payload, Payload::Undecodable { .. });
            if !skipped {
                entries.push(LoggedEntry {
                    position: self.position(row.id + u64::from(self.has(Mistake::PositionsDiffer))),
                    payload: row.payload.clone(),
                });
            }
        }
        let mut next = places.last().copied().unwrap_or_default();
        match self.mistake {
            Some(Mistake::AlwaysComplete) => complete = Completeness::AsOf(request.started),
            Some(Mistake::Truncates) => {
                complete = Completeness::AsOf(request.started);
                next = self.newest();
            }
            Some(Mistake::AsOfTheEnd) if complete != Completeness::Partial => {
                let end = Tick::from_nanos(request.started.tick().as_nanos() + 10);
                complete = Completeness::AsOf(ReadStart::new(end, request.started.number()));
            }
            Some(Mistake::Duplicates) if places.len() > 2 => next = places[places.len() - 2],
            Some(Mistake::Reorders) => entries.reverse(),
            _ => {}
        }
        if self.has(Mistake::ConsumesWhatIsRead) {
            self.rows.retain(|row| row.commit.is_none());
            self.floor = next;
        }
        Page::Entries {
            entries,
            next: self.cursor(next),
            complete,
        }
    }

    fn check(&self, cursor: &Cursor) -> Result<Place, GapReason> {
        let (identity, place) = parse(cursor).ok_or(GapReason::CursorUnreadable)?;
        if self.has(Mistake::LateHead) && place.at == u64::MAX {
            return Ok(self.newest());
        }
        if identity != self.identity && !self.has(Mistake::IdentityUnchecked) {
            return Err(GapReason::IdentityChanged);
        }
        if place.at < self.floor.at {
            return Err(GapReason::Purged);
        }
        let unchecked =
            self.has(Mistake::WitnessUnchecked) || self.has(Mistake::HeadPastOpenTransactions);
        let there = place == self.floor || self.visible().any(|(there, _)| there == place);
        if there || unchecked {
            Ok(place)
        } else {
            Err(GapReason::WitnessLost)
        }
    }

    pub(crate) fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        if self.has(Mistake::CoversEverything) {
            return true;
        }
        let Some((identity, place)) = parse(cursor) else {
            return false;
        };
        identity == self.identity
            && position.identity == self.identity()
            && self
                .visible()
                .any(|(there, row)| there.at <= place.at && self.position(row.id) == *position)
    }

    fn cursor(&self, place: Place) -> Cursor {
        let numbers = [self.identity, place.at, place.nonce];
        Cursor::from_bytes(numbers.map(u64::to_be_bytes).concat())
    }
}

pub(crate) fn is_readable(cursor: &Cursor) -> bool {
    parse(cursor).is_some()
}

fn parse(cursor: &Cursor) -> Option<(u64, Place)> {
    let mut bytes = cursor.as_bytes().clone();
    (bytes.len() == 24).then(|| {
        let identity = bytes.get_u64();
        let (at, nonce) = (bytes.get_u64(), bytes.get_u64());
        (identity, Place { at, nonce })
    })
}
