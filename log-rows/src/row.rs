//! From an entry to its row.

use invalidation_core::{Entry, Invalidation, Scope, Text};

use crate::scope::{ALL, EVERYTHING, KEYS, TAGS};

/// What an entry puts into its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row<'a> {
    /// As the column holds it.
    pub nonce: i64,
    /// The cache's name.
    pub cache: Option<&'a str>,
    /// The word.
    pub scope: &'static str,
    /// The keys or tags; the column holds [`items_as_json`](Self::items_as_json).
    pub items: &'a [Text],
}

impl<'a> Row<'a> {
    /// The row of `entry`.
    pub fn of(entry: &'a Entry) -> Self {
        let (cache, scope, items): (_, _, &[Text]) = match &entry.invalidation {
            Invalidation::Everything => (None, EVERYTHING, &[]),
            Invalidation::Cache { cache, scope } => {
                let (word, items): (_, &[Text]) = match scope {
                    Scope::All => (ALL, &[]),
                    Scope::Keys(keys) => (KEYS, keys),
                    Scope::Tags(tags) => (TAGS, tags),
                };
                (Some(cache.as_str()), word, items)
            }
        };
        Self {
            nonce: entry.nonce.0.cast_signed(),
            cache,
            scope,
            items,
        }
    }

    /// The text of the column `items`.
    pub fn items_as_json(&self) -> String {
        serde_json::json!(self.items).to_string()
    }
}

/// All of an append as one JSON text, for a statement with one parameter that any driver can run:
/// `{"log": …, "entries": [[nonce, cache, scope, items], …]}`, with `items` as the column holds it. `log` is what the
/// statement compares, so that it appends to no other log.
///
/// A nonce travels as text, because JSON readers turn large integers into doubles.
pub fn parameter<'a>(log: &str, entries: impl Iterator<Item = &'a Entry>) -> String {
    let entries: Vec<_> = entries
        .map(|entry| {
            let row = Row::of(entry);
            let nonce = row.nonce.to_string();
            serde_json::json!([nonce, row.cache, row.scope, row.items_as_json()])
        })
        .collect();
    serde_json::json!({ "log": log, "entries": entries }).to_string()
}
