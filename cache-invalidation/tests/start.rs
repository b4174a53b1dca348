//! A node from a configuration: each backend is opened as configured.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::time::Duration;

use cache_invalidation::{Cache, config::Config};

const SECOND: Duration = Duration::from_secs(1);

/// A node with the log in memory starts, and ends.
#[tokio::test]
async fn memory_starts() {
    let config = Config::parse_str("cluster = 'billing'\nlog.url = 'memory:'").unwrap();
    let node = config.start().await.unwrap();
    assert!(node.log_age().is_some(), "it has a log");
    node.shutdown(SECOND).await.unwrap();
}

/// Without a log there is none.
#[tokio::test]
async fn none_has_no_log() {
    let config = Config::parse_str("cluster = 'billing'\nlog.url = 'none:'").unwrap();
    let node = config.start().await.unwrap();
    assert!(node.log_age().is_none());
    node.shutdown(SECOND).await.unwrap();
}

/// What an operator sets for a cache reaches it, at the largest that is accepted as well.
#[tokio::test]
async fn cache_settings_reach_the_cache() {
    let toml = format!(
        "cluster = 'billing'
        log.url = 'memory:'
        cache_defaults.max_concurrent_loads = {}
        [caches.users]
        ttl = '3650d'
        ttl_cap = '3650d'
        max_staleness = '3650d'
        load_timeout = '3650d'
        [caches.bounded]
        negative_ttl = '1s'",
        u32::MAX
    );
    let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
    let users: Cache<i64, i64> = node.cache("users").build().unwrap();
    let loaded = users
        .get_or_load(&1, async || Ok::<_, std::io::Error>(2))
        .await;
    assert_eq!(loaded.unwrap(), 2);
    let refused = node.cache::<i64, i64>("bounded").build().unwrap_err();
    assert!(refused.to_string().contains("negative_ttl"), "{refused}");
    node.shutdown(SECOND).await.unwrap();
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    /// The file of the URL becomes the log.
    #[tokio::test]
    async fn the_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let toml = format!("cluster = 'billing'\nlog.url = 'sqlite:{}'", path.display());
        let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
        assert!(path.exists() && node.log_age().is_some());
        node.shutdown(SECOND).await.unwrap();
    }

    /// A node that may start in bypass does so while the folder of its log is missing, and reads the log once
    /// it is there.
    #[tokio::test]
    async fn it_starts_in_bypass_without_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("mounted-later");
        let toml = format!(
            "cluster = 'billing'\n[log]\nurl = 'sqlite:{}'\npoll_interval = '20ms'\nstart_in_bypass = true",
            below.join("a.db").display()
        );
        let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
        assert!(node.log_age().is_none(), "nothing was read yet");
        std::fs::create_dir(&below).unwrap();
        let read = async {
            while node.log_age().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(10 * SECOND, read).await.unwrap();
        node.shutdown(SECOND).await.unwrap();
    }

    /// A file that may not be made is an error that names the log.
    #[tokio::test]
    async fn a_missing_file_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.db");
        let toml = format!(
            "cluster = 'billing'\n[log]\nurl = 'sqlite:{}'\nsqlite.create_if_missing = false",
            path.display()
        );
        let error = Config::parse_str(&toml).unwrap().start().await.unwrap_err();
        assert_eq!(error.backend, "sqlite", "{error}");
        assert!(!path.exists());
    }
}

#[cfg(feature = "http")]
mod http {
    use std::net::TcpListener;

    use super::*;

    /// The listener is bound, and an address in use is an error that names the transport.
    #[tokio::test]
    async fn the_address_is_bound() {
        let toml = |port| {
            format!(
                "cluster = 'billing'\nlog.url = 'none:'\n[transport.http]\nlisten = '127.0.0.1:{port}'\n\
                 insecure = true"
            )
        };
        let node = Config::parse_str(&toml(0)).unwrap().start().await.unwrap();
        node.shutdown(SECOND).await.unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Config::parse_str(&toml(port))
            .unwrap()
            .start()
            .await
            .unwrap_err();
        assert_eq!(error.backend, "http", "{error}");
    }

    /// What the configuration accepts, the transport does too.
    #[tokio::test]
    async fn every_key_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef\n").unwrap();
        let toml = format!(
            "cluster = 'billing'
            log.url = 'none:'
            [transport.http]
            listen = '127.0.0.1:0'
            peers = ['localhost:1', '[::1]:1', 'http://localhost/a/b', 'http://[::1]:1', 'dns:localhost:1']
            secret_file = '{0}'
            second_secret_file = '{0}'
            allowed_networks = ['127.0.0.0/8']
            allowed_ports = [1]
            dns_interval = '1s'
            publish_timeout = '5s'
            body_cap = 1024
            queue_frames = 1
            subscription_frames = 4_294_967_295
            header_deadline = '1s'
            body_deadline = '1s'
            max_unverified = 1
            max_connections = 1
            max_sessions = 1
            sign_of_life = '1s'",
            secret.display()
        );
        let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
        node.shutdown(SECOND).await.unwrap();
    }
}

