//! One page of a read.
//!
//! The server takes any start sequence and skips what is gone without a word, so that nothing it says is believed which was
//! not asked for: the stream's state first, which says how far a complete read goes; then each message by its own sequence,
//! from the witness on; and the state once more, which says that it was one stream all the while, and why a message is gone.
//! A read that finds nothing new is the first of these questions alone.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, stream};
use invalidation_core::{
    Completeness, Cursor, Error, GapReason, LoggedEntry, Page, ReadRequest, ReadStart,
};

use super::{
    Shared,
    api::{Info, Stored},
    connection::Session,
    cursor::{Mark, Place, Read},
    opening, record,
};

const OPERATION: &str = "read";

/// How many messages are asked for at once, and about how many bytes of them. A server drops requests when 10,000 wait, of
/// all clients.
const AT_ONCE: u64 = 32;
const BYTES_AT_ONCE: u64 = 4 << 20;

/// A mark behind everything that is in the stream.
pub(super) async fn head(
    shared: &Shared,
    session: &Session,
    operation: &'static str,
    info: Info,
) -> Result<Mark, Error> {
    // Who has installed nothing writes nothing.
    let info = match shared.is_installed.load(Ordering::Acquire) {
        true => opening::opened(shared, session, operation, info).await?,
        false => info,
    };
    let newest = match info.messages {
        0 => None,
        _ => shared.api.get(session, operation, info.last).await?,
    };
    Ok(Mark {
        identity: info.identity,
        sequence: info.last,
        read: Read::All,
        witness: newest.map(|stored| stored.witness),
    })
}

/// The page after the request's cursor. `info` was asked for after the request's start.
pub(super) async fn page(
    shared: &Shared,
    session: &Session,
    info: Info,
    request: &ReadRequest<'_>,
) -> Result<Page, Error> {
    let reader = Reader {
        shared,
        session,
        started: request.started,
    };
    let Some(mark) = Mark::from_cursor(request.after) else {
        return reader.expired(info, GapReason::CursorUnreadable).await;
    };
    if let Some(reason) = refusal(&mark, &info) {
        return reader.expired(info, reason).await;
    }
    if let Some(next) = unchanged(&mark, &info) {
        return Ok(Page::Entries {
            entries: Vec::new(),
            next,
            complete: Completeness::AsOf(request.started),
        });
    }
    let found = reader.rows(&mark, &info, request).await?;
    let after = shared.info(session, OPERATION).await?;
    if let Some(reason) = found.refusal(&mark, &info, &after) {
        return reader.expired(after, reason).await;
    }
    let Found {
        entries,
        next,
        passed,
        ..
    } = found;
    let is_complete = next.sequence == info.last && next.read == Read::All;
    shared.passed.went(&mark, passed.into_iter());
    Ok(Page::Entries {
        entries,
        next: next.to_cursor(),
        complete: match is_complete {
            true => Completeness::AsOf(request.started),
            false => Completeness::Partial,
        },
    })
}

/// Why the stream as it is cannot be read on from the mark.
fn refusal(mark: &Mark, info: &Info) -> Option<GapReason> {
    if mark.identity != info.identity {
        return Some(GapReason::IdentityChanged);
    }
    if info.last < mark.sequence {
        return Some(GapReason::WitnessLost);
    }
    (info.first > mark.needs()).then_some(GapReason::Purged)
}

/// Where to read on if nothing came since the mark, as far as the state alone shows: the last sequence is the mark's, and was
/// stored in the same nanosecond as the message that was read there, or there cannot be one.
fn unchanged(mark: &Mark, info: &Info) -> Option<Cursor> {
    // What was deleted by hand above the first is not shown, but for its number.
    if mark.read != Read::All || info.last != mark.sequence || info.deleted > 0 {
        return None;
    }
    let is_gone = info.first > mark.sequence;
    match mark.witness {
        Some(witness) if witness.stored == info.last_stored => {}
        None if is_gone || mark.sequence == 0 => {}
        _ => return None,
    }
    // The server forgot it by a rule of its own: seen before anything could have come in its place.
    let witness = mark.witness.filter(|_| !is_gone);
    Some(Mark { witness, ..*mark }.to_cursor())
}

struct Reader<'a> {
    shared: &'a Shared,
    session: &'a Session,
    started: ReadStart,
}

/// What was found from the mark on.
struct Found {
    entries: Vec<LoggedEntry>,
    next: Mark,
    /// Sequence and fingerprint of each message that was read.
    passed: Vec<(u64, u64)>,
    witness: Seen,
    /// The first message that was not there.
    hole: Option<u64>,
}

/// What stands where the mark's witness stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The same.
    Same,
    Nothing,
    Another,
}

