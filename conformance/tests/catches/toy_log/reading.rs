//! How the toy's database is read.

use bytes::Buf;
use invalidation_core::{
    Completeness, Cursor, Entry, GapReason, Invalidation, LoggedEntry, Page, Payload, Position,
    ReadRequest, ReadStart, Scope, Tick,
};

use super::{
    mistake::Mistake,
    store::{Row, Store},
};

/// How many reads a lagging replica serves before it has caught up.
const LAG: u64 = 3;

/// What a cursor holds: a place in the order of commits, and the nonce of the row there; zero where that row was deleted
/// by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(super) at: u64,
    pub(super) nonce: u64,
}

impl Store {
    /// The rows that a read sees, in the order in which it reads them.
    pub(super) fn visible(&self) -> impl Iterator<Item = (Place, &Row)> {
        let by_id = self.reads_by_id();
        let horizon = self.open.first().copied().unwrap_or(u64::MAX);
        let seen = |row: &Row| match self.mistake() {
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
        match self.mistake() {
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

    /// The last row that there is; where it was, when it was deleted by hand.
    pub(super) fn newest(&self) -> Place {
        let there = self.visible().last().map_or(self.floor, |(place, _)| place);
        let last = self.next_commit - 1;
        if self.counts_places() && there.at < last {
            return Place { at: last, nonce: 0 };
        }
        there
    }

    fn reads_by_id(&self) -> bool {
        matches!(
            self.mistake(),
            Some(
                Mistake::IdCursor
                    | Mistake::HorizonIdCursor
                    | Mistake::DirtyReads
                    | Mistake::HeadPastOpenTransactions
            )
        )
    }

    /// Whether it looks for places without a row. Places in the order of commits are dense; who makes these mistakes does
    /// not look.
    fn counts_places(&self) -> bool {
        let looks_away = matches!(
            self.mistake(),
            Some(
                Mistake::BelievesWhatIsThere
                    | Mistake::ReadsAReplica
                    | Mistake::Truncates
                    | Mistake::Duplicates
                    | Mistake::ConsumesWhatIsRead
                    | Mistake::ForgetsTheFloor
                    | Mistake::PurgesInTwoSteps
                    | Mistake::ChecksTheFirstPageAlone
                    | Mistake::ChecksBeforeItReads
                    | Mistake::ChecksBeforeItWaits
                    | Mistake::WitnessUnchecked
                    | Mistake::ExpiresPastOpenTransactions
                    | Mistake::WrapsItsLimit
                    | Mistake::ClaimsEachPageOfASeries
                    | Mistake::FloorById
                    | Mistake::InstallResetsTheFloor
                    | Mistake::FloorInMemory
                    | Mistake::WitnessByPlace
            )
        );
        !looks_away && !self.reads_by_id()
    }

    fn expired(&self, request: &ReadRequest<'_>, reason: GapReason) -> Page {
        let mut newest = self.newest();
        if self.has(Mistake::ExpiresPastOpenTransactions) {
            let open = self.rows.iter().filter(|row| row.commit.is_none());
            newest.at += open.count() as u64;
        }
        Page::Expired {
            next: self.cursor(newest),
            as_of: request.started,
            reason,
        }
    }

    /// Whether this read's past is looked at before its page, by mistake.
    pub(crate) fn checks_before(&self, request: &ReadRequest<'_>) -> bool {
        self.has(Mistake::ChecksBeforeItReads)
            || self.has(Mistake::ChecksBeforeItWaits) && request.wait.is_some()
    }

    /// What is wrong with its past now.
    pub(crate) fn expires(&self, request: &ReadRequest<'_>) -> Option<Page> {
        let reason = self.check(request.after).err()?;
        Some(self.expired(request, reason))
    }

    pub(crate) fn page(&mut self, request: &ReadRequest<'_>) -> Page {
        self.reads += 1;
        let later_page = request.started != request.series_started;
        let checked = match parse(request.after) {
            Some((_, place))
                if later_page && self.has(Mistake::ChecksTheFirstPageAlone)
                    || self.checks_before(request) =>
            {
                Ok(place)
            }
            _ => self.check(request.after),
        };
        let after = match checked {
            Ok(place) => place,
            Err(reason) => return self.expired(request, reason),
        };
        let mut most = request.max_entries.max(1);
        if self.has(Mistake::WrapsItsLimit) {
            // One more than asked for tells whether there are more.
            most = (most as u32).wrapping_add(1).saturating_sub(1) as usize;
        }
        if self.has(Mistake::ClaimsEachPageOfASeries) && !later_page {
            self.series = (request.started.number(), self.newest().at);
        }
        let (series, end) = self.series;
        let in_series = later_page && series == request.series_started.number();
        let mut bytes = 0;
        let mut entries = Vec::new();
        let mut places = vec![after];
        let mut complete = Completeness::AsOf(request.started);
        for (place, row) in self.visible().filter(|(place, _)| place.at > after.at) {
            let too_large = bytes >= request.max_bytes && !self.has(Mistake::IgnoresMaxBytes);
            if in_series && place.at > end {
                break;
            }
            if most == 0 {
                break;
            }
            if entries.len() >= most || (too_large && !entries.is_empty()) {
                complete = Completeness::Partial;
                break;
            }
            let before = places.last().map_or(0, |place| place.at);
            if self.counts_places() && place.at != before + 1 {
                return self.expired(request, GapReason::EntriesLost);
            }
            let size = size_of(&row.payload);
            bytes += size;
            places.push(place);
            let skipped = self.has(Mistake::SkipsUnknownRows)
                && matches!(row.payload, Payload::Undecodable { .. })
                || self.has(Mistake::SkipsHugeEntries) && size > 1 << 20;
            if !skipped {
                entries.push(LoggedEntry {
                    position: self.position(row.id + u64::from(self.has(Mistake::PositionsDiffer))),
                    payload: row.payload.clone(),
                });
            }
        }
        let mut next = places.last().copied().unwrap_or_default();
        if complete != Completeness::Partial
            && self.counts_places()
            && next.at + 1 < self.next_commit
        {
            return self.expired(request, GapReason::EntriesLost);
        }
        match self.mistake() {
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
            Some(Mistake::TellsOthersLast) => entries.sort_by_key(|logged: &LoggedEntry| {
                matches!(logged.payload, Payload::Undecodable { .. })
            }),
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
        let unchecked = self.has(Mistake::WitnessUnchecked)
            || self.has(Mistake::ExpiresPastOpenTransactions)
            || self.has(Mistake::HeadPastOpenTransactions);
        let deleted = place.nonce == 0
            && place.at < self.next_commit
            && !self.visible().any(|(there, _)| there.at == place.at);
        let there =
            place == self.floor || deleted || self.visible().any(|(there, _)| there == place);
        let there = there
            || self.has(Mistake::WitnessByPlace)
                && self.visible().any(|(there, _)| there.at == place.at);
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
        if self.has(Mistake::CoversById) {
            let passed = self.visible().filter(|(there, _)| there.at <= place.at);
            let newest = passed.map(|(_, row)| row.id).max().unwrap_or_default();
            return identity == self.identity
                && (1..=newest).any(|id| self.position(id) == *position);
        }
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

/// The bytes of its keys and tags.
pub(crate) fn size_of(payload: &Payload) -> usize {
    match payload {
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
