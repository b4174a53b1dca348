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
const CHANGES: [(&str, &[&str]); 3] = [
    ("AFTER INSERT", &["NEW"]),
    // The old key and the old tags as well: what was cached under them is as stale.
    ("AFTER UPDATE", &["OLD", "NEW"]),
    ("AFTER DELETE", &["OLD"]),
];

/// What may evict *other* rows by a conflict with `OR REPLACE`. SQLite fires no trigger for these rows, unless that
/// connection asks for it (`PRAGMA recursive_triggers`), so they are looked up before they go.
const EVICTIONS: [&str; 2] = ["BEFORE INSERT", "BEFORE UPDATE"];

/// The names of the triggers that attach `table` to `cache`; those that are always there come first. Written as
/// JSON, so that no two pairs share one.
pub(super) fn names(table: &str, cache: &CacheName) -> [String; 5] {
    let name = |event| {
        let parts = serde_json::json!([cache.as_str(), table, event]);
        format!("cache_invalidation{parts}")
    };
    let [(a, _), (b, _), (c, _)] = CHANGES;
    let [d, e] = EVICTIONS;
    [a, b, c, d, e].map(name)
}

/// How many of [`names`] there are for every attached table.
pub(super) const ALWAYS: usize = CHANGES.len();

/// The triggers of `rule` on `table`.
pub(super) fn triggers(table: &Table, rule: &Rule<'_>) -> Vec<Trigger> {
    let names = names(&table.name, rule.cache);
    let trigger = |index: usize, event: &str, when: &str, body: String| Trigger {
        create: format!(
            "CREATE TRIGGER {} {event} ON {} FOR EACH ROW{when} BEGIN {body} END",
            quote_name(&names[index]),
            quote_name(&table.name),
        ),
        name: names[index].clone(),
    };
    let mut all: Vec<_> = CHANGES
        .into_iter()
        .enumerate()
        .map(|(index, (event, rows))| trigger(index, event, "", rule.body(rows, None)))
        .collect();
    // Where each change clears the cache, the eviction is covered by the change that causes it.
    if !table.unique.is_empty() && !rule.clears_always() {
        for (index, event) in EVICTIONS.into_iter().enumerate() {
            let updates = event.ends_with("UPDATE");
            let when = if updates {
                format!(" WHEN {}", changed(table.unique.iter().flatten()))
            } else {
                String::new()
            };
            let body = rule.body(&["evicted"], Some(&evicted(table, updates)));
            all.push(trigger(ALWAYS + index, event, &when, body));
        }
    }
    all
}

/// A table inside a trigger cannot be qualified; it is that of the trigger's own database.
const INSERT: &str = "INSERT INTO cache_invalidation_log (cache, scope, items)";

impl Rule<'_> {
    fn clears_always(&self) -> bool {
        self.key.is_none() && self.tags.is_empty()
    }

    /// Invalidates what `rows` name; `source` is where to find them when they are not `NEW` and `OLD`.
    fn body(&self, rows: &[&str], source: Option<&str>) -> String {
        let cache = quote_text(self.cache.as_str());
        if self.clears_always() {
            return format!("{INSERT} VALUES ({cache}, 'all', '[]');");
        }
        let from = source.map_or(" WHERE".into(), |source| format!("{source} AND"));
        let widen = self.widens(rows);
        let mut statements = vec![format!(
            "{INSERT} SELECT {cache}, 'all', '[]'{from} {widen};"
        )];
        let keys: Vec<_> = self.key.iter().collect();
        let tags: Vec<_> = self.tags.iter().collect();
        for (scope, templates) in [("keys", keys), ("tags", tags)] {
            if templates.is_empty() {
                continue;
            }
            let texts: Vec<_> = templates
                .iter()
                .flat_map(|template| rows.iter().map(|row| template.text_of(row)))
                // Spelt out, since a column's own collation reaches through `CAST`: with `NOCASE`
                // the `UNION` would take `a` and `A` for one.
                .map(|text| format!("SELECT {text} COLLATE BINARY AS item{from} NOT {widen}"))
                .collect();
            // A tag that is NULL is no tag; `UNION` drops what did not change.
            statements.push(format!(
                "{INSERT} SELECT {cache}, '{scope}', items FROM (SELECT count(*) AS n, \
                 json_group_array(item) AS items FROM ({}) WHERE item IS NOT NULL) WHERE n > 0;",
                texts.join(" UNION ")
            ));
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

/// The rows that `NEW` would evict: those that share all columns of a unique index with it.
fn evicted(table: &Table, updates: bool) -> String {
    let conflicts: Vec<_> = table
        .unique
        .iter()
        .map(|columns| {
            let mut tests: Vec<_> = columns
                .iter()
                .map(|column| {
                    let name = quote_name(column);
                    format!("evicted.{name} = NEW.{name}")
                })
                .collect();
            if updates {
                // Where these columns stay as they are, it is the row itself that shares them.
                tests.push(changed(columns.iter()));
            }
            format!("({})", tests.join(" AND "))
        })
        .collect();
    format!(
        " FROM {} AS evicted WHERE ({})",
        quote_name(&table.name),
        conflicts.join(" OR ")
    )
}

/// SQL that is true when an update changes one of `columns`.
fn changed<'a>(columns: impl Iterator<Item = &'a String>) -> String {
    let tests: Vec<_> = columns
        .map(|column| {
            let name = quote_name(column);
            format!("NEW.{name} IS NOT OLD.{name}")
        })
        .collect();
    format!("({})", tests.join(" OR "))
}
