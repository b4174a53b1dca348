//! What is refused, how it is said, and what is understood.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use figment::providers::{Format, Toml};
use invalidation_core::{NodeClock, OnStale};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2-and-more";
const MINIMAL: &str = "cluster = \"billing\"\nlog.url = \"none:\"\n";

/// Reads `toml` as a file named `c.toml`, beside it a file `secret`, with these variables.
fn read(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let folder_text = folder.path().to_str().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, toml.replace("FOLDER", folder_text)).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_file_and_variables(path, variables)
}

fn refusal(toml: &str, variables: &[(&str, &str)]) -> String {
    let text = read(toml, variables).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "a secret is printed: {text}");
    text
}

#[track_caller]
fn refused(toml: &str, words: &[&str]) {
    let text = refusal(toml, &[]);
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[cfg(feature = "http")]
const HTTP: &str =
    "cluster = 'billing'\nlog.url = 'none:'\n[transport.http]\nlisten = '0.0.0.0:7400'\n";

/// What is not written has its documented default.
#[test]
fn a_minimal_file_means_the_defaults() {
    let config = read(MINIMAL, &[]).unwrap();
    assert_eq!(config.cluster.as_str(), "billing");
    assert_eq!(config.log, LogChoice::None);
    assert_eq!(config.settings, NodeSettings::default());
    assert!(matches!(config.clock, NodeClock::Coarse));
    assert!(config.http.is_none() && config.caches.is_empty());
}

/// A variable is stronger than the file, and gives keys that the file lacks.
#[test]
fn variables_win_over_the_file() {
    let config = read(
        "cluster = 'file'\n[log]\nurl = 'none:'\nretention = '2h'\n",
        &[
            ("CACHE_INVALIDATION__CLUSTER", "0042"),
            ("CACHE_INVALIDATION__LOG__POLL_INTERVAL", "250ms"),
            ("CACHE_INVALIDATION__LOG__START_IN_BYPASS", "true"),
            ("CACHE_INVALIDATION__CACHES__ROLES__CAPACITY", "10_000"),
            ("HOME", "/nowhere"),
        ],
    )
    .unwrap();
    assert_eq!(config.cluster.as_str(), "0042", "digits stay text");
    assert_eq!(config.settings.poll_interval, Duration::from_millis(250));
    assert_eq!(config.settings.retention, Duration::from_secs(7200));
    assert!(config.settings.start_in_bypass);
    let roles = &config.caches[&CacheName::new("roles").unwrap()];
    assert_eq!(roles.capacity, Some(10_000));
}

/// A shorter poll interval alone is enough: the read time-out follows it.
#[test]
fn a_short_interval_brings_the_read_timeout_along() {
    let config = read(&format!("{MINIMAL}log.poll_interval = '100ms'"), &[]).unwrap();
    assert_eq!(config.settings.read_timeout, Duration::from_millis(80));
}

/// Every table of caches is understood.
#[test]
fn caches_are_read() {
    let toml = "
        cluster = 'billing'
        log.url = 'memory:'
        node.clock = 'boottime'
        [cache_defaults]
        ttl_cap = '60s'
        [caches.roles]
        max_staleness = '0s'
        on_stale = 'fail'
        [caches.'odd name']
        ttl = '1m 30s'
    ";
    let config = read(toml, &[]).unwrap();
    assert_eq!(config.cache_defaults.ttl_cap, Some(Duration::from_secs(60)));
    let roles = &config.caches[&CacheName::new("roles").unwrap()];
    assert_eq!(roles.max_staleness, Some(Duration::ZERO));
    assert_eq!(roles.on_stale, Some(OnStale::Fail));
    let odd = &config.caches[&CacheName::new("odd name").unwrap()];
    assert_eq!(odd.ttl, Some(Duration::from_secs(90)));
    assert!(matches!(config.clock, NodeClock::Boottime));
}

/// A misspelt key is refused at every level, with its file, its line and the key that was meant.
#[test]
fn unknown_keys_name_the_nearest() {
    refused(
        "clutser = 'x'",
        &["c.toml:1: `clutser`", "did you mean `cluster`?"],
    );
    refused(
        &format!("{MINIMAL}\n[lgo]\n"),
        &["c.toml:4: `lgo`", "did you mean `log`?"],
    );
    refused(
        "cluster = 'x'\n[log]\nurl = 'none:'\npoll_intervall = '1s'",
        &[
            "c.toml:4: `log.poll_intervall`",
            "[log]",
            "did you mean `poll_interval`?",
        ],
    );
    refused(
        &format!("{MINIMAL}\n[caches.roles]\nmax_stalenes = '1s'"),
        &[
            "c.toml:5: `caches.roles.max_stalenes`",
            "did you mean `max_staleness`?",
        ],
    );
    refused(
        &format!("{MINIMAL}\n[transport.htpt]"),
        &["`transport.htpt`", "did you mean `http`?"],
    );
    refused(
        &format!("{MINIMAL}\n[cache_defaults]\nretention = '1h'"),
        &["`retention` belongs in [log]"],
    );
    refused(
        &format!("{MINIMAL}\n[cache_defaults]\nxyzzy = '1h'"),
        &["it takes `ttl`,", "or `load_timeout`"],
    );
}

/// An unknown variable is refused by its own name.
#[test]
fn unknown_variables_are_named() {
    let text = refusal(MINIMAL, &[("CACHE_INVALIDATION__LGO__URL", "none:")]);
    assert!(
        text.contains("variable CACHE_INVALIDATION__LGO__URL"),
        "{text}"
    );
    assert!(text.contains("did you mean `log`?"), "{text}");
    let text = refusal(MINIMAL, &[("CACHE_INVALIDATION__LOG__RETENTION", "soon")]);
    assert!(
        text.contains("variable CACHE_INVALIDATION__LOG__RETENTION: `log.retention`: \"soon\""),
        "{text}"
    );
}

/// Variables that cannot be placed are refused, not dropped.
#[test]
fn odd_variables_are_refused() {
    for variables in [
        &[("CACHE_INVALIDATION__LOG____URL", "x")][..],
        &[("CACHE_INVALIDATION__", "x")],
        &[
            ("CACHE_INVALIDATION__LOG", "x"),
            ("CACHE_INVALIDATION__LOG__URL", "x"),
        ],
        &[
            ("CACHE_INVALIDATION__LOG__URL", "x"),
            ("CACHE_INVALIDATION__log__url", "y"),
        ],
    ] {
        let text = refusal(MINIMAL, variables);
        assert!(text.contains("variable CACHE_INVALIDATION__"), "{text}");
    }
}

/// Everything that is wrong is told at once.
#[test]
fn all_problems_are_told() {
    let error = read("clutser = 'x'\n[log]\nretention = 3\n", &[]).unwrap_err();
    let keys: Vec<_> = error.problems().iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["clutser", "cluster", "log.retention", "log.url"]);
    assert!(error.to_string().starts_with("4 problems"), "{error}");
}

