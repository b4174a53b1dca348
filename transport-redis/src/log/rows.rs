//! Between an entry and its row.

use std::sync::Arc;

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope, Text};
use redis::Value;

use super::{cursor::Place, reply::bytes, scripts::Arguments};

/// The words of the field `scope`.
const KEYS: &str = "keys";
const TAGS: &str = "tags";
const ALL: &str = "all";
const EVERYTHING: &str = "everything";

/// A row of the stream, whatever was written into it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    /// Names and values in turn.
    fields: Vec<Value>,
}

impl Row {
    /// As `XRANGE` gives it.
    pub(crate) fn of(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let [id, fields] = <[Value; 2]>::try_from(parts).ok()?;
        let id = std::str::from_utf8(bytes(&id)?).ok()?;
        let Value::Array(fields) = fields else {
            return None;
        };
        Some(Self {
            place: Place::parse(id)?,
            fields,
        })
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let mut pairs = self.fields.chunks_exact(2);
        let pair = pairs.find(|pair| bytes(&pair[0]) == Some(name.as_bytes()))?;
        bytes(&pair[1])
    }

    /// Tells this row from another at the same place.
    pub(crate) fn witness(&self) -> u64 {
        witness(self.field("nonce").unwrap_or_default())
    }

    /// The nonce, when it is one that this crate writes.
    pub(crate) fn nonce(&self) -> Option<u64> {
        self.field("nonce").and_then(nonce)
    }

    /// That of the row before it, when it was there as this one was appended.
    pub(crate) fn previous(&self) -> Option<u64> {
        self.field("prev")
            .filter(|nonce| !nonce.is_empty())
            .map(witness)
    }

    /// What the row says. Whatever cannot be read widens: to its cache if that much can be read, else to everything
    /// (`P12`). Never an error, or one bad row would stop the feed.
    pub(crate) fn decode(&self) -> Payload {
        let text = |name| {
            self.field(name)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
        };
        let cache = text("cache").map(CacheName::new);
        let known_cache = cache
            .as_ref()
            .and_then(|cache| cache.as_ref().ok())
            .cloned();
        let widen = |cache: Option<CacheName>, why: String| Payload::Undecodable { cache, why };
        let Some(nonce) = self.nonce() else {
            return widen(known_cache, "nonce is not a number of 64 bits".into());
        };
        let entry = |invalidation| {
            Payload::Entry(Entry {
                nonce: Nonce(nonce),
                invalidation,
            })
        };
        if text("scope") == Some(EVERYTHING) {
            return match text("cache") {
                Some("") => entry(Invalidation::Everything),
                // It contradicts itself; the larger of its two meanings is the safe one.
                _ => widen(None, "scope is everything, and cache is not empty".into()),
            };
        }
        let cache = match cache {
            Some(Ok(name)) => name,
            Some(Err(e)) => return widen(None, e.to_string()),
            None => return widen(None, "there is no cache in UTF-8".into()),
        };
        let scope = match text("scope") {
            Some(ALL) => Ok(Scope::All),
            Some(KEYS) => items(self.field("items")).map(Scope::Keys),
            Some(TAGS) => items(self.field("items")).map(Scope::Tags),
            Some(other) => Err(format!(
                "scope is {:?}",
                other.chars().take(40).collect::<String>()
            )),
            None => Err("there is no scope in UTF-8".into()),
        };
        match scope {
            Ok(scope) => entry(Invalidation::Cache { cache, scope }),
            Err(why) => widen(Some(cache), why),
        }
    }
}

fn items(field: Option<&[u8]>) -> Result<Arc<[Text]>, String> {
    let field = field.ok_or("there are no items")?;
    serde_json::from_slice::<Vec<Text>>(field)
        .map(Into::into)
        .map_err(|e| format!("items is not a JSON array of texts: {e}"))
}

