//! Between an entry and its row.

use std::sync::Arc;

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope, Text};

/// The words of the column `scope`.
const KEYS: &str = "keys";
const TAGS: &str = "tags";
const ALL: &str = "all";
const EVERYTHING: &str = "everything";

/// A row's columns. What is NULL, not UTF-8 or too large to be fetched is none.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    pub(crate) nonce: Option<i64>,
    pub(crate) cache: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) items: Option<&'a str>,
}

impl Columns<'_> {
    /// What the row says. Whatever cannot be read widens: to its cache if that much can be read, else to
    /// everything (`P12`). Never an error, or one bad row would stop the feed.
    pub(crate) fn decode(&self) -> Payload {
        let widen = |cache: Option<CacheName>, why: String| Payload::Undecodable { cache, why };
        let cache = match self.cache.map(CacheName::new) {
            Some(Ok(name)) => Some(name),
            Some(Err(e)) => return widen(None, e.to_string()),
            None => None,
        };
        let Some(nonce) = self.nonce else {
            return widen(cache, "nonce is not an integer".into());
        };
        let entry = |invalidation| {
            Payload::Entry(Entry {
                nonce: Nonce(nonce.cast_unsigned()),
                invalidation,
            })
        };
        if self.scope == Some(EVERYTHING) {
            return match cache {
                None => entry(Invalidation::Everything),
                // It contradicts itself; the larger of its two meanings is the safe one.
                Some(name) => widen(
                    None,
                    format!("scope is everything, but cache is {:?}", name.as_str()),
                ),
            };
        }
        let Some(cache) = cache else {
            return widen(None, "cache is not a name".into());
        };
        let scope = match self.scope {
            Some(ALL) => Ok(Scope::All),
            Some(KEYS) => items(self.items).map(Scope::Keys),
            Some(TAGS) => items(self.items).map(Scope::Tags),
            other => Err(format!("scope is {:?}", other.map(shortened))),
        };
        match scope {
            Ok(scope) => entry(Invalidation::Cache { cache, scope }),
            Err(why) => widen(Some(cache), why),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn items(stored: Option<&str>) -> Result<Arc<[Text]>, String> {
    let text = stored.ok_or("items is too large or no text")?;
    serde_json::from_str::<Vec<Text>>(text)
        .map(Into::into)
        .map_err(|e| format!("items is not a JSON array of texts: {e}"))
}

/// What an entry puts into the columns `cache`, `scope` and `items`.
pub(crate) fn encode(invalidation: &Invalidation) -> (Option<&str>, &'static str, &[Text]) {
    match invalidation {
        Invalidation::Everything => (None, EVERYTHING, &[]),
        Invalidation::Cache { cache, scope } => {
            let (word, items): (_, &[Text]) = match scope {
                Scope::All => (ALL, &[]),
                Scope::Keys(keys) => (KEYS, keys),
                Scope::Tags(tags) => (TAGS, tags),
            };
            (Some(cache.as_str()), word, items)
        }
    }
}
