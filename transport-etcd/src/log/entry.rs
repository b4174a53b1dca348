//! One entry as it is stored.

use bytes::Bytes;
use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope};
use prost::Message;

/// ```proto
/// message Entry {
///   fixed64 nonce = 1;
///   optional string cache = 2;    // none: everything
///   uint32 scope = 3;             // 1 all, 2 keys, 3 tags, 4 everything, 5 too large for a ring: all of the cache
///   repeated string items = 4;
/// }
/// ```
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(fixed64, tag = "1")]
    nonce: u64,
    #[prost(bytes = "bytes", optional, tag = "2")]
    cache: Option<Bytes>,
    #[prost(uint32, tag = "3")]
    scope: u32,
    // Bytes and strings have the same form on the wire. Bytes share the answer's buffer, and are checked once.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    items: Vec<Bytes>,
}

/// The one field that is worth having when the others cannot be read.
#[derive(Clone, PartialEq, Message)]
struct CacheOnly {
    #[prost(bytes = "bytes", optional, tag = "2")]
    cache: Option<Bytes>,
}

const ALL: u32 = 1;
const KEYS: u32 = 2;
const TAGS: u32 = 3;
const EVERYTHING: u32 = 4;
const TOO_LARGE: u32 = 5;

pub(crate) fn encode(entry: &Entry) -> Bytes {
    let (cache, scope, items): (_, _, &[_]) = match &entry.invalidation {
        Invalidation::Everything => (None, EVERYTHING, &[]),
        Invalidation::Cache { cache, scope } => {
            let (word, items): (_, &[_]) = match scope {
                Scope::All => (ALL, &[]),
                Scope::Keys(keys) => (KEYS, keys),
                Scope::Tags(tags) => (TAGS, tags),
            };
            (Some(cache), word, items)
        }
    };
    let stored = Stored {
        nonce: entry.nonce.0,
        cache: cache.map(|name| Bytes::copy_from_slice(name.as_str().as_bytes())),
        scope,
        items: items
            .iter()
            .map(|item| Bytes::copy_from_slice(item.as_bytes()))
            .collect(),
    };
    stored.encode_to_vec().into()
}

/// The same entry without its keys or tags, which were too large: whoever reads it clears the cache (`P11`).
pub(crate) fn encode_widened(entry: &Entry) -> Bytes {
    let Invalidation::Cache { cache, .. } = &entry.invalidation else {
        return encode(entry);
    };
    let stored = Stored {
        nonce: entry.nonce.0,
        cache: Some(Bytes::copy_from_slice(cache.as_str().as_bytes())),
        scope: TOO_LARGE,
        items: Vec::new(),
    };
    stored.encode_to_vec().into()
}

/// About how many bytes [`encode`] gives.
pub(crate) fn size(entry: &Entry) -> usize {
    /// Nonce, scope and the lengths of both, and then of each item.
    const AROUND: usize = 24;
    const EACH: usize = 5;
    AROUND
        + match &entry.invalidation {
            Invalidation::Everything => 0,
            Invalidation::Cache { cache, scope } => {
                let items = match scope {
                    Scope::All => 0,
                    Scope::Keys(items) | Scope::Tags(items) => {
                        items.iter().map(|item| item.len() + EACH).sum()
                    }
                };
                cache.as_str().len() + items
            }
        }
}

