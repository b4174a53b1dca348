//! The triggers that attach a table to a cache.

use invalidation_core::CacheName;

use super::{quote_name, table::Table, template::Template};
use crate::{connection::literal, database_name::DatabaseName};

/// What a change of a row invalidates.
pub(super) struct Rule<'a> {
    pub(super) cache: &'a CacheName,
    pub(super) key: Option<Template>,
    pub(super) tags: Vec<Template>,
}

/// One trigger.
pub(super) struct Trigger {
    pub(super) name: String,
    event: &'static str,
    /// What it does, as the catalogue shows it.
    pub(super) body: String,
}

const EVENTS: [(&str, &[&str]); 3] = [
    ("INSERT", &["NEW"]),
    ("UPDATE", &["OLD", "NEW"]),
    ("DELETE", &["OLD"]),
];

/// Their names, which no other table or cache of the database has.
pub(super) fn names(table: &Table, cache: &CacheName) -> [String; 3] {
    // FNV-1a, spelt out: what `std` hashes with may change, and the names must not.
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in table.name.bytes().chain([0]).chain(cache.as_str().bytes()) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_013b);
    }
    EVENTS.map(|(event, _)| {
        format!(
            "cache_invalidation_{hash:032x}_{}",
            event.to_ascii_lowercase()
        )
    })
}

pub(super) fn triggers(log: &DatabaseName, table: &Table, rule: &Rule<'_>) -> Vec<Trigger> {
    let body = |rows| body(log, rule, rows);
    names(table, rule.cache)
        .into_iter()
        .zip(EVENTS)
        .map(|(name, (event, rows))| Trigger {
            name,
            event,
            body: body(rows),
        })
        .collect()
}

impl Trigger {
    pub(super) fn create(&self, table: &Table) -> String {
        format!(
            "CREATE TRIGGER {}.{} AFTER {} ON {}.{} FOR EACH ROW {}",
            quote_name(&table.database),
            quote_name(&self.name),
            self.event,
            quote_name(&table.database),
            quote_name(&table.name),
            self.body
        )
    }
}

fn body(log: &DatabaseName, rule: &Rule<'_>, rows: &[&str]) -> String {
    let into = log.sql("INSERT INTO {d}.cache_invalidation_log (cache, scope, items) VALUES");
    let cache = literal(rule.cache.as_str());
    let clear = format!("{into} ({cache}, 'all', '[]');");
    if rule.key.is_none() && rule.tags.is_empty() {
        return format!("BEGIN {clear} END");
    }
    let keys: Vec<_> = rule
        .key
        .iter()
        .flat_map(|key| rows.iter().map(|row| key.text_of(row)))
        .collect();
    let tags: Vec<_> = rule
        .tags
        .iter()
        .flat_map(|tag| rows.iter().map(|row| tag.text_of(row)))
        .collect();
    let mut statements = String::new();
    if let Some(first) = keys.first() {
        // As bytes: texts that differ in their spaces, case or accents are different keys.
        let items = match keys.get(1) {
            Some(second) => format!(
                "IF(CAST({first} AS BINARY) = CAST({second} AS BINARY), JSON_ARRAY({first}), \
                 JSON_ARRAY({first}, {second}))"
            ),
            None => format!("JSON_ARRAY({first})"),
        };
        statements.push_str(&format!("{into} ({cache}, 'keys', {items}); "));
    }
    if !tags.is_empty() {
        let arrays: Vec<_> = tags
            .iter()
            .map(|tag| format!("IF({tag} IS NULL, '[]', JSON_ARRAY({tag}))"))
            .collect();
        let some: Vec<_> = tags
            .iter()
            .map(|tag| format!("{tag} IS NOT NULL"))
            .collect();
        statements.push_str(&format!(
            "IF {} THEN {into} ({cache}, 'tags', JSON_MERGE_PRESERVE('[]', {})); END IF; ",
            some.join(" OR "),
            arrays.join(", ")
        ));
    }
    if keys.is_empty() {
        return format!("BEGIN {statements}END");
    }
    let vague: Vec<_> = keys.iter().map(|key| format!("{key} IS NULL")).collect();
    format!(
        "BEGIN IF {} THEN {clear} ELSE {statements}END IF; END",
        vague.join(" OR ")
    )
}
