//! The format, which other versions and other languages read and write.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use invalidation_core::{CacheName, Entry, Invalidation, Nonce, Payload, Scope};

use crate::{Column, Columns, Row, parameter};

fn entry(nonce: u64, scope: Option<Scope>) -> Entry {
    let cache = || CacheName::new("users").unwrap();
    let of = |scope| Invalidation::Cache {
        cache: cache(),
        scope,
    };
    Entry {
        nonce: Nonce(nonce),
        invalidation: scope.map_or(Invalidation::Everything, of),
    }
}

fn entries() -> [Entry; 4] {
    [
        entry(1, Some(Scope::keys(["1", "\"é\u{0}🦀\\"]))),
        entry(u64::MAX, Some(Scope::tags(["a"]))),
        entry(1 << 63, Some(Scope::All)),
        entry(0, None),
    ]
}

/// What was written is read.
#[test]
fn rows_come_back() {
    for entry in entries() {
        let row = Row::of(&entry);
        let items = row.items_as_json();
        let columns = Columns {
            nonce: Some(row.nonce).into(),
            cache: row.cache.into(),
            scope: Column::Text(row.scope),
            items: Column::Text(&items),
        };
        assert_eq!(columns.decode(), Payload::Entry(entry));
    }
}

/// The words and the JSON of every version: a rolling upgrade reads the other's.
#[test]
fn the_format_stays() {
    let expected = concat!(
        r#"{"entries":["#,
        r#"["1","users","keys","[\"1\",\"\\\"é\\u0000🦀\\\\\"]"],"#,
        r#"["-1","users","tags","[\"a\"]"],"#,
        r#"["-9223372036854775808","users","all","[]"],"#,
        r#"["0",null,"everything","[]"]"#,
        r#"],"log":"here"}"#
    );
    assert_eq!(parameter("here", entries().iter()), expected);
}

/// P12: to the cache if that much can be read, else to everything, and why.
#[test]
fn what_cannot_be_read_widens() {
    use Column::{Integer, Null, Other, Text};
    let good = Columns {
        nonce: Integer(1),
        cache: Text("users"),
        scope: Text("keys"),
        items: Text("[]"),
    };
    let of_nonce = |nonce| Columns { nonce, ..good };
    let of_cache = |cache| Columns { cache, ..good };
    let of_scope = |scope| Columns { scope, ..good };
    let of_items = |items| Columns { items, ..good };
    let everything = |cache| Columns {
        cache,
        ..of_scope(Text("everything"))
    };
    for (columns, to, expected) in [
        (
            of_nonce(Null),
            Some("users"),
            "nonce is NULL, not an integer",
        ),
        (
            of_nonce(Text("1")),
            Some("users"),
            "nonce is \"1\", not an integer",
        ),
        (
            Columns {
                cache: Null,
                ..of_nonce(Null)
            },
            None,
            "nonce is NULL, not an integer",
        ),
        (of_cache(Null), None, "cache is NULL, not a name"),
        (
            of_cache(Integer(7)),
            None,
            "cache is the integer 7, not a name",
        ),
        (of_cache(Text("")), None, ""),
        (of_scope(Null), Some("users"), "scope is NULL"),
        (of_scope(Text("KEYS")), Some("users"), "scope is \"KEYS\""),
        (
            of_items(Other("too large")),
            Some("users"),
            "items is too large",
        ),
        (
            of_items(Text("[1]")),
            Some("users"),
            "items is not a JSON array of texts",
        ),
        (
            everything(Text("users")),
            None,
            "scope is everything, but cache is \"users\"",
        ),
        (
            everything(Other("a blob")),
            None,
            "scope is everything, but cache is a blob",
        ),
    ] {
        let Payload::Undecodable { cache, why } = columns.decode() else {
            panic!("{columns:?} was read");
        };
        assert_eq!(cache.as_ref().map(CacheName::as_str), to, "{columns:?}");
        assert!(why.starts_with(expected), "{columns:?}: {why}");
    }
}
