//! The HTTP fan-out.

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
    let text = refusal(
        HTTP,
        &[("CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET", "hunter2")],
    );
    assert!(text.contains("has 7 bytes: use at least 16"), "{text}");
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

/// Peers that find each other in the log need one that keeps members, and an address at which each is reached.
#[test]
fn peers_in_the_log() {
    let toml = |log: &str, lines: &str| {
        format!("cluster = 'x'\nlog.url = '{log}'\n[transport.http]\ninsecure = true\n{lines}")
    };
    let everywhere = "listen = '0.0.0.0:7400'\npeers = ['log']\n";
    if cfg!(feature = "sqlite") {
        let here = "listen = '127.0.0.1:7400'\npeers = ['log', '10.0.0.7:7400']";
        let http = read(&toml("sqlite:x.db", here), &[]).unwrap().http.unwrap();
        assert_eq!(http.peers[0], Peer::Log);
        refused(
            &toml("sqlite:x.db", everywhere),
            &[
                "`transport.http.advertise`: is missing",
                "CACHE_INVALIDATION__TRANSPORT__HTTP__ADVERTISE",
            ],
        );
        for address in ["10.0.0.7:7400", "node-1:7400", "http://node-1:80/internal"] {
            let advertised = format!("{everywhere}advertise = '{address}'");
            let read = read(&toml("sqlite:x.db", &advertised), &[]).unwrap();
            assert_eq!(read.http.unwrap().advertise.unwrap().to_string(), address);
        }
        for address in [
            "0.0.0.0:7400",
            "dns:x:7400",
            "log",
            "node-1",
            "https://node-1",
        ] {
            refused(
                &toml(
                    "sqlite:x.db",
                    &format!("{everywhere}advertise = '{address}'"),
                ),
                &[
                    "c.toml:7: `transport.http.advertise`",
                    "is no address at which",
                ],
            );
        }
        refused(
            &toml(
                "sqlite:x.db",
                "listen = '127.0.0.1:7400'\nadvertise = '127.0.0.1:7400'",
            ),
            &[
                "c.toml:6: `transport.http.advertise`",
                "add \"log\" to the peers",
            ],
        );
    }
    refused(
        &toml("none:", &format!("{everywhere}advertise = '10.0.0.7:7400'")),
        &[
            "c.toml:6: `transport.http.peers`",
            "needs a log in a database",
        ],
    );
}