/// A value of the wrong type or out of range says what its key takes.
#[test]
fn wrong_values_are_refused() {
    let log = |line: &str| format!("cluster = 'x'\n[log]\nurl = 'none:'\n{line}");
    refused(
        "cluster = 3\nlog.url = 'none:'",
        &["c.toml:1: `cluster`: must be text, found a number"],
    );
    refused(
        "cluster = ''\nlog.url = 'none:'",
        &["cluster name", "is empty"],
    );
    refused(
        "cluster = 'x'\nlog = 'none:'",
        &["`log`: must be a table, found text"],
    );
    refused(
        "cluster = 'x'\n[[log]]\nurl = 'none:'",
        &["`log`: must be a table, found a list"],
    );
    refused(
        &log("retention = 1979-05-27"),
        &["must be text, found a date"],
    );
    refused(
        &log("retention = '500'"),
        &["\"500\" is no duration", "\"500ms\""],
    );
    refused(&log("retention = '99999999y'"), &["too long"]);
    refused(&log("poll_interval = '0s'"), &["must be above zero"]);
    refused(
        &log("start_in_bypass = 'yes'"),
        &["must be true or false, found text"],
    );
    refused(&log("page_entries = -1"), &["must be above zero"]);
    refused(&log("page_entries = 0"), &["must be above zero"]);
    refused(
        &log("page_entries = 1.5"),
        &["must be a whole number, found a fraction"],
    );
    refused(
        &log("read_timeout = '1s'"),
        &[
            "c.toml:4: `log.read_timeout`",
            "below log.poll_interval, 500ms",
        ],
    );
    refused(
        &log("retention = '4s'"),
        &["`log.retention`", "ten poll intervals, 5s"],
    );
    refused(
        &log("[node]\nclock = 'coarze'"),
        &["did you mean `coarse`?"],
    );
    refused(
        &log("[caches.roles]\non_stale = 'panic'"),
        &["use `bypass`, `fail` or `serve`"],
    );
    refused(
        &log("[caches.roles]\ncapacity = 0"),
        &["`caches.roles.capacity`", "above zero"],
    );
    refused(&log("[caches]\n'' = {}"), &["`caches.\"\"`", "cache name"]);
    refused(
        &log("[caches.roles]\nmax_staleness = '1s'"),
        &["needs a log"],
    );
}

