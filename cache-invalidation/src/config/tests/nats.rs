//! The log and the transport on NATS.

use super::*;

fn log(toml: &str, variables: &[(&str, &str)]) -> NatsConfig {
    match read(toml, variables).unwrap().log {
        LogChoice::Nats(nats) => nats,
        other => panic!("{other:?}"),
    }
}

fn transport(lines: &str) -> NatsTransportConfig {
    let config = read(&format!("{LOG}{lines}"), &[]).unwrap();
    config.nats.unwrap()
}

fn url(servers: &NatsServers) -> &str {
    std::str::from_utf8(servers.broker.url.expose()).unwrap()
}

const LOG: &str = "cluster = 'x'\nlog.url = 'tls://n1,n2'\n";

/// A user's seed, made from the numbers 0 to 31.
const SEED: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";

/// The address and the options of the log.
#[test]
fn the_log_is_read() {
    let all = log(
        "cluster = 'x'
        [log]
        url = 'tls://n1:4222,n2'
        [log.nats]
        stream = 'INVALIDATIONS'
        subject = 'billing.invalidations'
        replicas = 3
        storage = 'memory'
        max_age = '1d'
        max_messages = 1_000_000
        max_bytes = 67_108_864
        when_full = 'refuse_appends'
        domain = 'hub'
        syncs_always = true
        user = 'app'
        password_file = 'FOLDER/secret'
        ca_file = 'FOLDER/ca.pem'
        client_certificate = 'FOLDER/ca.pem'
        client_key = 'FOLDER/key.pem'",
        &[],
    );
    assert_eq!(url(&all.servers), "tls://n1:4222,n2");
    assert_eq!(all.stream.as_deref(), Some("INVALIDATIONS"));
    assert_eq!(all.subject.as_deref(), Some("billing.invalidations"));
    assert_eq!((all.replicas, all.in_memory), (Some(3), true));
    assert_eq!(all.max_age, Some(Duration::from_secs(86_400)));
    assert_eq!(
        (all.max_messages, all.max_bytes),
        (Some(1_000_000), Some(1 << 26))
    );
    assert_eq!(all.refuses_when_full, Some(true));
    assert_eq!(all.domain.as_deref(), Some("hub"));
    assert!(all.syncs_always);
    assert_eq!(all.servers.broker.user.as_deref(), Some("app"));

    let least = log("cluster = 'x'\nlog.url = 'nats://localhost'", &[]);
    let as_it_is = (least.replicas, least.max_age, least.refuses_when_full);
    assert_eq!(as_it_is, (None, None, None));
    assert!(!least.in_memory && !least.syncs_always && least.stream.is_none());
}

/// Each way to say who the node is comes from a file or a variable, and never from the text.
#[test]
fn credentials_are_read_apart() {
    let by_file = |key: &str| {
        let toml = format!("{LOG}[log.nats]\n{key}_file = 'FOLDER/secret'");
        log(&toml, &[]).servers
    };
    assert_eq!(by_file("token").token.unwrap().expose(), SECRET.as_bytes());
    let file = format!("{LOG}[log.nats]\ncredentials_file = 'FOLDER/secret'");
    let file = log(&file, &[]).servers.credentials_file.unwrap();
    assert!(file.ends_with("secret"));
    let seed = ("CACHE_INVALIDATION__LOG__NATS__NKEY_SEED", SEED);
    let servers = log(LOG, &[seed]).servers;
    assert_eq!(
        servers.nkey_seed.as_ref().unwrap().expose(),
        SEED.as_bytes()
    );
    assert!(!format!("{servers:?}").contains(SEED));
    let in_url = ("CACHE_INVALIDATION__LOG__URL", "tls://hunter2@n1");
    assert!(read("cluster = 'x'", &[in_url]).is_ok());

    for (key, what) in [
        ("password", "a password"),
        ("token", "a token"),
        ("nkey_seed", "the seed of an nkey"),
    ] {
        refused(
            &format!("{LOG}[log.nats]\n{key} = 'hunter2'"),
            &[
                &format!("c.toml:4: `log.nats.{key}`"),
                &format!("{what} does not stand in the configuration itself"),
            ],
        );
    }
    // Alone, a name is a token.
    for secret in ["app:hunter2", "hunter2"] {
        refused(
            &format!("cluster = 'x'\nlog.url = 'tls://{secret}@n1'"),
            &["c.toml:2: `log.url`", "log.nats.password_file"],
        );
    }
    refused(
        &format!("{LOG}[log.nats]\nnkey_seed_file = 'FOLDER/secret'"),
        &["c.toml:2: `log.url`", "begins with SU"],
    );
    refused(
        &format!(
            "{LOG}[log.nats]\ntoken_file = 'FOLDER/secret'\ncredentials_file = 'FOLDER/secret'"
        ),
        &["c.toml:2: `log.url`", "given twice"],
    );
    refused(
        &format!("{LOG}[log.nats]\ncredentials_file = 'FOLDER/none'"),
        &["c.toml:4: `log.nats.credentials_file`", "cannot be read"],
    );
}

