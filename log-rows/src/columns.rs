//! From a row to what it says.

use std::sync::Arc;

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope, Text};

use crate::scope::{ALL, EVERYTHING, KEYS, TAGS};

/// A column as it was found, whatever anybody put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// Anything else: what it is, for the operator.
    Other(&'static str),
}

impl<'a> Column<'a> {
    /// The integer, if it is one.
    pub const fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Integer(value) => format!("the integer {value}"),
            Self::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Self::Other(what) => what.into(),
        }
    }
}

impl From<Option<i64>> for Column<'_> {
    fn from(found: Option<i64>) -> Self {
        found.map_or(Self::Null, Self::Integer)
    }
}

impl<'a> From<Option<&'a str>> for Column<'a> {
    fn from(found: Option<&'a str>) -> Self {
        found.map_or(Self::Null, Self::Text)
    }
}

/// The columns of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a> {
    /// An integer.
    pub nonce: Column<'a>,
    /// A name, or NULL.
    pub cache: Column<'a>,
    /// A word.
    pub scope: Column<'a>,
    /// A JSON array of texts. A log need not fetch one that is too large.
    pub items: Column<'a>,
}

impl Columns<'_> {
    /// What the row says. Whatever cannot be read widens: to its cache if that much can be read, else to
    /// everything (`P12`). Never an error, or one bad row would stop the feed.
    pub fn decode(self) -> Payload {
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
                Column::Null => entry(Invalidation::Everything),
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
                let why = format!("cache is {}, not a name", self.cache.describe());
                return widen(None, why);
            }
        };
        let scope = match self.scope.text() {
            Some(ALL) => Ok(Scope::All),
            Some(KEYS) => items(self.items).map(Scope::Keys),
            Some(TAGS) => items(self.items).map(Scope::Tags),
            _ => Err(format!("scope is {}", self.scope.describe())),
        };
        match scope {
            Ok(scope) => entry(Invalidation::Cache { cache, scope }),
            Err(why) => widen(Some(cache), why),
        }
    }
}

fn items(column: Column<'_>) -> Result<Arc<[Text]>, String> {
    let Some(text) = column.text() else {
        return Err(format!("items is {}", column.describe()));
    };
    serde_json::from_str::<Vec<Text>>(text)
        .map(Into::into)
        .map_err(|e| format!("items is not a JSON array of texts: {e}"))
}
