//! The Postgres log and transport.

use super::*;

fn log(toml: &str, variables: &[(&str, &str)]) -> PostgresConfig {
    match read(toml, variables).unwrap().log {
        LogChoice::Postgres(postgres) => postgres,
        other => panic!("{other:?}"),
    }
}

fn transport(lines: &str) -> PostgresTransportConfig {
    let config = read(&format!("{LOG}{lines}"), &[]).unwrap();
    config.postgres.unwrap()
}

fn url(url: &Secret) -> &str {
    std::str::from_utf8(url.expose()).unwrap()
}

const LOG: &str = "cluster = 'x'\nlog.url = 'postgres://app@db/billing'\n";

/// The address and the options of the Postgres log; its password comes from a file or a variable.
#[test]
fn postgres_is_read() {
    let toml = "cluster = 'x'
        [log]
        url = 'postgres://app@db/billing'
        [log.postgres]
        schema = 'billing_cache'
        pooling = 'transaction'
        password_file = 'FOLDER/secret'";
    let read_from_file = log(toml, &[]);
    assert_eq!(read_from_file.schema.as_deref(), Some("billing_cache"));
    assert_eq!(read_from_file.pooling, PoolingChoice::Transaction);
    assert_eq!(read_from_file.password.unwrap().expose(), SECRET.as_bytes());
    let from_variable = log(
        "cluster = 'x'",
        &[(
            "CACHE_INVALIDATION__LOG__URL",
            "postgres://app:hunter2@db/billing",
        )],
    );
    assert!(!format!("{from_variable:?}").contains("hunter2"));
    assert_eq!(from_variable.pooling, PoolingChoice::Detect);
    refused(
        "cluster = 'x'\nlog.url = 'postgres://db/b'\nlog.postgres.password = 'hunter2'",
        &["does not stand in the configuration itself"],
    );
    refused(
        &format!("{MINIMAL}[log.postgres]\nschema = 'x'"),
        &["`log.postgres`"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'postgres:db'",
        &["c.toml:2", "write `postgres://"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'postgres://db/b?sslmode=hunter2'",
        &["c.toml:2", "the URL cannot be used"],
    );
}

/// A link to another host is verified, unless the file calls it insecure and says how.
#[test]
fn a_link_is_verified_or_called_insecure() {
    let with = |url: &str, more: &str| {
        format!("cluster = 'x'\nlog.url = 'postgres://{url}'\n[log.postgres]\n{more}")
    };
    for (address, becomes) in [
        ("db/b", "postgres://db/b?sslmode=verify-full"),
        (
            "db/b?application_name=x",
            "postgres://db/b?application_name=x&sslmode=verify-full",
        ),
        ("db/b#f", "postgres://db/b?sslmode=verify-full#f"),
        (
            "db/b?sslmode=verify-full",
            "postgres://db/b?sslmode=verify-full",
        ),
        ("localhost/b", "postgres://localhost/b"),
        (
            "[::1]/b?sslmode=disable",
            "postgres://[::1]/b?sslmode=disable",
        ),
        (
            "/b?host=/var/run/postgresql",
            "postgres:///b?host=/var/run/postgresql",
        ),
    ] {
        let read = log(&with(address, ""), &[]);
        assert_eq!((url(&read.url), read.insecure_tls), (becomes, None));
    }
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let weak = format!("10.0.0.1/b?sslmode={mode}");
        refused(
            &with(&weak, ""),
            &[
                "c.toml:2: `log.url`",
                &format!("sslmode={mode}"),
                "use sslmode=verify-full",
                "`log.postgres.insecure_tls = true`",
            ],
        );
        refused(&with(&weak, "insecure_tls = false"), &["insecure_tls"]);
        refused(&with(&weak, "insecure_tls = 'very'"), &["true or false"]);
        let insecure = log(&with(&weak, "insecure_tls = true"), &[]);
        assert_eq!(insecure.insecure_tls, Some(mode));
    }
    refused(
        &with("db/b", "insecure_tls = true"),
        &[
            "c.toml:4: `log.postgres.insecure_tls`",
            "does not say how insecure",
        ],
    );
    refused(
        &with("db/b?sslmode=verify-full", "insecure_tls = true"),
        &["the connection is verified: take it out"],
    );
}

/// The transport's server is the log's, or one of its own.
#[test]
fn the_transport_is_read() {
    let of_log = transport("log.postgres.password_file = 'FOLDER/secret'\n[transport.postgres]\n");
    assert_eq!(
        url(&of_log.url),
        "postgres://app@db/billing?sslmode=verify-full"
    );
    assert_eq!(of_log.password.unwrap().expose(), SECRET.as_bytes());
    assert!(!of_log.authenticated && of_log.publish_timeout.is_none());
    let own = transport(
        "log.postgres.pooling = 'transaction'
        [transport.postgres]
        url = 'postgres://notify@db2/billing?sslmode=require'
        insecure_tls = true
        password_file = 'FOLDER/secret'
        sender = 'authenticated'
        publish_timeout = '1s'
        notices_loss_within = '5s'
        buffered_frames = 64",
    );
    assert_eq!(own.insecure_tls, Some("require"));
    assert_eq!(own.password.unwrap().expose(), SECRET.as_bytes());
    assert!(own.authenticated);
    assert_eq!(own.publish_timeout, Some(Duration::from_secs(1)));
    assert_eq!(own.notices_loss_within, Some(Duration::from_secs(5)));
    assert_eq!(own.buffered_frames, Some(64));
    let beside_none = read(
        &format!("{MINIMAL}[transport.postgres]\nurl = 'postgresql://localhost/b'"),
        &[],
    );
    assert!(beside_none.unwrap().postgres.is_some());
}

/// What cannot work, or would let a secret be seen, is refused where it stands.
#[test]
fn what_the_transport_cannot_be_is_refused() {
    let with = |lines: &str| format!("{LOG}[transport.postgres]\n{lines}");
    refused(
        &format!("{MINIMAL}[transport.postgres]\n"),
        &[
            "`transport.postgres.url`: is missing",
            "in no Postgres database",
            "CACHE_INVALIDATION__TRANSPORT__POSTGRES__URL",
        ],
    );
    refused(
        &format!("{LOG}log.postgres.pooling = 'transaction'\n[transport.postgres]\n"),
        &["is missing", "pooler in transaction mode"],
    );
    refused(
        &with("url = 'postgres://app:hunter2@db/b'"),
        &[
            "c.toml:4: `transport.postgres.url`",
            "transport.postgres.password_file",
            "CACHE_INVALIDATION__TRANSPORT__POSTGRES__PASSWORD",
        ],
    );
    refused(
        &with("password = 'hunter2'"),
        &["does not stand in the configuration itself"],
    );
    refused(&with("url = 'mysql://db/b'"), &["write `postgres://"]);
    refused(
        &with("url = 'postgres://db/b?sslmode=prefer'"),
        &["`transport.postgres.insecure_tls = true`"],
    );
    refused(
        &with("insecure_tls = true"),
        &["is for a url of the transport's own"],
    );
    refused(
        &with("sender = 'authentic'"),
        &["did you mean `authenticated`?"],
    );
    refused(&with("publish_timeout = '0s'"), &["above zero"]);
    refused(&with("publish_timeout = '2h'"), &["must be 1ms to 1h"]);
    refused(&with("notices_loss_within = '1us'"), &["must be 1ms to 1h"]);
    refused(&with("buffered_frames = 0"), &["above zero"]);
    refused(
        &with("buffered = 1"),
        &["unknown key in [transport.postgres]"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'memory:'\n[transport.postgres]\nurl = 'postgres://localhost/b'",
        &["a log within one process"],
    );
}