/// A file that is not TOML is refused with its line, which is not quoted: a secret may stand in it.
#[test]
fn syntax_errors_quote_nothing() {
    refused("cluster = 'x'\nsecret = \"hunter2", &["c.toml:2: not TOML"]);
    refused("cluster = 'x'\nsecret = hunter2", &["c.toml:2: not TOML"]);
    let theirs = Figment::from(Toml::string("secret = \"hunter2"));
    let text = Config::from_figment(&theirs).unwrap_err().to_string();
    assert!(text.contains("TOML") && !text.contains("hunter2"), "{text}");
}

/// A file that is not there is named.
#[test]
fn a_missing_file_is_named() {
    let path = PathBuf::from("/nowhere/cache-invalidation.toml");
    let text = Config::from_file(path).unwrap_err().to_string();
    assert!(
        text.contains("/nowhere/cache-invalidation.toml: cannot be read"),
        "{text}"
    );
}

/// What is needed says so, and which variable would do.
#[test]
fn what_is_missing_is_asked_for() {
    refused(
        "",
        &[
            "`cluster`: is missing",
            "CACHE_INVALIDATION__CLUSTER",
            "`log.url`: is missing",
            "`sqlite:PATH`",
        ],
    );
}

/// Logs that do not exist here are told apart from misspelt ones, and a URL is never quoted.
#[test]
fn urls_are_refused_without_quoting_them() {
    let url = |url: &str| format!("cluster = 'x'\nlog.url = '{url}'");
    refused(
        &url("postgres://app:hunter2@db/billing"),
        &["this version has no Postgres log"],
    );
    refused(
        &url("mariadb://app:hunter2@db"),
        &["this version has no MySQL log"],
    );
    refused(&url("sqlit:hunter2"), &["did you mean `sqlite:`?"]);
    refused(&url("hunter2 and more:x"), &["must begin with a scheme"]);
    refused(&url("x.db"), &["must begin with a scheme"]);
    refused(&url("memory:hunter2"), &["nothing may stand behind"]);
    refused(
        &format!("{MINIMAL}[log.sqlite]\nmax_pages = 3"),
        &["`log.sqlite`"],
    );
    refused(
        &format!("{MINIMAL}[transport.redis]\n"),
        &["this version has no Redis transport"],
    );
}

