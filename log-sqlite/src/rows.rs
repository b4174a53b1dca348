//! Between an entry and its row.

use std::sync::Arc;

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope, Text};
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef, sqlite::SqliteRow};

/// The words of the column `scope`.
pub(crate) const KEYS: &str = "keys";
pub(crate) const TAGS: &str = "tags";
pub(crate) const ALL: &str = "all";
pub(crate) const EVERYTHING: &str = "everything";

/// A row's columns, whatever was put into them. SQLite lets any program store any type in any column.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) nonce: Stored,
    pub(crate) cache: Stored,
    pub(crate) scope: Stored,
    pub(crate) items: Stored,
}

/// A value as SQLite holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Null,
    Integer(i64),
    Text(String),
    /// Any other type, or a text that is not UTF-8: its name.
    Other(&'static str),
}

impl Stored {
    pub(crate) fn of(row: &SqliteRow, column: usize) -> Self {
        let Ok(value) = row.try_get_raw(column) else {
            return Self::Other("nothing");
        };
        if value.is_null() {
            return Self::Null;
        }
        let type_name = value.type_info().name().to_owned();
        match type_name.as_str() {
            "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(value)
                .map_or(Self::Other("an unreadable integer"), Self::Integer),
            "TEXT" => <String as Decode<'_, Sqlite>>::decode(value)
                .map_or(Self::Other("a text that is not UTF-8"), Self::Text),
            "REAL" => Self::Other("a real number"),
            _ => Self::Other("a blob"),
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text().map_or(8, str::len)
    }

    fn describe(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Integer(value) => format!("the integer {value}"),
            Self::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Self::Other(what) => (*what).into(),
        }
    }
}

impl Columns {
    /// What the row says. Whatever cannot be read widens: to its cache if that much can be read, else to
    /// everything (`P12`). Never an error, or one bad row would stop the feed.
    pub(crate) fn decode(self) -> Payload {
        let cache = self.cache.text().map(CacheName::new);
        let known_cache = match &cache {
            Some(Ok(name)) => Some(name.clone()),
            _ => None,
        };
        let widen = |cache: Option<CacheName>, why: String| Payload::Undecodable { cache, why };
        let Some(nonce) = self.nonce.integer() else {
            let why = format!("nonce is {}, not an integer", self.nonce.describe());
            return widen(known_cache, why);
        };
        let entry = |invalidation| {
            Payload::Entry(Entry {
                nonce: Nonce(nonce.cast_unsigned()),
                invalidation,
            })
        };
        if self.scope.text() == Some(EVERYTHING) {
            return match self.cache {
                Stored::Null => entry(Invalidation::Everything),
                // It contradicts itself; the larger of its two meanings is the safe one.
                other => widen(
                    None,
                    format!("scope is everything, but cache is {}", other.describe()),
                ),
            };
        }
        let cache = match cache {
            Some(Ok(name)) => name,
            Some(Err(e)) => return widen(None, e.to_string()),
            None => {
                return widen(
                    None,
                    format!("cache is {}, not a name", self.cache.describe()),
                );
            }
        };
        let scope = match self.scope.text() {
            Some(ALL) => Ok(Scope::All),
            Some(KEYS) => items(&self.items).map(Scope::Keys),
            Some(TAGS) => items(&self.items).map(Scope::Tags),
            _ => Err(format!("scope is {}", self.scope.describe())),
        };
        match scope {
            Ok(scope) => entry(Invalidation::Cache { cache, scope }),
            Err(why) => widen(Some(cache), why),
        }
    }
}

fn items(stored: &Stored) -> Result<Arc<[Text]>, String> {
    let Some(text) = stored.text() else {
        return Err(format!("items is {}, not a text", stored.describe()));
    };
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
