//! What the operator sets for caches.

use std::collections::BTreeMap;

use invalidation_core::{CacheName, CacheSettings, OnStale};

use super::{log::LogChoice, schema, table::Table};

pub(super) fn parse(
    top: &Table<'_>,
    log: Option<&LogChoice>,
) -> (CacheSettings, BTreeMap<CacheName, CacheSettings>) {
    let no_log = matches!(log, Some(LogChoice::None));
    let defaults = top
        .table("cache_defaults", Some(&schema::CACHE))
        .map(|table| settings(&table, no_log))
        .unwrap_or_default();
    let mut caches = BTreeMap::new();
    if let Some(named) = top.table("caches", None) {
        for name in named.keys() {
            let known = CacheName::new(name).map_err(|error| error.to_string());
            match (known, named.table(name, Some(&schema::CACHE))) {
                (Ok(known), Some(table)) => {
                    caches.insert(known, settings(&table, no_log));
                }
                (Err(why), _) => named.refuse(name, why),
                (Ok(_), None) => {}
            }
        }
    }
    (defaults, caches)
}

fn settings(table: &Table<'_>, no_log: bool) -> CacheSettings {
    let mut settings = CacheSettings::default();
    settings.ttl = table.positive_duration("ttl");
    settings.ttl_cap = table.positive_duration("ttl_cap");
    settings.negative_ttl = table.positive_duration("negative_ttl");
    settings.max_staleness = table.duration("max_staleness");
    settings.on_stale = table.one_of(
        "on_stale",
        &[
            ("bypass", OnStale::Bypass),
            ("fail", OnStale::Fail),
            ("serve", OnStale::Serve),
        ],
    );
    settings.capacity = table.count("capacity");
    settings.max_concurrent_loads = table.count("max_concurrent_loads");
    settings.load_timeout = table.positive_duration("load_timeout");
    if no_log && settings.max_staleness.is_some() {
        table.refuse(
            "max_staleness",
            "needs a log, and log.url is `none:`: name a log, or bound staleness by `ttl` alone",
        );
    }
    settings
}