impl Reader<'_> {
    /// Reads from the mark to the end that `info` tells, or to the limits of the page.
    async fn rows(
        &self,
        mark: &Mark,
        info: &Info,
        request: &ReadRequest<'_>,
    ) -> Result<Found, Error> {
        let most = request.max_entries.max(1);
        let from = mark.sequence.max(1);
        // Each message has an entry at least, but for an opening, which is the first that is there.
        let most_messages = (most as u64).saturating_add(1);
        let to = info.last.min(from.saturating_add(most_messages));
        let mut messages = stream::iter(from..=to)
            .map(|sequence| async move {
                let got = self.shared.api.get(self.session, OPERATION, sequence).await;
                (sequence, got)
            })
            .buffered(at_once(info));
        let mut found = Found {
            entries: Vec::new(),
            next: *mark,
            passed: Vec::new(),
            witness: Seen::Same,
            hole: None,
        };
        let identity = mark.identity.to_word();
        let mut bytes = 0;
        while let Some((sequence, got)) = messages.next().await {
            let got = got?;
            let is_witness = sequence == mark.sequence;
            if is_witness {
                found.witness = seen(mark, got.as_ref());
                if found.witness == Seen::Another {
                    break;
                }
                if mark.read == Read::All {
                    if got.is_none() {
                        found.next.witness = None;
                    }
                    continue;
                }
            }
            let Some(stored) = got else {
                found.hole = Some(sequence);
                break;
            };
            found.passed.push((sequence, stored.witness.fingerprint));
            let payloads = record::payloads(&stored.payload);
            let skip = match mark.read {
                Read::First(entries) if is_witness => entries as usize,
                _ => 0,
            };
            for (index, payload) in payloads.into_iter().enumerate().skip(skip) {
                let weight = record::weight(&payload);
                let is_full = found.entries.len() >= most
                    || !found.entries.is_empty() && bytes + weight > request.max_bytes;
                if is_full {
                    return Ok(found);
                }
                bytes += weight;
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let place = Place {
                    sequence,
                    index,
                    fingerprint: stored.witness.fingerprint,
                };
                found.entries.push(LoggedEntry {
                    position: place.to_position(&identity),
                    payload,
                });
                found.next = Mark {
                    identity: mark.identity,
                    sequence,
                    read: Read::First(index + 1),
                    witness: Some(stored.witness),
                };
            }
            found.next = Mark {
                identity: mark.identity,
                sequence,
                read: Read::All,
                witness: Some(stored.witness),
            };
            if found.entries.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// The cursor is of no use: go on from behind what `info` tells.
    async fn expired(&self, info: Info, reason: GapReason) -> Result<Page, Error> {
        if matches!(reason, GapReason::IdentityChanged | GapReason::WitnessLost) {
            self.shared.passed.forget();
            self.shared.ages.forget();
        }
        let next = head(self.shared, self.session, OPERATION, info).await?;
        Ok(Page::Expired {
            next: next.to_cursor(),
            as_of: self.started,
            reason,
        })
    }
}

/// Most of what is asked for and does not fit into the page is asked for again.
fn at_once(info: &Info) -> usize {
    let of_usual_size = BYTES_AT_ONCE.saturating_mul(info.messages) / info.bytes.max(1);
    usize::try_from(of_usual_size.clamp(1, AT_ONCE)).unwrap_or(1)
}

fn seen(mark: &Mark, stored: Option<&Stored>) -> Seen {
    match (mark.witness, stored) {
        (Some(witness), Some(stored)) if stored.witness == witness => Seen::Same,
        (Some(_), None) => Seen::Nothing,
        (None, None) => Seen::Same,
        _ => Seen::Another,
    }
}

impl Found {
    /// Why what was found says nothing, from the state before and that after it.
    fn refusal(&self, mark: &Mark, before: &Info, after: &Info) -> Option<GapReason> {
        if before.identity != after.identity {
            return Some(GapReason::IdentityChanged);
        }
        if self.witness == Seen::Another || after.last < before.last {
            return Some(GapReason::WitnessLost);
        }
        if let Some(hole) = self.hole {
            return Some(match after.first > hole {
                true => GapReason::Purged,
                false => GapReason::EntriesLost,
            });
        }
        // What the server or a purge removed is all below the first. A witness right below it was removed so; the reader
        // misses nothing of what follows. One that was deleted by hand was still there if nothing came since.
        let was_removed = after.first > mark.sequence;
        let was_last = before.last == mark.sequence
            && mark
                .witness
                .is_some_and(|witness| witness.stored == before.last_stored);
        let is_explained = was_removed || was_last;
        (self.witness == Seen::Nothing && !is_explained).then_some(GapReason::WitnessLost)
    }
}