/// A link to another host is verified, unless the file calls it insecure.
#[test]
fn a_link_is_verified_or_called_insecure() {
    let with =
        |url: &str, more: &str| format!("cluster = 'x'\nlog.url = '{url}'\n[log.nats]\n{more}");
    for (address, more, expected) in [
        ("tls://n1", "", None),
        ("nats://localhost,127.0.0.1:1", "", None),
        (
            "nats://n1",
            "insecure_tls = true",
            Some(Unverified::PlainText),
        ),
        (
            "tls://n1",
            "insecure_tls = true",
            Some(Unverified::AnyCertificate),
        ),
    ] {
        let read = log(&with(address, more), &[]).servers.broker;
        assert_eq!(read.insecure_tls, expected, "{address} {more}");
    }
    refused(
        &with("nats://localhost,n1", ""),
        &[
            "c.toml:2: `log.url`",
            "use tls://",
            "`log.nats.insecure_tls = true`",
        ],
    );
    refused(
        &with("nats://localhost", "ca_file = 'FOLDER/ca.pem'"),
        &["`log.nats.ca_file`", "is for TLS", "`tls://`"],
    );
}

/// What the log cannot be is refused where it stands.
#[test]
fn what_the_log_cannot_be_is_refused() {
    let with = |more: &str| format!("{LOG}[log.nats]\n{more}");
    refused(
        &with("replicas = 6"),
        &["c.toml:4: `log.nats.replicas`", "must be 1 to 5"],
    );
    refused(&with("storage = 'disk'"), &["use `file` or `memory`"]);
    refused(
        &with("when_full = 'forget'"),
        &["use `forget_oldest` or `refuse_appends`"],
    );
    refused(&with("max_age = 86400"), &["text with a unit"]);
    refused(&with("max_age = '99ms'"), &["must be 100ms at least"]);
    refused(&with("max_bytes = 0"), &["above zero"]);
    refused(&with("replica = 1"), &["did you mean `replicas`?"]);
    refused(
        "cluster = 'x'\nlog.url = 'nats://a/x'",
        &["c.toml:2: `log.url`: the URL cannot be used"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'natss://a'",
        &["did you mean `nats:`?"],
    );
}

/// What may be said of a log is what its builder takes.
#[tokio::test]
async fn the_bounds_are_those_of_the_log() {
    let builder = || invalidation_transport_nats::NatsLog::builder("nats://localhost");
    for (replicas, is_good) in [(0, false), (1, true), (5, true), (6, false)] {
        let toml = format!("{LOG}log.nats.replicas = {replicas}");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{replicas}");
        assert_eq!(
            builder().replicas(replicas).connect_later().is_ok(),
            is_good,
            "{replicas}"
        );
    }
    for (millis, is_good) in [(99, false), (100, true)] {
        let toml = format!("{LOG}log.nats.max_age = '{millis}ms'");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{millis}");
        let built = builder()
            .max_age(Duration::from_millis(millis))
            .connect_later();
        assert_eq!(built.is_ok(), is_good, "{millis}");
    }
    for (bytes, is_good) in [(1, true), (64 << 20, true), ((64 << 20) + 1, false)] {
        let toml = format!("{LOG}[transport.nats]\nmax_frame = {bytes}");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{bytes}");
        let transport = invalidation_transport_nats::NatsTransport::builder("x");
        let built = transport.url("nats://localhost").max_frame(bytes).build();
        assert_eq!(built.is_ok(), is_good, "{bytes}");
    }
}

/// The transport's servers are the log's, or its own.
#[test]
fn the_transport_is_read() {
    let of_log = transport("log.nats.token_file = 'FOLDER/secret'\n[transport.nats]\n");
    assert_eq!(url(&of_log.servers), "tls://n1,n2");
    assert_eq!(of_log.servers.token.unwrap().expose(), SECRET.as_bytes());
    let own = transport(
        "[transport.nats]
        url = 'nats://localhost'
        user = 'app'
        password_file = 'FOLDER/secret'
        sender = 'authenticated'
        publish_timeout = '1s'
        max_frame = 65536",
    );
    assert_eq!(url(&own.servers), "nats://localhost");
    assert_eq!(own.max_frame, Some(1 << 16));
    assert!(own.frames.authenticated);
    assert_eq!(own.frames.publish_timeout, Some(Duration::from_secs(1)));
}

/// What cannot work, or would let a secret be seen, is refused where it stands.
#[test]
fn what_the_transport_cannot_be_is_refused() {
    let with = |lines: &str| format!("{LOG}[transport.nats]\n{lines}");
    refused(
        &format!("{MINIMAL}[transport.nats]\n"),
        &["`transport.nats.url`: is missing", "the log is not on NATS"],
    );
    refused(
        &with("url = 'tls://hunter2@n1'"),
        &[
            "c.toml:4: `transport.nats.url`",
            "CACHE_INVALIDATION__TRANSPORT__NATS__PASSWORD",
        ],
    );
    refused(
        &with("url = 'nats://n1'"),
        &["`transport.nats.insecure_tls = true`"],
    );
    refused(
        &with("token_file = 'FOLDER/secret'"),
        &["that of the log has log.nats.token_file"],
    );
    refused(&with("buffered = 1"), &["unknown key in [transport.nats]"]);
}
