//! The log and the transport in etcd.

use super::*;

fn log(toml: &str, variables: &[(&str, &str)]) -> EtcdConfig {
    match read(toml, variables).unwrap().log {
        LogChoice::Etcd(etcd) => etcd,
        other => panic!("{other:?}"),
    }
}

fn transport(lines: &str) -> EtcdTransportConfig {
    let config = read(&format!("{LOG}{lines}"), &[]).unwrap();
    config.etcd.unwrap()
}

fn url(servers: &EtcdServers) -> &str {
    std::str::from_utf8(servers.broker.url.expose()).unwrap()
}

const LOG: &str = "cluster = 'x'\nlog.url = 'etcds://e1,e2,e3'\n";

/// The address and the options of the log; its password comes from a file or a variable.
#[test]
fn the_log_is_read() {
    let all = log(
        "cluster = 'x'
        [log]
        url = 'etcds://e1:2379,e2'
        [log.etcd]
        rings = 8
        ring_entries = 128
        user = 'app'
        password_file = 'FOLDER/secret'
        server_name = 'etcd.internal'
        ca_file = 'FOLDER/ca.pem'
        client_certificate = 'FOLDER/ca.pem'
        client_key = 'FOLDER/key.pem'",
        &[],
    );
    let EtcdServers {
        broker,
        server_name,
    } = &all.servers;
    assert_eq!(url(&all.servers), "etcds://e1:2379,e2");
    assert_eq!((all.rings, all.ring_entries), (Some(8), Some(128)));
    assert_eq!(broker.user.as_deref(), Some("app"));
    assert_eq!(
        broker.password.as_ref().unwrap().expose(),
        SECRET.as_bytes()
    );
    assert_eq!(server_name.as_deref(), Some("etcd.internal"));
    assert!(broker.ca_file.is_some() && broker.client_certificate.is_some());

    let by_variable = ("CACHE_INVALIDATION__LOG__URL", "etcds://app:hunter2@e1");
    let by_variable = log("cluster = 'x'", &[by_variable]);
    assert!(!format!("{by_variable:?}").contains("hunter2"));
    assert_eq!((by_variable.rings, by_variable.ring_entries), (None, None));
}

/// A link to another host is verified, unless the file calls it insecure.
#[test]
fn a_link_is_verified_or_called_insecure() {
    let with =
        |url: &str, more: &str| format!("cluster = 'x'\nlog.url = '{url}'\n[log.etcd]\n{more}");
    for (address, more, expected) in [
        ("etcds://e1", "", None),
        ("etcds://localhost", "", None),
        ("etcd://localhost,[::1]:1", "", None),
        (
            "etcd://e1",
            "insecure_tls = true",
            Some(Unverified::PlainText),
        ),
        (
            "etcds://e1",
            "insecure_tls = true",
            Some(Unverified::AnyCertificate),
        ),
    ] {
        let read = log(&with(address, more), &[]).servers.broker;
        assert_eq!(read.insecure_tls, expected, "{address} {more}");
    }
    refused(
        &with("etcd://localhost,e1", ""),
        &[
            "c.toml:2: `log.url`",
            "use etcds://",
            "`log.etcd.insecure_tls = true`",
        ],
    );
    refused(
        &with("etcd://localhost", "server_name = 'x'"),
        &["`log.etcd.server_name`", "is for TLS", "`etcds://`"],
    );
}

/// What the log cannot be is refused where it stands, without a secret.
#[test]
fn what_the_log_cannot_be_is_refused() {
    let with = |more: &str| format!("{LOG}[log.etcd]\n{more}");
    refused(
        "cluster = 'x'\nlog.url = 'etcds://app:hunter2@e1'",
        &[
            "c.toml:2: `log.url`",
            "CACHE_INVALIDATION__LOG__ETCD__PASSWORD",
        ],
    );
    refused(
        &with("password = 'hunter2'"),
        &["does not stand in the configuration itself"],
    );
    refused(
        &with("user = 'app'"),
        &["c.toml:2: `log.url`", "a user and no password"],
    );
    refused(
        &with("ca_file = 'FOLDER/none'"),
        &["`log.etcd.ca_file`", "cannot be read"],
    );
    refused(
        &with("rings = 25"),
        &["c.toml:4: `log.etcd.rings`", "must be 1 to 24"],
    );
    refused(&with("ring_entries = 1025"), &["must be 1 to 1024"]);
    refused(&with("ring = 1"), &["did you mean `rings`?"]);
    refused(
        "cluster = 'x'\nlog.url = 'etcd://a/x'",
        &["c.toml:2: `log.url`: the URL cannot be used"],
    );
    refused(
        "cluster = 'x'\nlog.url = 'ectd://a'",
        &["did you mean `etcd:`?"],
    );
}

/// What may be said of a log is what its builder takes.
#[tokio::test]
async fn the_bounds_are_those_of_the_log() {
    let builder = || invalidation_transport_etcd::EtcdLog::builder("etcd://localhost");
    for (rings, is_good) in [(0, false), (1, true), (24, true), (25, false)] {
        let toml = format!("{LOG}log.etcd.rings = {rings}");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{rings}");
        assert_eq!(
            builder().rings(rings).connect_later().is_ok(),
            is_good,
            "{rings}"
        );
    }
    for (entries, is_good) in [(0, false), (1, true), (1_024, true), (1_025, false)] {
        let toml = format!("{LOG}log.etcd.ring_entries = {entries}");
        assert_eq!(read(&toml, &[]).is_ok(), is_good, "{entries}");
        assert_eq!(
            builder().ring_entries(entries).connect_later().is_ok(),
            is_good,
            "{entries}"
        );
    }
}

/// The transport's members are the log's, or its own.
#[test]
fn the_transport_is_read() {
    let of_log = transport("log.etcd.server_name = 'etcd'\n[transport.etcd]\n");
    assert_eq!(url(&of_log.servers), "etcds://e1,e2,e3");
    assert_eq!(of_log.servers.server_name.as_deref(), Some("etcd"));
    let own = transport(
        "[transport.etcd]
        url = 'etcd://localhost'
        user = 'app'
        password_file = 'FOLDER/secret'
        sender = 'authenticated'
        notices_loss_within = '5s'",
    );
    assert_eq!(url(&own.servers), "etcd://localhost");
    assert!(own.frames.authenticated);
    assert_eq!(own.frames.notices_loss_within, Some(Duration::from_secs(5)));
}

/// What cannot work, or would let a secret be seen, is refused where it stands.
#[test]
fn what_the_transport_cannot_be_is_refused() {
    let with = |lines: &str| format!("{LOG}[transport.etcd]\n{lines}");
    refused(
        &format!("{MINIMAL}[transport.etcd]\n"),
        &["`transport.etcd.url`: is missing", "the log is not on etcd"],
    );
    refused(
        &with("url = 'etcds://app:hunter2@e1'"),
        &[
            "c.toml:4: `transport.etcd.url`",
            "transport.etcd.password_file",
        ],
    );
    refused(
        &with("url = 'etcd://e1'"),
        &["`transport.etcd.insecure_tls = true`"],
    );
    refused(
        &with("server_name = 'x'"),
        &["that of the log has log.etcd.server_name"],
    );
    refused(&with("buffered = 1"), &["unknown key in [transport.etcd]"]);
}
