//! The SQL of the triggers.

use invalidation_core::CacheName;

use super::{
    table::Table,
    template::{Template, quote_name, quote_text},
};

/// What a change of one row invalidates.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    pub(super) cache: &'a CacheName,
    pub(super) key: Option<Template>,
    pub(super) tags: Vec<Template>,
}

/// One trigger: its name, and the statement that creates it, as SQLite keeps it in `sqlite_master`.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) create: String,
}

/// What happens to a row, and which of its versions there are.
const EVENTS: [(&str, &[&str]); 3] = [
    ("INSERT", &["NEW"]),
    // The old key and the old tags as well: what was cached under them is as stale.
    ("UPDATE", &["OLD", "NEW"]),
    ("DELETE", &["OLD"]),
];

/// The names of the triggers that attach `table` to `cache`. Written as JSON, so that no two pairs share one.
pub(super) fn names(table: &str, cache: &CacheName) -> [String; 3] {
    EVENTS.map(|(event, _)| {
        let parts = serde_json::json!([cache.as_str(), table, event]);
        format!("cache_invalidation{parts}")
    })
}

/// The triggers of `rule` on `table`.
pub(super) fn triggers(table: &Table, rule: &Rule<'_>) -> Vec<Trigger> {
    EVENTS
        .into_iter()
        .zip(names(&table.name, rule.cache))
        .map(|((event, rows), name)| {
            let create = format!(
                "CREATE TRIGGER {} AFTER {event} ON {} FOR EACH ROW BEGIN {} END",
                quote_name(&name),
                quote_name(&table.name),
                rule.body(rows),
            );
            Trigger { name, create }
        })
        .collect()
}

/// A table inside a trigger cannot be qualified; it is that of the trigger's own database.
const INSERT: &str = "INSERT INTO cache_invalidation_log (cache, scope, items)";

impl Rule<'_> {
    fn body(&self, rows: &[&str]) -> String {
        let cache = quote_text(self.cache.as_str());
        let clear = |when: &str| format!("{INSERT} SELECT {cache}, 'all', '[]'{when};");
        let widen = self.widens(rows);
        if self.key.is_none() && self.tags.is_empty() {
            return clear("");
        }
        let mut statements = vec![clear(&format!(" WHERE {widen}"))];
        let keys = self.key.iter();
        for (scope, texts) in [
            ("keys", texts(keys, rows)),
            ("tags", texts(self.tags.iter(), rows)),
        ] {
            if !texts.is_empty() {
                // A tag that is NULL is no tag; `UNION` drops what did not change.
                statements.push(format!(
                    "{INSERT} SELECT {cache}, '{scope}', items FROM (SELECT count(*) AS n, \
                     json_group_array(item) AS items FROM ({}) WHERE item IS NOT NULL) \
                     WHERE n > 0 AND NOT {widen};",
                    texts.join(" UNION ")
                ));
            }
        }
        statements.join(" ")
    }

    /// SQL that is true when the row's key or a tag of it cannot be told: then the cache is cleared (`P12`).
    fn widens(&self, rows: &[&str]) -> String {
        let mut tests = Vec::new();
        for row in rows {
            // What a loader caches for a NULL key is its own choice, so it may be anything.
            tests.extend(self.key.iter().map(|key| key.is_null_in(row)));
            let templates = self.key.iter().chain(&self.tags);
            tests.extend(templates.map(|template| template.is_unsure_in(row)));
        }
        format!("({})", tests.join(" OR "))
    }
}

fn texts<'a>(templates: impl Iterator<Item = &'a Template>, rows: &[&str]) -> Vec<String> {
    templates
        .flat_map(|template| {
            rows.iter()
                // Spelt out, since a column's own collation reaches through `CAST`: with `NOCASE`
                // the `UNION` would take `a` and `A` for one.
                .map(|row| format!("SELECT {} COLLATE BINARY AS item", template.text_of(row)))
        })
        .collect()
}
