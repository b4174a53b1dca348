//! The log and the transport on Redis.

use super::*;

fn log(toml: &str, variables: &[(&str, &str)]) -> RedisConfig {
    match read(toml, variables).unwrap().log {
        LogChoice::Redis(redis) => redis,
        other => panic!("{other:?}"),
    }
}

fn transport(lines: &str) -> RedisTransportConfig {
    let config = read(&format!("{LOG}{lines}"), &[]).unwrap();
    config.redis.unwrap()
}

fn url(servers: &RedisServers) -> &str {
    std::str::from_utf8(servers.broker.url.expose()).unwrap()
}

const LOG: &str = "cluster = 'x'\nlog.url = 'rediss://db'\n";

/// The address and the options of the log; its credentials come from files or variables.
#[test]
fn the_log_is_read() {
    let all = log(
        "cluster = 'x'
        [log]
        url = 'rediss-sentinel://s1,s2/main'
        [log.redis]
        key = '{billing}:log'
        max_entries = 50_000
        allow_eviction = true
        user = 'app'
        password_file = 'FOLDER/secret'
        sentinel_user = 'watcher'
        sentinel_password_file = 'FOLDER/secret'
        ca_file = 'FOLDER/ca.pem'
        client_certificate = 'FOLDER/ca.pem'
        client_key = 'FOLDER/key.pem'",
        &[],
    );
    let RedisServers {
        broker,
        sentinel_user,
        sentinel_password,
    } = &all.servers;
    assert_eq!(url(&all.servers), "rediss-sentinel://s1,s2/main");
    assert_eq!(all.key.as_deref(), Some("{billing}:log"));
    assert_eq!((all.max_entries, all.allow_eviction), (Some(50_000), true));
    assert_eq!(broker.user.as_deref(), Some("app"));
    for password in [&broker.password, sentinel_password] {
        assert_eq!(password.as_ref().unwrap().expose(), SECRET.as_bytes());
    }
    assert_eq!(sentinel_user.as_deref(), Some("watcher"));
    assert!(broker.ca_file.is_some() && broker.client_certificate.is_some());
    assert_eq!(broker.insecure_tls, None);

    let by_variable = log(
        "cluster = 'x'",
        &[(
            "CACHE_INVALIDATION__LOG__URL",
            "valkeys-cluster://app:hunter2@a,b",
        )],
    );
    assert!(!format!("{by_variable:?}").contains("hunter2"));
    assert_eq!((by_variable.key, by_variable.max_entries), (None, None));
    assert!(!by_variable.allow_eviction);
}

/// A link to another host is verified, unless the file calls it insecure.
#[test]
fn a_link_is_verified_or_called_insecure() {
    let with =
        |url: &str, more: &str| format!("cluster = 'x'\nlog.url = '{url}'\n[log.redis]\n{more}");
    for (address, more, expected) in [
        ("rediss://db", "", None),
        ("redis://localhost/2", "", None),
        ("redis://[::1]:2", "insecure_tls = true", None),
        (
            "redis-cluster://127.0.0.1:1,[::1]:2",
            "insecure_tls = true",
            Some(Unverified::PlainText),
        ),
        (
            "redis://db",
            "insecure_tls = true",
            Some(Unverified::PlainText),
        ),
        (
            "rediss://db",
            "insecure_tls = true",
            Some(Unverified::AnyCertificate),
        ),
        (
            "rediss://localhost",
            "insecure_tls = true",
            Some(Unverified::AnyCertificate),
        ),
    ] {
        let read = log(&with(address, more), &[]).servers.broker;
        assert_eq!(read.insecure_tls, expected, "{address} {more}");
    }
    for (address, more) in [
        ("redis://db", ""),
        ("redis://db", "insecure_tls = false"),
        ("redis-sentinel://localhost,db/main", ""),
        // Others lead on from there.
        ("redis-sentinel://localhost/main", ""),
        ("redis-cluster://127.0.0.1:1", ""),
    ] {
        refused(
            &with(address, more),
            &[
                "c.toml:2: `log.url`",
                "plain text",
                "use rediss://",
                "log.redis.ca_file",
                "`log.redis.insecure_tls = true`",
            ],
        );
    }
    refused(
        &with("redis://db", "insecure_tls = 'very'"),
        &["true or false"],
    );
    refused(
        &with(
            "rediss://db",
            "insecure_tls = true\nca_file = 'FOLDER/ca.pem'",
        ),
        &["c.toml:5: `log.redis.ca_file`", "take one of them out"],
    );
    refused(
        &with("redis://localhost", "ca_file = 'FOLDER/ca.pem'"),
        &["c.toml:4: `log.redis.ca_file`", "is for TLS", "`rediss://`"],
    );
}

