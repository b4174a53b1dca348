//! One append, as conditions and operations of a transaction.

use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, TxnOp};
use invalidation_core::{Error, ErrorKind, Position};

use super::{
    answer::{Answer, Known, look, look_at, newest_value},
    cursor::{Witness, positions},
    keys::Keys,
    meta::Identity,
    ring::{Place, Ring},
    unread::Seen,
};
use crate::error::error;

/// A ring as it was seen, to be written anew while it is still the same.
#[derive(Debug)]
pub(crate) struct Target {
    known: Known,
    number: u32,
    /// At which it was written; 0 when there is none.
    revision: i64,
    ring: Ring,
    /// Where the log was, for a ring that is made anew in place of one that is gone: it begins behind all that was there.
    behind: Option<i64>,
}

impl Target {
    /// The ring of this number in an answer that was asked for it.
    pub(crate) fn in_answer(
        operation: &'static str,
        answer: &mut Answer,
        number: u32,
    ) -> Result<Self, Error> {
        let (known, newest) = answer.known(operation)?;
        Ok(Self::found(known, answer, number, newest.place))
    }

    /// The ring in the answer to an append of `id`, which was asked for it as well.
    fn after_append(known: Known, answer: &mut Answer, number: u32, id: u64) -> Self {
        let newest = Place {
            revision: answer.revision,
            id,
        };
        Self::found(known, answer, number, newest)
    }

    fn found(known: Known, answer: &mut Answer, number: u32, newest: Place) -> Self {
        let at = answer.rings.iter().position(|(ring, _)| *ring == number);
        let held = at.map(|at| answer.rings.swap_remove(at).1);
        let revision = held.as_ref().map_or(0, |held| held.revision);
        let ring = held.and_then(|held| held.value);
        Self {
            known,
            number,
            revision,
            behind: ring.is_none().then_some(newest.revision),
            ring: ring.unwrap_or(Ring::behind(newest)),
        }
    }

    pub(crate) const fn known(&self) -> &Known {
        &self.known
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The ring whose turn is next.
    pub(crate) const fn following(&self) -> u32 {
        (self.number + 1) % self.known.meta.rings
    }

    /// Any other ring, if there are several.
    pub(crate) fn another(&self) -> u32 {
        let rings = self.known.meta.rings;
        match rings {
            0 | 1 => 0,
            _ => (self.number + rand::random_range(1..rings)) % rings,
        }
    }

    /// That nothing has changed that the operations rely on.
    pub(crate) fn compares(&self, keys: &Keys) -> Vec<Compare> {
        let mut compares = vec![
            Compare::mod_revision(keys.meta(), CompareOp::Equal, self.known.meta_revision),
            Compare::create_revision(keys.newest(), CompareOp::Equal, self.known.identity.created),
            Compare::mod_revision(keys.ring(self.number), CompareOp::Equal, self.revision),
        ];
        if let Some(newest) = self.behind {
            let same = Compare::mod_revision(keys.newest(), CompareOp::Equal, newest);
            compares.push(same);
        }
        compares
    }

    /// Writes the ring with one more append, and that it is the newest.
    pub(crate) fn operations(&self, keys: &Keys, id: u64, entries: &[Bytes]) -> Vec<TxnOp> {
        let capacity = self.known.meta.capacity as usize;
        vec![
            TxnOp::put(
                keys.ring(self.number),
                self.ring.pushed(id, entries, capacity),
                None,
            ),
            TxnOp::put(keys.newest(), newest_value(id), None),
        ]
    }

    /// Asks for another ring to try, should this one have changed.
    pub(crate) fn look_elsewhere(keys: &Keys, another: u32) -> Vec<TxnOp> {
        let mut all = look(keys);
        all.push(look_at(keys, another));
        all
    }

    /// The append of this id, which was committed at this revision of this cluster.
    pub(crate) fn appended(&self, cluster: u64, revision: i64, id: u64) -> Seen {
        Seen {
            identity: Identity {
                cluster,
                ..self.known.identity
            },
            witness: Witness {
                place: Place { revision, id },
                ring: self.number,
            },
        }
    }

    /// Where the entries stand that were committed, and the ring for the next append.
    pub(crate) fn committed(
        self,
        answer: &mut Answer,
        id: u64,
        entries: usize,
    ) -> (Vec<Position>, Self) {
        let next = self.following();
        let identity = Identity {
            cluster: answer.cluster,
            ..self.known.identity
        };
        let positions = positions(identity, id, entries);
        (positions, Self::after_append(self.known, answer, next, id))
    }
}

/// Waits a moment before another ring is tried, since others are at them as well: a random one, and a longer one the more
/// often.
pub(crate) async fn step_aside(round: u32) {
    let most = Duration::from_millis(1 << round.min(6));
    tokio::time::sleep(most.mul_f64(rand::random())).await;
}

/// Nothing was written in all that time, for others were always quicker.
pub(crate) fn crowded(operation: &'static str, limit: Duration) -> Error {
    error(
        ErrorKind::TimedOut,
        operation,
        format!(
            "every ring that was tried in {limit:?} was being written by others, and nothing was done: let fewer nodes \
             append at once, or install the log with more rings"
        ),
    )
}
