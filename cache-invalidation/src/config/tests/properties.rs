//! What holds for any input.

use proptest::prelude::*;

use super::*;

/// The tables that a misspelt key can stand in, each with what it needs to be accepted.
fn tables() -> Vec<(&'static schema::Section, &'static str)> {
    let mut tables = vec![
        (&schema::TOP, ""),
        (&schema::NODE, "[node]\n"),
        (&schema::LOG, "[log]\n"),
        (&schema::TRANSPORT, "[transport]\n"),
        (&schema::CACHE, "[cache_defaults]\n"),
        (&schema::CACHE, "[caches.x]\n"),
    ];
    if cfg!(feature = "sqlite") {
        tables.push((&schema::SQLITE, "[log]\nurl = 'sqlite:x'\n[log.sqlite]\n"));
    }
    if cfg!(feature = "postgres") {
        tables.push((
            &schema::POSTGRES,
            "[log]\nurl = 'postgres://x/y'\n[log.postgres]\n",
        ));
    }
    if cfg!(feature = "mysql") {
        tables.push((&schema::MYSQL, "[log]\nurl = 'mysql://x/y'\n[log.mysql]\n"));
    }
    if cfg!(feature = "redis") {
        tables.push((&schema::REDIS, "[log]\nurl = 'redis://x'\n[log.redis]\n"));
        tables.push((&schema::REDIS_TRANSPORT, "[transport.redis]\n"));
    }
    if cfg!(feature = "nats") {
        tables.push((&schema::NATS, "[log]\nurl = 'nats://x'\n[log.nats]\n"));
        tables.push((&schema::NATS_TRANSPORT, "[transport.nats]\n"));
    }
    if cfg!(feature = "etcd") {
        tables.push((&schema::ETCD, "[log]\nurl = 'etcd://x'\n[log.etcd]\n"));
        tables.push((&schema::ETCD_TRANSPORT, "[transport.etcd]\n"));
    }
    if cfg!(feature = "http") {
        tables.push((&schema::HTTP, "[transport.http]\n"));
    }
    tables
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any text gives a value or an error, never a panic.
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = Config::parse_str(&text);
    }

    /// Any damage to a good file gives a value or an error, never a panic, and no quotation of a secret.
    #[test]
    fn damaged_files_are_answered(at in 0usize..20_000, cut in 0usize..40, put in "[\\[\\]{}='\"\n.,#a0]{0,4}") {
        let good = concat!(include_str!("../../../../examples/cache-invalidation.toml"), "\n[x]\nsecret = 'hunter2'\n");
        let mut letters: Vec<char> = good.chars().collect();
        let at = at % letters.len();
        let end = (at + cut).min(letters.len());
        letters.splice(at..end, put.chars());
        if let Err(error) = Config::parse_str(&letters.into_iter().collect::<String>()) {
            prop_assert!(!error.to_string().contains("hunter2"), "{}", error);
        }
    }

    /// Any value at any key gives a value or an error, never a panic, and nothing that stands at a secret's
    /// key is printed.
    #[test]
    fn any_value_is_answered(
        table in 0usize..24,
        key in 0usize..24,
        value in prop_oneof![
            Just("-9223372036854775808".to_owned()),
            Just("9223372036854775807".to_owned()),
            Just("nan".to_owned()),
            Just("1e308".to_owned()),
            Just("{ a = [ { b = 1 } ] }".to_owned()),
            Just("07:32:00".to_owned()),
            "[0-9]{1,22}(ns|ms|s|m|h|d|y| )?".prop_map(|text| format!("'{text}'")),
            "[^'\\n\\r]{0,30}".prop_map(|text| format!("'{text}'")),
            "(sqlite|memory|redis|dns|\\[::1\\]):[^'\\n\\r]{0,9}".prop_map(|text| format!("['{text}']")),
            "(sqlite|memory|redis|none):[^'\\n\\r]{0,9}".prop_map(|text| format!("'{text}'")),
        ],
    ) {
        let tables = tables();
        let (section, head) = &tables[table % tables.len()];
        let key = section.keys[key % section.keys.len()];
        let result = Config::parse_str(&format!("{head}{key} = {value}"));
        if let (Err(error), "secret" | "second_secret" | "url" | "password" | "sentinel_password" | "token" | "nkey_seed") = (result, key) && value.len() > 12 {
            prop_assert!(!error.to_string().contains(&value), "{}", error);
        }
    }

    /// Any set of variables gives a value or an error, never a panic.
    #[test]
    fn any_variables_are_answered(
        variables in proptest::collection::vec(("(_|__|LOG|URL|CACHES|[a-z=é]){0,6}", any::<String>()), 0..4),
    ) {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (format!("{}{name}", sources::PREFIX).into(), value.into()));
        if let Ok(variables) = Variables::new(variables) {
            let _ = Config::from_figment(&Figment::from(variables));
        }
    }

    /// Each known key, misspelt by one letter, is refused and the right one named.
    #[test]
    fn one_wrong_letter_is_found(
        table in 0usize..24,
        key in 0usize..24,
        at in 0usize..32,
        letter in proptest::char::range('a', 'z'),
        edit in 0usize..3,
    ) {
        let tables = tables();
        let (section, head) = &tables[table % tables.len()];
        let key = section.keys[key % section.keys.len()];
        let mut letters: Vec<char> = key.chars().collect();
        let at = at % letters.len();
        match edit {
            0 => letters.insert(at, letter),
            1 => letters[at] = letter,
            _ => { letters.remove(at); }
        }
        let misspelt: String = letters.into_iter().collect();
        prop_assume!(!section.keys.contains(&misspelt.as_str()) && !misspelt.is_empty());
        let text = Config::parse_str(&format!("{head}{misspelt} = 1")).unwrap_err().to_string();
        prop_assert!(text.contains(&format!("did you mean `{key}`?")), "{}: {}", misspelt, text);
    }

    /// What is generated from valid parts is read back as it was meant.
    #[test]
    fn valid_configs_are_read_back(
        cluster in "[a-zA-Z0-9 é.-]{1,20}",
        poll in 10u64..60_000,
        share in 1u64..100,
        factor in 10u64..1_000,
        pages in 1usize..1_000_000,
        bypass in any::<bool>(),
        ttl in proptest::option::of(1u64..10_000_000),
        staleness in proptest::option::of(0u64..10_000_000),
        capacity in proptest::option::of(1u64..i64::MAX as u64),
        name in "[a-zé \\.]{1,20}",
    ) {
        use std::fmt::Write;
        let read = (poll * share / 100).max(1);
        let retention = poll * factor;
        let mut toml = format!(
            "cluster = '{cluster}'\n[log]\nurl = 'memory:'\npoll_interval = '{poll}ms'\nread_timeout = '{read}ms'\n\
             retention = '{retention}ms'\nbacklog_pages = {pages}\nstart_in_bypass = {bypass}\n[caches.'{name}']\n"
        );
        for (key, value) in [("ttl", ttl), ("max_staleness", staleness)] {
            if let Some(value) = value {
                writeln!(toml, "{key} = '{value}ms'").unwrap();
            }
        }
        if let Some(capacity) = capacity {
            writeln!(toml, "capacity = {capacity}").unwrap();
        }
        let config = Config::parse_str(&toml).unwrap();
        prop_assert_eq!(config.cluster.as_str(), cluster);
        prop_assert_eq!(config.settings.poll_interval, Duration::from_millis(poll));
        prop_assert_eq!(config.settings.read_timeout, Duration::from_millis(read));
        prop_assert_eq!(config.settings.retention, Duration::from_millis(retention));
        prop_assert_eq!(config.settings.backlog_pages, pages);
        prop_assert_eq!(config.settings.start_in_bypass, bypass);
        let cache = &config.caches[&CacheName::new(&name).unwrap()];
        prop_assert_eq!(cache.ttl, ttl.map(Duration::from_millis));
        prop_assert_eq!(cache.max_staleness, staleness.map(Duration::from_millis));
        prop_assert_eq!(cache.capacity, capacity);
    }
}