/// What is stored says. What cannot be read widens: to its cache if that much can be read, else to everything (`P12`).
/// Never an error, or one bad entry would stop the feed.
pub(crate) fn decode(stored: &Bytes) -> Payload {
    let read = match Stored::decode(stored.clone()) {
        Ok(read) => read,
        Err(e) => {
            let cache = CacheOnly::decode(stored.clone()).ok();
            let cache = cache.and_then(|only| name(only.cache).ok().flatten());
            return widen(cache, format!("not the message of an entry: {e}"));
        }
    };
    let cache = match name(read.cache) {
        Ok(cache) => cache,
        Err(why) => return widen(None, why),
    };
    let nonce = Nonce(read.nonce);
    let Some(cache) = cache else {
        return match read.scope {
            EVERYTHING => Payload::Entry(Entry {
                nonce,
                invalidation: Invalidation::Everything,
            }),
            other => widen(None, format!("scope {other} without a cache")),
        };
    };
    let scope = match read.scope {
        ALL => Ok(Scope::All),
        KEYS => texts(&read.items).map(Scope::keys),
        TAGS => texts(&read.items).map(Scope::tags),
        TOO_LARGE => Err("its keys or tags were too large for the log".into()),
        // It contradicts itself; the larger of its two meanings is the safe one.
        EVERYTHING => return widen(None, "scope everything with a cache".into()),
        other => Err(format!("unknown scope {other}")),
    };
    match scope {
        Ok(scope) => Payload::Entry(Entry {
            nonce,
            invalidation: Invalidation::Cache { cache, scope },
        }),
        Err(why) => widen(Some(cache), why),
    }
}

fn widen(cache: Option<CacheName>, why: String) -> Payload {
    Payload::Undecodable { cache, why }
}

fn name(bytes: Option<Bytes>) -> Result<Option<CacheName>, String> {
    bytes
        .map(|bytes| {
            let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string())?;
            CacheName::new(text).map_err(|e| e.to_string())
        })
        .transpose()
}

fn texts(items: &[Bytes]) -> Result<Vec<&str>, String> {
    items
        .iter()
        .map(|item| std::str::from_utf8(item).map_err(|e| format!("an item is not UTF-8: {e}")))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn users() -> CacheName {
        CacheName::new("users").unwrap()
    }

    fn entry(scope: Scope) -> Entry {
        Entry::new(Invalidation::Cache {
            cache: users(),
            scope,
        })
    }

    fn caches_flushed(stored: &Stored) -> Option<CacheName> {
        match decode(&stored.encode_to_vec().into()) {
            Payload::Undecodable { cache, .. } => cache,
            Payload::Entry(entry) => panic!("expected {stored:?} to widen, and found {entry:?}"),
        }
    }

    #[test]
    fn entries_come_back() {
        let everything = Entry::new(Invalidation::Everything);
        for entry in [
            entry(Scope::All),
            entry(Scope::keys(["", "ä"])),
            entry(Scope::tags(["t"])),
            entry(Scope::tags::<&str>([])),
            everything,
        ] {
            let stored = encode(&entry);
            assert!(size(&entry) >= stored.len(), "{entry:?}");
            assert_eq!(decode(&stored), Payload::Entry(entry));
        }
    }

    /// P12: what cannot be read flushes its cache, or everything where not even that is known.
    #[test]
    fn p12_what_cannot_be_read_widens() {
        let unknown = Stored {
            nonce: 1,
            cache: Some("users".into()),
            scope: 77,
            items: vec!["1".into()],
        };
        assert_eq!(caches_flushed(&unknown), Some(users()));
        let no_text = Stored {
            scope: KEYS,
            items: vec![Bytes::from_static(b"\xff")],
            ..unknown.clone()
        };
        assert_eq!(caches_flushed(&no_text), Some(users()));
        let nameless = Stored {
            cache: None,
            ..unknown.clone()
        };
        assert_eq!(caches_flushed(&nameless), None);
        let both = Stored {
            scope: EVERYTHING,
            ..unknown
        };
        assert_eq!(caches_flushed(&both), None);
        // A nonce of another wire type: the message as a whole is lost, its cache is not.
        let odd = [&[0x0a, 0x01, 0x00, 0x12, 0x05][..], b"users"].concat();
        assert!(matches!(
            decode(&odd.into()),
            Payload::Undecodable { cache: Some(cache), .. } if cache == users()
        ));
        assert!(matches!(
            decode(&Bytes::from_static(b"\xff\xff")),
            Payload::Undecodable { cache: None, .. }
        ));
    }

    /// P11: what is too large clears its cache, and nothing less.
    #[test]
    fn p11_what_is_too_large_clears_its_cache() {
        let stored = encode_widened(&entry(Scope::keys(["1"])));
        assert!(matches!(
            decode(&stored),
            Payload::Undecodable { cache: Some(cache), .. } if cache == users()
        ));
    }
}