/// What the log cannot be is refused where it stands, without a secret.
#[test]
fn what_the_log_cannot_be_is_refused() {
    let with = |more: &str| format!("{LOG}[log.redis]\n{more}");
    refused(
        "cluster = 'x'\nlog.url = 'rediss://:hunter2@db'",
        &[
            "c.toml:2: `log.url`",
            "log.redis.password_file",
            "CACHE_INVALIDATION__LOG__REDIS__PASSWORD",
        ],
    );
    for (key, text) in [
        ("password", "a password"),
        ("sentinel_password", "a password"),
    ] {
        refused(
            &with(&format!("{key} = 'hunter2'")),
            &[
                &format!("c.toml:4: `log.redis.{key}`"),
                &format!("{text} does not stand in the configuration itself"),
                &format!("{key}_file"),
            ],
        );
    }
    refused(
        &with("password_file = 'FOLDER/none'"),
        &["cannot read the secret"],
    );
    refused(
        &with("ca_file = 'FOLDER/none'"),
        &["c.toml:4: `log.redis.ca_file`", "cannot be read"],
    );
    refused(
        &with("ca_file = 'FOLDER/secret'"),
        &["c.toml:2: `log.url`", "FOLDER/secret"]
            .map(|word| word.strip_prefix("FOLDER").unwrap_or(word)),
    );
    refused(
        &with("client_certificate = 'FOLDER/ca.pem'"),
        &["`log.redis.client_key`: is missing"],
    );
    refused(&with("user = 'app'"), &["a user is given, and no password"]);
    refused(
        &with("sentinel_password_file = 'FOLDER/secret'"),
        &["c.toml:2: `log.url`", "redis-sentinel://"],
    );
    refused(
        &with("max_entries = 999"),
        &["`log.redis.max_entries`", "must be 1000 to"],
    );
    refused(&with("max_entry = 9"), &["did you mean `max_entries`?"]);
    for bad in [
        "redis:db",
        "redis://",
        "redis://a,b",
        "redis://db/x",
        "redis://db?x=hunter2",
    ] {
        refused(
            &format!("cluster = 'x'\nlog.url = '{bad}'"),
            &["c.toml:2: `log.url`: the URL cannot be used"],
        );
    }
    refused(
        "cluster = 'x'\nlog.url = 'rediz://db'",
        &["did you mean `redis:`?"],
    );
    refused(
        &format!("{MINIMAL}[log.redis]\nkey = 'x'"),
        &["`log.redis`: is for a log whose url begins with `redis:`"],
    );
    refused(
        "cluster = 'a}b'\nlog.url = 'rediss://db'",
        &["c.toml:1: `cluster`", "log.redis.key"],
    );
}

/// What may be said of a log is what its builder takes.
#[tokio::test]
async fn the_bounds_are_those_of_the_log() {
    let builder = || cache_log("redis://localhost");
    for (entries, is_good) in [
        (999, false),
        (1_000, true),
        (1 << 40, true),
        ((1 << 40) + 1, false),
    ] {
        let toml = format!("{LOG}log.redis.max_entries = {entries}");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{entries}");
        let built = builder().max_entries(entries).connect_later();
        assert_eq!(built.is_ok(), is_good, "{entries}");
    }
    assert!(builder().cluster("a}b").connect_later().is_err());
    assert!(builder().cluster("a}b").key("x").connect_later().is_ok());
}

fn cache_log(url: &str) -> invalidation_transport_redis::RedisLogBuilder {
    invalidation_transport_redis::RedisLog::builder(url)
}

/// The transport's servers are the log's, or its own.
#[test]
fn the_transport_is_read() {
    let of_log = transport("log.redis.password_file = 'FOLDER/secret'\n[transport.redis]\n");
    assert_eq!(url(&of_log.servers), "rediss://db");
    assert_eq!(
        of_log.servers.broker.password.unwrap().expose(),
        SECRET.as_bytes()
    );
    assert!(!of_log.frames.authenticated && of_log.frames.publish_timeout.is_none());
    let own = transport(
        "[transport.redis]
        url = 'redis://frames'
        insecure_tls = true
        password_file = 'FOLDER/secret'
        sender = 'authenticated'
        publish_timeout = '1s'
        notices_loss_within = '5s'
        buffered_frames = 64",
    );
    assert_eq!(url(&own.servers), "redis://frames");
    assert_eq!(own.servers.broker.insecure_tls, Some(Unverified::PlainText));
    assert!(own.frames.authenticated);
    assert_eq!(own.frames.publish_timeout, Some(Duration::from_secs(1)));
    assert_eq!(own.frames.notices_loss_within, Some(Duration::from_secs(5)));
    assert_eq!(own.frames.buffered_frames, Some(64));
    let beside_none = format!("{MINIMAL}[transport.redis]\nurl = 'redis://localhost'");
    assert!(read(&beside_none, &[]).unwrap().redis.is_some());
}

/// What cannot work, or would let a secret be seen, is refused where it stands.
#[test]
fn what_the_transport_cannot_be_is_refused() {
    let with = |lines: &str| format!("{LOG}[transport.redis]\n{lines}");
    refused(
        &format!("{MINIMAL}[transport.redis]\n"),
        &[
            "`transport.redis.url`: is missing",
            "the log is not on Redis",
            "CACHE_INVALIDATION__TRANSPORT__REDIS__URL",
        ],
    );
    refused(
        &with("url = 'rediss://app:hunter2@db'"),
        &[
            "c.toml:4: `transport.redis.url`",
            "transport.redis.password_file",
            "CACHE_INVALIDATION__TRANSPORT__REDIS__PASSWORD",
        ],
    );
    refused(
        &with("url = 'nats://db'"),
        &["c.toml:4: `transport.redis.url`", "write redis://"],
    );
    refused(
        &with("url = 'redis://db'"),
        &["`transport.redis.insecure_tls = true`"],
    );
    for key in [
        "user = 'x'",
        "password_file = 'FOLDER/secret'",
        "insecure_tls = true",
    ] {
        refused(
            &with(key),
            &[
                "c.toml:4:",
                "is for a url of the transport's own: that of the log has log.redis.",
            ],
        );
    }
    refused(
        &with("sender = 'authentic'"),
        &["did you mean `authenticated`?"],
    );
    refused(&with("publish_timeout = '2h'"), &["must be 1ms to 1h"]);
    refused(&with("notices_loss_within = '1us'"), &["must be 1ms to 1h"]);
    refused(&with("buffered_frames = 0"), &["above zero"]);
    refused(
        &with("max_frame = 1"),
        &["`max_frame` belongs in [transport.nats]"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'memory:'\n[transport.redis]\nurl = 'redis://localhost'",
        &["a log within one process"],
    );
}