/// A nonce as a number, when it is written as one.
pub(crate) fn nonce(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The nonce as a number, or of what is none a hash: FNV-1a of 64 bits. Of one that is longer than any of ours the scripts
/// give no more than its beginning.
pub(crate) fn witness(text: &[u8]) -> u64 {
    const MOST: usize = 64;
    let text = &text[..text.len().min(MOST)];
    nonce(text).unwrap_or_else(|| {
        text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    })
}

/// What an entry puts into its row, as the script takes it.
pub(crate) fn encode(entry: &Entry, into: &mut Arguments) {
    let (cache, scope, items) = parts(&entry.invalidation);
    into.push(entry.nonce.0.to_string());
    into.push(cache);
    into.push(scope);
    into.push(match items {
        None => Vec::new(),
        // Texts are JSON without exception.
        Some(items) => serde_json::to_vec(items).unwrap_or_default(),
    });
}

/// How many bytes of keys and tags it holds.
pub(crate) fn size(entry: &Entry) -> usize {
    let (cache, _, items) = parts(&entry.invalidation);
    let items: usize = items
        .unwrap_or_default()
        .iter()
        .map(|item| item.len())
        .sum();
    cache.len() + items
}

fn parts(invalidation: &Invalidation) -> (&str, &'static str, Option<&[Text]>) {
    match invalidation {
        Invalidation::Everything => ("", EVERYTHING, None),
        Invalidation::Cache { cache, scope } => {
            let (word, items): (_, Option<&[Text]>) = match scope {
                Scope::All => (ALL, None),
                Scope::Keys(keys) => (KEYS, Some(keys)),
                Scope::Tags(tags) => (TAGS, Some(tags)),
            };
            (cache.as_str(), word, items)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn row(fields: &[(&str, &[u8])]) -> Row {
        let text = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let fields = fields
            .iter()
            .flat_map(|(name, value)| [text(name.as_bytes()), text(value)]);
        Row::of(Value::Array(vec![
            text(b"3-0"),
            Value::Array(fields.collect()),
        ]))
        .unwrap()
    }

    fn concerns(fields: &[(&str, &[u8])]) -> Option<Option<String>> {
        match row(fields).decode() {
            Payload::Entry(_) => None,
            Payload::Undecodable { cache, .. } => Some(cache.map(|cache| cache.to_string())),
        }
    }

    /// P12: what cannot be decoded widens to its cache where that can be read, else to everything.
    #[test]
    fn what_is_unreadable_widens() {
        let users: (&str, &[u8]) = ("cache", b"users");
        let nonce: (&str, &[u8]) = ("nonce", b"7");
        let keys: (&str, &[u8]) = ("scope", b"keys");
        assert_eq!(concerns(&[nonce, users, keys, ("items", b"[\"1\"]")]), None);
        assert_eq!(concerns(&[nonce, users, ("scope", b"all")]), None);
        let only_users = Some(Some("users".to_owned()));
        for bad in [
            &[users, keys, ("items", b"[\"1\"]")][..],
            &[("nonce", b"-1"), users, keys, ("items", b"[]")],
            &[("nonce", b"01"), users, keys, ("items", b"[]")],
            &[nonce, users, keys],
            &[nonce, users, keys, ("items", b"[1]")],
            &[nonce, users, keys, ("items", b"[\"\xff\"]")],
            &[nonce, users, ("scope", b"prefixes")],
            &[nonce, users],
        ] {
            assert_eq!(concerns(bad), only_users, "{bad:?}");
        }
        for bad in [
            &[][..],
            &[nonce, ("cache", b""), keys],
            &[nonce, ("cache", b"\xff"), keys],
            &[nonce, users, ("scope", b"everything")],
            &[nonce, ("scope", b"everything")],
        ] {
            assert_eq!(concerns(bad), Some(None), "{bad:?}");
        }
    }

    /// P10: two rows that differ in their nonces are told apart, whatever these are.
    #[test]
    fn witnesses_differ() {
        let texts: [&[u8]; 6] = [b"", b"1", b"01", b"x", b"y", b"99999999999999999999"];
        for (at, text) in texts.iter().enumerate() {
            for other in &texts[..at] {
                assert_ne!(witness(text), witness(other), "{text:?} {other:?}");
            }
        }
        assert_eq!(witness(b"18446744073709551615"), u64::MAX);
        assert_eq!(row(&[("prev", b"")]).previous(), None);
        assert_eq!(row(&[("prev", b"5")]).previous(), Some(5));
    }
}