/// Contract: processes that share a file and are told nothing else are each other's peers.
#[cfg(all(feature = "sqlite", feature = "http", unix))]
#[tokio::test]
async fn processes_find_each_other_beside_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "cluster = 'billing'
        log.url = 'sqlite:{}'
        [transport.http]
        listen = '127.0.0.1:0'
        peers = ['log']
        insecure = true",
        folder.path().join("a.db").display()
    );
    let config = Config::parse_str(&toml).unwrap();
    let (a, b) = (config.start().await.unwrap(), config.start().await.unwrap());
    let cache: Cache<i64, i64> = a.cache("users").build().unwrap();
    let found = async {
        loop {
            let published = cache.invalidate(&1).await.unwrap().published().await;
            let frames = published.into_iter().flat_map(|told| told.frames);
            let mut peers = frames.flat_map(|frame| frame.unwrap().peers);
            if peers.any(|peer| peer.node == Some(b.id()) && peer.result.is_ok()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(20 * SECOND, found).await.unwrap();
    a.shutdown(SECOND).await.unwrap();
    b.shutdown(SECOND).await.unwrap();
}

/// What is warned of while a node is made of the configuration.
#[cfg(any(
    feature = "postgres",
    feature = "redis",
    feature = "nats",
    feature = "etcd"
))]
async fn warnings(toml: &str) -> Vec<String> {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    drop(Config::parse_str(toml).unwrap().node().await.unwrap());
    let told = std::mem::take(&mut *lines.0.lock().unwrap());
    let told = String::from_utf8(told).unwrap();
    let warnings = told.lines().filter(|line| line.contains("insecure_tls"));
    warnings.map(str::to_owned).collect()
}

/// Contract: a link that is not verified is warned about at the start, once, with its mode and without its password.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn an_insecure_link_is_warned_about_once() {
    let start = async |mode: &str, insecure: bool| {
        let toml = format!(
            "cluster = 'billing'
            [log]
            url = 'postgres://app@db.invalid/x?sslmode={mode}'
            start_in_bypass = true
            [log.postgres]
            insecure_tls = {insecure}"
        );
        warnings(&toml).await
    };
    assert_eq!(start("verify-full", false).await, [""; 0]);
    let warnings = start("require", true).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in ["WARN", "require", "verify-full"] {
        assert!(warnings[0].contains(word), "{word}: {warnings:?}");
    }
}

/// Contract: so is a link to a broker, of the log and of the transport.
#[cfg(any(feature = "redis", feature = "nats", feature = "etcd"))]
#[tokio::test]
async fn an_insecure_link_to_a_broker_is_warned_about() {
    let brokers = [
        (cfg!(feature = "redis"), "redis", "redis", "rediss"),
        (cfg!(feature = "nats"), "nats", "nats", "tls"),
        (cfg!(feature = "etcd"), "etcd", "etcd", "etcds"),
    ];
    for (is_here, broker, plain, tls) in brokers {
        if !is_here {
            continue;
        }
        let start = async |scheme: &str, insecure: bool| {
            let toml = format!(
                "cluster = 'billing'
                [log]
                url = '{scheme}://db.invalid'
                start_in_bypass = true
                [log.{broker}]
                insecure_tls = {insecure}
                [transport.{broker}]"
            );
            warnings(&toml).await
        };
        assert_eq!(start(tls, false).await, [""; 0]);
        let verified = format!("{tls}://");
        for (scheme, words) in [
            (plain, ["plain text", verified.as_str()]),
            (tls, ["any certificate", "ca_file"]),
        ] {
            let warnings = start(scheme, true).await;
            assert_eq!(warnings.len(), 2, "{warnings:?}");
            for (warning, of) in warnings.iter().zip(["log", "transport"]) {
                for word in ["WARN", of, words[0], words[1]] {
                    assert!(warning.contains(word), "{word}: {warning}");
                }
            }
        }
    }
}

/// A server that is not there is told at once; with `start_in_bypass` later.
#[cfg(any(feature = "redis", feature = "nats", feature = "etcd"))]
#[tokio::test]
async fn a_broker_that_is_not_there() {
    let brokers = [
        (cfg!(feature = "redis"), "redis"),
        (cfg!(feature = "nats"), "nats"),
        (cfg!(feature = "etcd"), "etcd"),
    ];
    for (_, scheme) in brokers.into_iter().filter(|(is_here, _)| *is_here) {
        let toml = format!("cluster = 'billing'\n[log]\nurl = '{scheme}://127.0.0.1:1'");
        let e = Config::parse_str(&toml).unwrap().node().await.unwrap_err();
        assert_eq!(e.kind, cache_invalidation::ErrorKind::Unavailable, "{e}");
        let toml = format!("{toml}\nstart_in_bypass = true");
        let later = Config::parse_str(&toml).unwrap().node().await;
        assert!(later.is_ok(), "{later:?}");
    }
}

/// A server that is not there is told at once; with `start_in_bypass` later.
#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_mysql_that_is_not_there() {
    let toml = "cluster = 'billing'\n[log]\nurl = 'mysql://app@127.0.0.1:1/x'";
    let e = Config::parse_str(toml).unwrap().node().await.unwrap_err();
    assert_eq!(e.kind, cache_invalidation::ErrorKind::Unavailable, "{e}");
    let toml = format!("{toml}\nstart_in_bypass = true");
    let later = Config::parse_str(&toml).unwrap().node().await;
    assert!(later.is_ok(), "{later:?}");
}

/// A server that is not there is told at once; with `start_in_bypass` later.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_postgres_that_is_not_there() {
    let toml = "cluster = 'billing'\n[log]\nurl = 'postgres://app@127.0.0.1:1/x'";
    let e = Config::parse_str(toml).unwrap().node().await.unwrap_err();
    assert_eq!(e.kind, cache_invalidation::ErrorKind::Unavailable, "{e}");
    let toml = format!("{toml}\nstart_in_bypass = true");
    let later = Config::parse_str(&toml).unwrap().node().await;
    assert!(later.is_ok(), "{later:?}");
}
