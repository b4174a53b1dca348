//! What is refused, how it is said, and what is understood.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use figment::providers::{Env, Format, Toml};
use invalidation_core::{NodeClock, OnStale};

use super::*;

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(all(feature = "sqlite", feature = "http"))]
mod example;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
mod properties;
#[cfg(feature = "redis")]
mod redis;

const SECRET: &str = "hunter2-and-more";
const MINIMAL: &str = "cluster = \"billing\"\nlog.url = \"none:\"\n";

/// Reads `toml` as a file named `c.toml`, with these variables. Beside it are the files `secret`, `empty`, `ca.pem` and
/// `key.pem`.
fn read(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let (authority, key) = certificate();
    fs::write(folder.path().join("ca.pem"), authority).unwrap();
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let folder_text = folder.path().to_str().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, toml.replace("FOLDER", folder_text)).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_file_and_variables(path, variables)
}

/// One of its own authority, and its key.
fn certificate() -> &'static (String, String) {
    static MADE: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["db".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
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
    let url = ("CACHE_INVALIDATION__LOG__URL", "none:");
    for (variables, why) in [
        (&[("CACHE_INVALIDATION__LOG____URL", "x")][..], "empty part"),
        (&[("CACHE_INVALIDATION__", "x")], "empty part"),
        (&[("CACHE_INVALIDATION__LOG", "x"), url], "another variable"),
        (&[url, ("CACHE_INVALIDATION__LOG", "x")], "another variable"),
        (
            &[url, ("CACHE_INVALIDATION__log__url", "none:")],
            "another variable",
        ),
    ] {
        let text = refusal("cluster = 'billing'", variables);
        assert!(text.starts_with("variable CACHE_INVALIDATION__"), "{text}");
        assert!(text.contains(why), "{text}");
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
        &log("retention = 500"),
        &[
            "must be text with a unit, such as \"500ms\"",
            "found a number",
        ],
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

/// Without the default file the variables alone make a configuration; with it, both do.
#[test]
fn the_default_file_may_be_absent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(DEFAULT_FILE);
    let variables = [
        ("CACHE_INVALIDATION__CLUSTER", "billing"),
        ("CACHE_INVALIDATION__LOG__URL", "memory:"),
    ]
    .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let config = Config::load_if_there(&file, variables.clone()).unwrap();
    assert_eq!(config.log, LogChoice::Memory);
    fs::write(&file, "log.retention = '2h'").unwrap();
    let config = Config::load_if_there(&file, variables).unwrap();
    assert_eq!(config.settings.retention, Duration::from_secs(7200));
}

/// A source of the caller's own is told as what it is, not as a variable of ours.
#[test]
fn foreign_variables_are_not_called_ours() {
    let theirs = Figment::from(
        Env::raw()
            .only(&["PATH"])
            .map(|_| "log.url".into())
            .split("."),
    );
    let text = Config::from_figment(&theirs).unwrap_err().to_string();
    assert!(
        text.contains("environment variable(s): `log.url`"),
        "{text}"
    );
    assert!(
        !text.contains("variable CACHE_INVALIDATION__LOG__URL:"),
        "{text}"
    );
}

/// A value that is not text is refused with its variable.
#[cfg(unix)]
#[test]
fn odd_bytes_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![0xff]);
    let error = Variables::new([("CACHE_INVALIDATION__CLUSTER".into(), value)]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("variable CACHE_INVALIDATION__CLUSTER: its value is not UTF-8")
    );
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
    let expected = if cfg!(feature = "postgres") {
        "CACHE_INVALIDATION__LOG__POSTGRES__PASSWORD"
    } else {
        "cargo feature `postgres`"
    };
    refused(&url("postgres://app:hunter2@db/billing"), &[expected]);
    refused(&url("postgresql://db/b?password=hunter2"), &[expected]);
    refused(
        &url("mariadb://app:hunter2@db/billing"),
        &[if cfg!(feature = "mysql") {
            "CACHE_INVALIDATION__LOG__MYSQL__PASSWORD"
        } else {
            "cargo feature `mysql`"
        }],
    );
    refused(&url("sqlit:hunter2"), &["did you mean `sqlite:`?"]);
    refused(&url("hunter2 and more:x"), &["must begin with a scheme"]);
    refused(&url("x.db"), &["must begin with a scheme"]);
    refused(&url("memory:hunter2"), &["nothing may stand behind"]);
    refused(
        &format!("{MINIMAL}[log.sqlite]\nmax_pages = 3"),
        &["`log.sqlite`"],
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
#[test]
fn what_is_not_compiled_in_names_its_feature() {
    let absent = [
        (cfg!(feature = "sqlite"), "sqlite", "sqlite:a.db", ""),
        (
            cfg!(feature = "postgres"),
            "postgres",
            "postgres://db/b",
            "postgres",
        ),
        (cfg!(feature = "mysql"), "mysql", "mysql://db/b", ""),
        (cfg!(feature = "http"), "http", "", "http"),
        (
            cfg!(feature = "redis"),
            "redis",
            "valkeys-cluster://db",
            "redis",
        ),
        (cfg!(feature = "nats"), "nats", "tls://db", "nats"),
        (cfg!(feature = "etcd"), "etcd", "etcds://db", "etcd"),
    ];
    for (is_here, feature, log, transport) in absent {
        if is_here {
            continue;
        }
        let named = format!("cargo feature `{feature}`");
        let mut words = vec![named.as_str()];
        if feature == "etcd" {
            words.extend(["`protoc`", "protobuf-compiler", "libprotobuf-dev"]);
        }
        if !log.is_empty() {
            refused(&format!("cluster = 'x'\nlog.url = '{log}'"), &words);
        }
        if !transport.is_empty() {
            refused(
                &format!("{MINIMAL}[transport.{transport}]\nurl = '{log}'"),
                &words,
            );
        }
    }
}
