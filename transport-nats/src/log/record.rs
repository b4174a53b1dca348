//! Between entries and the payload of one message.
//!
//! A message carries all entries of one or more appends: JetStream stores a message as a whole or not at all, which no number
//! of messages would be. Its first byte is the format, what follows is protobuf; each entry is encoded on its own within it,
//! so that one that cannot be read leaves the others readable (`P12`).

use bytes::Bytes;
use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope, Text};
use prost::Message;

/// A message that begins otherwise was made by a newer version, or by somebody else.
const FORMAT: u8 = 1;
/// What protobuf adds to an entry within a message, at most: a tag and a length.
const AROUND: usize = 6;

const KEYS: i32 = 1;
const TAGS: i32 = 2;
const ALL: i32 = 3;
const EVERYTHING: i32 = 4;

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    records: Vec<Bytes>,
    /// Whether it is one that says nothing. A version that does not know of them reads its one record.
    #[prost(bool, tag = "2")]
    opens: bool,
}

/// A version that adds a meaning adds a scope: those that do not know it then widen.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(fixed64, tag = "1")]
    nonce: u64,
    /// Empty for everything.
    #[prost(string, tag = "2")]
    cache: String,
    #[prost(int32, tag = "3")]
    scope: i32,
    #[prost(string, repeated, tag = "4")]
    items: Vec<String>,
}

/// An entry as it stands in a message.
pub(super) fn encoded(entry: &Entry) -> Bytes {
    let (cache, scope, items): (_, _, &[Text]) = match &entry.invalidation {
        Invalidation::Everything => ("", EVERYTHING, &[]),
        Invalidation::Cache { cache, scope } => {
            let (scope, items): (_, &[Text]) = match scope {
                Scope::Keys(keys) => (KEYS, keys),
                Scope::Tags(tags) => (TAGS, tags),
                Scope::All => (ALL, &[]),
            };
            (cache.as_str(), scope, items)
        }
    };
    let record = Record {
        nonce: entry.nonce.0,
        cache: cache.to_owned(),
        scope,
        items: items.iter().map(|item| String::from(&**item)).collect(),
    };
    record.encode_to_vec().into()
}

/// How many bytes of a message an encoded entry takes, at most.
pub(super) fn size(record: &Bytes) -> usize {
    record.len() + AROUND
}

/// The message of these.
pub(super) fn message(records: Vec<Bytes>) -> Bytes {
    let opens = false;
    of_batch(&Batch { records, opens })
}

/// A message that says nothing, and differs from every other. What a version reads that does not know of them is an entry for
/// no keys of a cache that there is not.
pub(super) fn opening() -> Bytes {
    let record = Record {
        nonce: rand::random(),
        cache: "cache_invalidation_log_opening".into(),
        scope: KEYS,
        items: Vec::new(),
    };
    of_batch(&Batch {
        records: vec![record.encode_to_vec().into()],
        opens: true,
    })
}

fn of_batch(batch: &Batch) -> Bytes {
    let mut message = Vec::with_capacity(1 + batch.encoded_len());
    message.push(FORMAT);
    message.extend(batch.encode_to_vec());
    message.into()
}

/// What a message says: at least one, since whatever cannot be read widens; none only if it is an [`opening`].
pub(super) fn payloads(message: &[u8]) -> Vec<Payload> {
    let whole = |why: String| vec![Payload::Undecodable { cache: None, why }];
    match message.split_first() {
        Some((&FORMAT, rest)) => match Batch::decode(rest) {
            Ok(batch) if batch.opens => Vec::new(),
            Ok(batch) if batch.records.is_empty() => whole("the message has no entries".into()),
            Ok(batch) => batch.records.into_iter().map(payload).collect(),
            Err(e) => whole(format!("the message is no batch of entries: {e}")),
        },
        Some((format, _)) => whole(format!("the message has format {format}")),
        None => whole("the message is empty".into()),
    }
}

