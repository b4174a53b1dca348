//! Splitting to a transport's largest frame.

use prost::{Message as _, bytes::Bytes, length_delimiter_len};

use super::{
    Carried, Standing,
    encode::{identity, to_wire},
    wire,
};
use crate::words::{ClusterName, Entry, Invalidation, LogIdentity, Scope, Text};

/// The smallest `max_frame` that can hold any invalidation: one frame with the longest names of a cluster
/// and a cache. A transport whose `max_frame` is smaller is of no use.
pub const MIN_FRAME: usize = 512;

/// Splits `carried` into parts, in order, each of which is at most `max_frame` bytes when it is encoded as
/// one frame of `cluster`. Nothing is lost (`P11`):
///
/// - An entry with too many items becomes several with the same nonce. Each hashes differently from the
///   whole, and so proves only its part.
/// - An entry with an item that does not fit alone widens to its whole cache, and is counted.
///
/// Below [`MIN_FRAME`] a part may be larger than `max_frame`.
pub fn pack(carried: Vec<Carried>, max_frame: usize, cluster: &ClusterName) -> Vec<Vec<Carried>> {
    let mut packing = Packing {
        max_frame,
        base: base_len(cluster),
        done: Vec::new(),
        part: Part::default(),
    };
    for carried in carried {
        packing.add(carried);
    }
    packing.next_part();
    packing.done
}

/// The length of a frame without entries: version byte, names, the longest sequence.
fn base_len(cluster: &ClusterName) -> usize {
    1 + wire::Envelope {
        cluster: cluster.as_str().to_owned(),
        origin: Bytes::from_static(&[0; 16]),
        sequence: u64::MAX,
        kind: wire::kind::INVALIDATIONS,
        entries: Vec::new(),
        identity: None,
    }
    .encoded_len()
}

/// The length of a length-delimited field with a number below 16.
fn field_len(len: usize) -> usize {
    1 + length_delimiter_len(len) + len
}

struct Packing {
    max_frame: usize,
    base: usize,
    done: Vec<Vec<Carried>>,
    part: Part,
}

#[derive(Default)]
struct Part {
    carried: Vec<Carried>,
    /// Without the base.
    len: usize,
    /// The identity that stands once for the frame: that of the first entry which has one.
    identity: Option<LogIdentity>,
}

impl Packing {
    fn add(&mut self, carried: Carried) {
        if self.fits_into_part(&carried) {
            return self.push(carried);
        }
        // Whole entries first: a split one proves nothing, and is applied twice.
        self.next_part();
        if self.fits_into_part(&carried) {
            return self.push(carried);
        }
        match self.split(&carried) {
            Some(pieces) => {
                for piece in pieces {
                    if !self.fits_into_part(&piece) {
                        self.next_part();
                    }
                    self.push(piece);
                }
            }
            None => self.push_widened(carried),
        }
    }

    fn fits_into_part(&self, carried: &Carried) -> bool {
        self.base + self.part.len + self.cost(carried) <= self.max_frame
    }

    fn push(&mut self, carried: Carried) {
        self.part.len += self.cost(&carried);
        if self.part.identity.is_none() {
            self.part.identity = identity(&carried.standing).cloned();
        }
        self.part.carried.push(carried);
    }

    /// What `carried` adds to the present part.
    fn cost(&self, carried: &Carried) -> usize {
        let own = identity(&carried.standing);
        let shared = self.part.identity.as_ref();
        let brought = match (shared, own) {
            (None, Some(own)) => field_len(own.as_bytes().len()),
            _ => 0,
        };
        let message = without_items(carried, shared.or(own)).encoded_len()
            + items(carried).iter().map(item_len).sum::<usize>();
        brought + field_len(message)
    }

    fn next_part(&mut self) {
        let part = std::mem::take(&mut self.part);
        if !part.carried.is_empty() {
            self.done.push(part.carried);
        }
    }

    /// Pieces of `carried` that fit one frame each, as large as may be; `None` when an item does not fit
    /// even alone. Called with an empty part.
    fn split(&self, carried: &Carried) -> Option<Vec<Carried>> {
        let own = identity(&carried.standing);
        let brought = own.map_or(0, |own| field_len(own.as_bytes().len()));
        let room = self.max_frame.checked_sub(self.base + brought)?;
        let fixed = without_items(carried, own).encoded_len();
        let fits = |items: usize| field_len(fixed + items) <= room;

        let all = items(carried);
        let mut pieces = Vec::new();
        let (mut start, mut len) = (0, 0);
        for (at, item) in all.iter().enumerate() {
            let more = item_len(item);
            if !fits(more) {
                return None;
            }
            if !fits(len + more) {
                pieces.push(piece(carried, &all[start..at]));
                (start, len) = (at, 0);
            }
            len += more;
        }
        if start == all.len() {
            return None;
        }
        pieces.push(piece(carried, &all[start..]));
        Some(pieces)
    }

    fn push_widened(&mut self, carried: Carried) {
        if !items(&carried).is_empty() {
            metrics::counter!("cache_invalidation_widened_total", "reason" => "item_too_large")
                .increment(1);
        }
        let mut widened = Carried {
            entry: Entry {
                nonce: carried.entry.nonce,
                invalidation: match carried.entry.invalidation {
                    Invalidation::Cache { cache, .. } => Invalidation::Cache {
                        cache,
                        scope: Scope::All,
                    },
                    Invalidation::Everything => Invalidation::Everything,
                },
            },
            standing: carried.standing,
        };
        if !self.fits_into_part(&widened) {
            // An identity of absurd length. What is not proven is applied once more from the log.
            widened.standing = Standing::Claimed;
        }
        self.push(widened);
    }
}

fn items(carried: &Carried) -> &[Text] {
    match &carried.entry.invalidation {
        Invalidation::Cache {
            scope: Scope::Keys(items) | Scope::Tags(items),
            ..
        } => items,
        _ => &[],
    }
}

fn item_len(item: &Text) -> usize {
    field_len(item.len())
}

/// The message for `carried` but for its items.
fn without_items(carried: &Carried, shared: Option<&LogIdentity>) -> wire::Carried {
    to_wire(&piece(carried, &[]), shared)
}

/// `carried` with these of its items.
fn piece(carried: &Carried, items: &[Text]) -> Carried {
    Carried {
        entry: Entry {
            nonce: carried.entry.nonce,
            invalidation: match &carried.entry.invalidation {
                Invalidation::Cache { cache, scope } => Invalidation::Cache {
                    cache: cache.clone(),
                    scope: match scope {
                        Scope::Keys(_) => Scope::Keys(items.into()),
                        Scope::Tags(_) => Scope::Tags(items.into()),
                        Scope::All => Scope::All,
                    },
                },
                Invalidation::Everything => Invalidation::Everything,
            },
        },
        standing: carried.standing.clone(),
    }
}