/// The path and the options of the SQLite log.
#[cfg(feature = "sqlite")]
#[test]
fn sqlite_is_read() {
    let log =
        |url: &str| match read(&format!("cluster = 'x'\nlog.url = '{url}'"), &[]).map(|c| c.log) {
            Ok(LogChoice::Sqlite(sqlite)) => Ok(sqlite.path.display().to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
    assert_eq!(log("sqlite:data/a.db").unwrap(), "data/a.db");
    assert_eq!(log("sqlite:/data/a.db").unwrap(), "/data/a.db");
    assert_eq!(log("sqlite:///data/a.db").unwrap(), "/data/a.db");
    for bad in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=rwc"] {
        assert!(log(bad).is_err(), "{bad}");
    }
    let toml = "cluster = 'x'
        [log]
        url = 'sqlite:a.db'
        [log.sqlite]
        create_if_missing = false
        access = 'read_only'
        durability = 'process_crash'
        max_pages = 100";
    let LogChoice::Sqlite(sqlite) = read(toml, &[]).unwrap().log else {
        panic!("not SQLite");
    };
    assert!(!sqlite.create_if_missing && sqlite.read_only && !sqlite.survives_power_loss);
    assert_eq!(sqlite.max_pages, Some(100));
}

/// A backend that is not compiled in names its feature.
#[cfg(not(feature = "sqlite"))]
#[test]
fn sqlite_names_its_feature() {
    refused(
        "cluster = 'x'\nlog.url = 'sqlite:a.db'",
        &["cargo feature `sqlite`"],
    );
}

/// A backend that is not compiled in names its feature.
#[cfg(not(feature = "http"))]
#[test]
fn http_names_its_feature() {
    refused(
        &format!("{MINIMAL}[transport.http]\nlisten = '0.0.0.0:1'"),
        &["cargo feature `http`"],
    );
}

#[cfg(feature = "http")]
mod http {
    use figment::providers::Serialized;

    use super::*;

    fn http(lines: &str) -> String {
        format!("{HTTP}{lines}")
    }

    /// Everything that the fan-out takes.
    #[test]
    fn all_of_it_is_read() {
        let toml = http(
            "peers = ['dns:billing:7400', '10.0.0.7:7400', '[::1]:7401', 'http://a/b/', 'http://a:7/b']
            secret_file = 'FOLDER/secret'
            body_cap = 1_000_000
            publish_timeout = '1s'
            allowed_networks = ['10.0.0.0/8', '::1']
            allowed_ports = [7400, 7401]",
        );
        let config = read(
            &toml,
            &[(
                "CACHE_INVALIDATION__TRANSPORT__HTTP__SECOND_SECRET",
                "0070070070070070",
            )],
        )
        .unwrap();
        let http = config.http.unwrap();
        let peers: Vec<_> = http.peers.iter().map(ToString::to_string).collect();
        assert_eq!(
            peers,
            [
                "dns:billing:7400",
                "10.0.0.7:7400",
                "[::1]:7401",
                "http://a:80/b",
                "http://a:7/b"
            ]
        );
        assert_eq!(
            http.secret.unwrap().expose(),
            SECRET.as_bytes(),
            "the line end is trimmed"
        );
        assert_eq!(
            http.second_secret.unwrap().expose(),
            b"0070070070070070",
            "zeros stay"
        );
        assert_eq!(http.body_cap, Some(1_000_000));
        assert_eq!(http.publish_timeout, Some(Duration::from_secs(1)));
        assert_eq!(http.allowed_networks.unwrap().len(), 2);
        assert_eq!(http.allowed_ports.unwrap(), [7400, 7401]);
    }

    /// A list in a variable is separated by commas.
    #[test]
    fn lists_come_from_variables() {
        let variables = [
            ("CACHE_INVALIDATION__TRANSPORT__HTTP__PEERS", "a:1, b:2"),
            ("CACHE_INVALIDATION__TRANSPORT__HTTP__ALLOWED_PORTS", "1,2"),
            ("CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET", SECRET),
        ];
        let http = read(HTTP, &variables).unwrap().http.unwrap();
        assert_eq!(http.peers.len(), 2);
        assert_eq!(http.allowed_ports.unwrap(), [1, 2]);
        assert_eq!(http.secret.unwrap().expose(), SECRET.as_bytes());
    }

    /// A secret comes from a file or a variable (or code); in the text it is refused and not quoted.
    #[test]
    fn secrets_do_not_stand_in_the_text() {
        refused(
            &http("secret = 'hunter2'"),
            &[
                "c.toml:5: `transport.http.secret`",
                "secret_file",
                "CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET",
            ],
        );
        refused(
            &http("secret_file = 'FOLDER/secret'\nsecond_secret = 'hunter2'"),
            &["CACHE_INVALIDATION__TRANSPORT__HTTP__SECOND_SECRET"],
        );
        refused(&http("secret = 2"), &["secret_file"]);
        refused(&http("sercet = 'hunter2'"), &["did you mean `secret`?"]);
        let from_code = Figment::from(Toml::string(HTTP))
            .merge(Serialized::default("transport.http.secret", SECRET));
        let http = Config::from_figment(&from_code).unwrap().http.unwrap();
        assert_eq!(http.secret.unwrap().expose(), SECRET.as_bytes());
        let from_text = Figment::from(Toml::string(&super::http::http("secret = 'hunter2'")));
        let text = Config::from_figment(&from_text).unwrap_err().to_string();
        assert!(
            text.contains("secret_file") && !text.contains("hunter2"),
            "{text}"
        );
    }

    /// Without a secret there is one way to run, and it has to be written.
    #[test]
    fn no_secret_must_be_said() {
        refused(HTTP, &["is missing", "`insecure = true`"]);
        refused(&http("insecure = false"), &["is missing"]);
        assert!(
            read(&http("insecure = true"), &[])
                .unwrap()
                .http
                .unwrap()
                .secret
                .is_none()
        );
        refused(
            &http("insecure = true\nsecret_file = 'FOLDER/secret'"),
            &["take one of them out"],
        );
        refused(
            &http("insecure = true\nsecond_secret_file = 'FOLDER/secret'"),
            &["a second secret needs a first"],
        );
    }

    /// A secret file that cannot be used is named.
    #[test]
    fn bad_secret_files_are_named() {
        refused(
            &http("secret_file = 'FOLDER/none'"),
            &["cannot read the secret from /", "/none: "],
        );
        refused(&http("secret_file = 'FOLDER/empty'"), &["/empty is empty"]);
        refused(&http("secret_file = ''"), &["names no file"]);
        let both = http("secret_file = 'FOLDER/secret'");
        let text = refusal(
            &both,
            &[("CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET", SECRET)],
        );
        assert!(text.contains("take one of them out"), "{text}");
        let text = refusal(HTTP, &[("CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET", "")]);
        assert!(text.contains("is empty"), "{text}");
    }

    /// No `Debug` shows a secret.
    #[test]
    fn debug_hides_secrets() {
        let config = read(&http("secret_file = 'FOLDER/secret'"), &[]).unwrap();
        let shown = format!("{config:?}");
        assert!(
            shown.contains("hidden") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    /// Addresses that lead nowhere are refused.
    #[test]
    fn bad_addresses_are_refused() {
        let with = |line: &str| http(&format!("insecure = true\n{line}"));
        for peer in [
            "host",
            "host:0",
            "host:+1",
            "host:65536",
            ":7400",
            "::1:7400",
            "[x]:1",
            "dns:10.0.0.1:1",
            "https://host:1",
            "http://host:1/?q",
            "a b:1",
            "",
            "dns:",
        ] {
            refused(
                &with(&format!("peers = ['{peer}']")),
                &["c.toml:6: `transport.http.peers`", "is no peer"],
            );
        }
        refused(&with("peers = ['u:hunter2@host:x']"), &["is no peer"]);
        refused(
            &with("peers = 'host:1'"),
            &["must be a list of peers, found text"],
        );
        refused(
            &with("peers = [[]]"),
            &["must be a list of peers, found a list in it"],
        );
        refused(
            &with("allowed_networks = ['10.0.0.0/33']"),
            &["is no network"],
        );
        refused(&with("allowed_ports = [0]"), &["is no port"]);
        let listen = "cluster = 'x'\nlog.url = 'none:'\n[transport.http]\ninsecure = true\n";
        refused(
            &format!("{listen}listen = 'localhost:1'"),
            &["is no address to listen at"],
        );
        refused(listen, &["`transport.http.listen`: is missing"]);
    }

    /// A log in the memory of one process cannot mend what a transport loses between several.
    #[test]
    fn a_memory_log_takes_no_transport() {
        refused(
            &http("insecure = true").replace("none:", "memory:"),
            &["a log within one process"],
        );
    }
}

/// The commented file of the examples.
#[cfg(all(feature = "sqlite", feature = "http"))]
mod example {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../examples/cache-invalidation.toml");

    /// With its secret in a file, or each default written out, it is accepted.
    #[test]
    fn it_is_accepted() {
        let toml = EXAMPLE.replace("/run/secrets/invalidation", "FOLDER/secret");
        let config = read(&toml, &[]).unwrap();
        assert_eq!(config.caches.len(), 1);
        assert!(config.http.unwrap().secret.is_some());
        let written_out = uncommented().replace("/run/secrets/invalidation", "FOLDER/secret");
        let without_insecure_or_secrets = written_out
            .lines()
            .filter(|line| !line.contains("…"))
            .map(|line| line.replace("secret-new", "secret"))
            .collect::<Vec<_>>()
            .join("\n");
        let config = read(&without_insecure_or_secrets, &[]).unwrap();
        assert_eq!(
            config.settings,
            NodeSettings::default(),
            "the defaults in the file are those of the code"
        );
        let http = config.http.unwrap();
        assert_eq!(http.body_cap, Some(1 << 20));
    }

    /// It shows every key.
    #[test]
    fn it_shows_every_key() {
        let shown: Vec<_> = uncommented()
            .lines()
            .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.to_owned()))
            .collect();
        let tables = [
            &schema::NODE,
            &schema::LOG,
            &schema::SQLITE,
            &schema::HTTP,
            &schema::CACHE,
        ];
        for key in tables.iter().flat_map(|table| table.keys) {
            assert!(
                shown.iter().any(|shown| shown == key) || EXAMPLE.contains(&format!("[log.{key}]")),
                "{key}"
            );
        }
    }

    /// A default or an example that is commented out begins with `#` and no space.
    fn uncommented() -> String {
        EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n")
    }
}

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
    fn damaged_files_are_answered(at in 0usize..12_000, cut in 0usize..40, put in "[\\[\\]{}='\"\n.,#a0]{0,4}") {
        let good = concat!(include_str!("../../../examples/cache-invalidation.toml"), "\n[x]\nsecret = 'hunter2'\n");
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
        table in 0usize..8,
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
        if let (Err(error), "secret" | "second_secret" | "url") = (result, key) && value.len() > 12 {
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
        table in 0usize..8,
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