/// How many bytes of keys and tags it has.
pub(super) fn weight(payload: &Payload) -> usize {
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

fn payload(record: Bytes) -> Payload {
    let widen = |cache, why| Payload::Undecodable { cache, why };
    let Record {
        nonce,
        cache,
        scope,
        items,
    } = match Record::decode(record) {
        Ok(record) => record,
        Err(e) => return widen(None, format!("the entry cannot be read: {e}")),
    };
    let entry = |invalidation| {
        Payload::Entry(Entry {
            nonce: Nonce(nonce),
            invalidation,
        })
    };
    if scope == EVERYTHING && cache.is_empty() {
        return entry(Invalidation::Everything);
    }
    let cache = match CacheName::new(&cache) {
        Ok(cache) if scope != EVERYTHING => cache,
        // It contradicts itself; the larger of its two meanings is the safe one.
        Ok(_) => {
            return widen(
                None,
                format!("the scope is everything, and the cache {cache:?}"),
            );
        }
        Err(e) => return widen(None, e.to_string()),
    };
    let scope = match scope {
        KEYS => Scope::keys(items),
        TAGS => Scope::tags(items),
        ALL => Scope::All,
        other => return widen(Some(cache), format!("the scope is {other}")),
    };
    entry(Invalidation::Cache { cache, scope })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn users(scope: Scope) -> Entry {
        let cache = CacheName::new("users").unwrap();
        Entry::new(Invalidation::Cache { cache, scope })
    }

    /// What was written is read, entry by entry.
    #[test]
    fn entries_come_back() {
        let entries = [
            users(Scope::keys(["1", "", "ü"])),
            users(Scope::tags(["t"])),
            users(Scope::All),
            Entry::new(Invalidation::Everything),
        ];
        let records: Vec<_> = entries.iter().map(encoded).collect();
        let most: usize = 1 + records.iter().map(size).sum::<usize>();
        let message = message(records);
        assert!(message.len() <= most);
        let expected: Vec<_> = entries.into_iter().map(Payload::Entry).collect();
        assert_eq!(payloads(&message), expected);
    }

    /// An opening says nothing to this version, and nothing of any cache's to those before it.
    #[test]
    fn an_opening_says_nothing() {
        #[derive(Clone, PartialEq, Message)]
        struct Before {
            #[prost(bytes = "bytes", repeated, tag = "1")]
            records: Vec<Bytes>,
        }
        let opening = opening();
        assert_eq!(payloads(&opening), []);
        assert_ne!(opening, super::opening());
        assert_eq!(opening[0], FORMAT);
        let before = Before::decode(&opening[1..]).unwrap();
        let read: Vec<_> = before.records.into_iter().map(payload).collect();
        match &read[..] {
            [Payload::Entry(entry)] => assert!(
                matches!(&entry.invalidation, Invalidation::Cache { scope, .. } if *scope == Scope::Keys([].into())),
                "{entry:?}"
            ),
            other => panic!("{other:?}"),
        }
    }

    /// P12: what cannot be read flushes what it may have meant, and nothing beside it.
    #[test]
    fn what_cannot_be_read_widens() {
        let good = users(Scope::keys(["1"]));
        let newer = Record {
            nonce: 1,
            cache: "users".into(),
            scope: 9,
            items: Vec::new(),
        };
        let contradiction = Record {
            scope: EVERYTHING,
            ..newer.clone()
        };
        let message = message(vec![
            Bytes::from_static(b"\xff"),
            encoded(&good),
            newer.encode_to_vec().into(),
            contradiction.encode_to_vec().into(),
        ]);
        let widened: Vec<_> = payloads(&message)
            .into_iter()
            .map(|payload| match payload {
                Payload::Entry(entry) => Ok(entry),
                Payload::Undecodable { cache, .. } => Err(cache),
            })
            .collect();
        let users = CacheName::new("users").unwrap();
        assert_eq!(widened, [Err(None), Ok(good), Err(Some(users)), Err(None)]);
        for nonsense in [&b""[..], b"\x01", b"\x02abc", b"\x01\xff", b"hello"] {
            assert!(
                matches!(
                    payloads(nonsense)[..],
                    [Payload::Undecodable { cache: None, .. }]
                ),
                "{nonsense:?}"
            );
        }
    }
}
