//! The entries of a memory log, without its faults.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::{
    log::{Completeness, Page, ReadRequest},
    words::{
        CacheName, Cursor, Entry, GapReason, Invalidation, LogIdentity, LoggedEntry, Nonce,
        Payload, Position, Scope,
    },
};

/// At most this many entries are purged while the lock is held.
const PURGE_CHUNK: usize = 1_000;

/// What all handles of one log share. Ids are commit order.
#[derive(Debug, Clone)]
pub(super) struct Store {
    identity: [u8; 16],
    records: VecDeque<Record>,
    /// The id of the last record; 0 before the first.
    last: u64,
    /// The last purged record, kept so that a cursor which stands right there can still be checked.
    floor: Witness,
    capacity: usize,
    next_ticket: u64,
    /// Where the entries of transactions came to stand, for as long as they are kept.
    tickets: HashMap<u64, u64>,
}

#[derive(Debug, Clone)]
struct Record {
    id: u64,
    ticket: Option<u64>,
    at: Instant,
    witness: u64,
    payload: Payload,
}

/// The id and the nonce of a record. Both 0: before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Witness {
    id: u64,
    nonce: u64,
}

/// Where entries of a transaction will stand, once it commits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Store {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            identity: rand::random(),
            records: VecDeque::new(),
            last: 0,
            floor: Witness { id: 0, nonce: 0 },
            capacity: capacity.max(1),
            next_ticket: 0,
            tickets: HashMap::new(),
        }
    }

    /// An empty store in the place of this one.
    pub(super) fn recreated(&self) -> Self {
        Self::new(self.capacity)
    }

    /// This older state in the place of `present`. The tickets of open transactions stay unique.
    pub(super) fn restored_over(&self, present: &Self) -> Self {
        Self {
            next_ticket: present.next_ticket,
            ..self.clone()
        }
    }

    pub(super) fn identity(&self) -> LogIdentity {
        LogIdentity::from_bytes(Bytes::copy_from_slice(&self.identity))
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn head(&self) -> Cursor {
        self.cursor(match self.records.back() {
            Some(newest) => newest.place(),
            None => self.floor,
        })
    }

    pub(super) fn append(&mut self, entries: &[Entry]) -> Vec<Position> {
        let ids: Vec<_> = entries
            .iter()
            .map(|entry| self.push(None, entry.nonce.0, Payload::Entry(entry.clone())))
            .collect();
        ids.into_iter()
            .zip(entries)
            .map(|(id, entry)| self.position(id, entry.nonce.0, None))
            .collect()
    }

    pub(super) fn append_undecodable(&mut self, cache: Option<CacheName>, why: String) {
        let payload = Payload::Undecodable { cache, why };
        self.push(None, Nonce::random().0, payload);
    }

    /// A place for an entry of a transaction that may commit later, or never.
    pub(super) fn reserve(&mut self) -> (Ticket, Position) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        (Ticket(ticket), self.position(0, 0, Some(ticket)))
    }

    pub(super) fn commit(&mut self, entries: Vec<(Ticket, Entry)>) {
        for (Ticket(ticket), entry) in entries {
            self.push(Some(ticket), entry.nonce.0, Payload::Entry(entry));
        }
    }

    fn push(&mut self, ticket: Option<u64>, witness: u64, payload: Payload) -> u64 {
        self.last += 1;
        self.records.push_back(Record {
            id: self.last,
            ticket,
            at: Instant::now(),
            witness,
            payload,
        });
        if let Some(ticket) = ticket {
            self.tickets.insert(ticket, self.last);
        }
        self.trim(self.capacity);
        self.last
    }

    /// Keeps the newest `keep` records, at least one: the newest is the witness of who has read everything (`P13`).
    pub(super) fn trim(&mut self, keep: usize) {
        while self.records.len() > keep.max(1) {
            self.purge_oldest();
        }
    }

    /// Deletes entries older than `retention`, and at most so many that the lock is held only shortly, but
    /// never the newest (`P13`).
    pub(super) fn purge(&mut self, retention: Duration) -> usize {
        let now = Instant::now();
        let mut purged = 0;
        while purged < PURGE_CHUNK
            && self.records.len() > 1
            && self
                .records
                .front()
                .is_some_and(|oldest| now.duration_since(oldest.at) > retention)
        {
            self.purge_oldest();
            purged += 1;
        }
        purged
    }

    fn purge_oldest(&mut self) {
        if let Some(oldest) = self.records.pop_front() {
            self.floor = oldest.place();
            if let Some(ticket) = oldest.ticket {
                self.tickets.remove(&ticket);
            }
        }
    }

    /// The page after a cursor, as of now. At most `cap` entries, whatever the request allows.
    pub(super) fn page(&self, request: &ReadRequest<'_>, cap: usize) -> Page {
        let after = match self.check(request.after) {
            Ok(after) => after,
            Err(reason) => {
                return Page::Expired {
                    next: self.head(),
                    as_of: request.started,
                    reason,
                };
            }
        };
        let most = request.max_entries.min(cap).max(1);
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = after;
        for record in self.after(after.id) {
            if entries.len() >= most || (!entries.is_empty() && bytes >= request.max_bytes) {
                break;
            }
            bytes += record.bytes();
            next = record.place();
            entries.push(LoggedEntry {
                position: self.position(record.id, record.witness, record.ticket),
                payload: record.payload.clone(),
            });
        }
        Page::Entries {
            entries,
            // Each page is its own snapshot, taken under the lock, after `started` (P4).
            complete: if next.id == self.last {
                Completeness::AsOf(request.started)
            } else {
                Completeness::Partial
            },
            next: self.cursor(next),
        }
    }

    /// Where a cursor stands, if the past it has seen is still the past of this store (`P10`).
    fn check(&self, cursor: &Cursor) -> Result<Witness, GapReason> {
        let (identity, at) = parse_cursor(cursor).ok_or(GapReason::CursorUnreadable)?;
        if identity != self.identity {
            return Err(GapReason::IdentityChanged);
        }
        if at.id < self.floor.id {
            return Err(GapReason::Purged);
        }
        let there = if at.id == self.floor.id {
            Some(self.floor)
        } else {
            self.after(at.id - 1).next().map(Record::place)
        };
        if there == Some(at) {
            Ok(at)
        } else {
            Err(GapReason::WitnessLost)
        }
    }

    /// The records behind an id that is not below the floor.
    fn after(&self, id: u64) -> impl Iterator<Item = &Record> {
        // Ids are dense, since nothing but the oldest is ever deleted.
        let skip = usize::try_from(id.saturating_sub(self.floor.id)).unwrap_or(usize::MAX);
        self.records.range(skip.min(self.records.len())..)
    }

    pub(super) fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        let Some((identity, cursor)) = parse_cursor(cursor) else {
            return false;
        };
        if identity != self.identity || *position.identity.as_bytes() != identity[..] {
            return false;
        }
        let mut at = position.at.clone();
        let id = match at.len() {
            ID_LEN if at.get_u8() == BY_ID => {
                let (id, nonce) = (at.get_u64(), at.get_u64());
                self.may_hold(Witness { id, nonce }).then_some(id)
            }
            TICKET_LEN if at.get_u8() == BY_TICKET => self.tickets.get(&at.get_u64()).copied(),
            _ => None,
        };
        id.is_some_and(|id| id <= cursor.id)
    }

    /// Whether this record is there, or was purged. Another stands there after a restore (`P10`).
    fn may_hold(&self, place: Witness) -> bool {
        if place.id <= self.floor.id {
            return place.id < self.floor.id || place == self.floor;
        }
        self.after(place.id - 1).next().map(Record::place) == Some(place)
    }

    fn cursor(&self, at: Witness) -> Cursor {
        let mut bytes = BytesMut::with_capacity(CURSOR_LEN);
        bytes.put_u8(CURSOR_FORMAT);
        bytes.put_slice(&self.identity);
        bytes.put_u64(at.id);
        bytes.put_u64(at.nonce);
        Cursor::from_bytes(bytes.freeze())
    }

    fn position(&self, id: u64, nonce: u64, ticket: Option<u64>) -> Position {
        let mut at = BytesMut::with_capacity(ID_LEN);
        match ticket {
            None => {
                at.put_u8(BY_ID);
                at.put_u64(id);
                at.put_u64(nonce);
            }
            Some(ticket) => {
                at.put_u8(BY_TICKET);
                at.put_u64(ticket);
            }
        }
        Position {
            identity: self.identity(),
            at: at.freeze(),
        }
    }
}

const CURSOR_FORMAT: u8 = 1;
const CURSOR_LEN: usize = 33;
const BY_ID: u8 = 0;
const BY_TICKET: u8 = 1;
const ID_LEN: usize = 17;
const TICKET_LEN: usize = 9;

fn parse_cursor(cursor: &Cursor) -> Option<([u8; 16], Witness)> {
    let mut bytes = cursor.as_bytes().clone();
    if bytes.len() != CURSOR_LEN || bytes.get_u8() != CURSOR_FORMAT {
        return None;
    }
    let mut identity = [0; 16];
    bytes.copy_to_slice(&mut identity);
    let (id, nonce) = (bytes.get_u64(), bytes.get_u64());
    Some((identity, Witness { id, nonce }))
}

impl Record {
    const fn place(&self) -> Witness {
        Witness {
            id: self.id,
            nonce: self.witness,
        }
    }

    fn bytes(&self) -> usize {
        match &self.payload {
            Payload::Entry(Entry {
                invalidation:
                    Invalidation::Cache {
                        scope: Scope::Keys(items) | Scope::Tags(items),
                        ..
                    },
                ..
            }) => items.iter().map(|item| item.len()).sum(),
            _ => 0,
        }
    }
}
