//! Making the log, and what is not this version's.

use etcd_client::{Client, ConnectOptions, DeleteOptions, GetOptions};
use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_etcd::EtcdLog;
use libtest_mimic::Trial;

use super::bed::{Reader, append, builder, client, fresh, installed, prefix, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("whoever_installs_first_decides", first_decides),
        trial("a_log_of_a_newer_version_is_refused", newer),
        trial("a_log_that_is_not_there_is_told", missing),
        trial("p20_a_log_that_was_deleted_is_made_anew", deleted),
        trial("settings_that_cannot_be_are_refused", refused),
        trial("a_token_that_is_not_taken_costs_no_call", token),
    ]
}

/// The number of rings is that of the first, and all go by it.
async fn first_decides(server: &'static Server) {
    let cluster = fresh();
    let (three, five) = tokio::join!(
        installed(builder(server.address(), &cluster).rings(3)),
        installed(builder(server.address(), &cluster).rings(5)),
    );
    let rings = GetOptions::new().with_prefix().with_count_only();
    let key = format!("{}ring/", prefix(&cluster));
    let rings = client(server).await.get(key, Some(rings)).await.unwrap();
    assert!([3, 5].contains(&rings.count()), "{}", rings.count());
    assert_eq!(three.identity(), five.identity());
    let mut reader = Reader::cold(&three).await;
    for number in 0..7 {
        append(&five, &number.to_string()).await;
        append(&three, &number.to_string()).await;
    }
    assert_eq!(reader.read().await.unwrap().len(), 14);
}

/// A newer version's log is neither read, written to nor installed over, also by who has used it before.
async fn newer(server: &'static Server) {
    let cluster = fresh();
    let log = installed(builder(server.address(), &cluster)).await;
    append(&log, "1").await;
    let mut reader = Reader::cold(&log).await;
    append(&log, "2").await;
    let mut idle = Reader::cold(&log).await;
    let mut client = client(server).await;
    let meta = format!("{}meta", prefix(&cluster));
    // Field 1, the version, is 2.
    client.put(meta.clone(), [8, 2], None).await.unwrap();
    for (call, refused) in [
        ("install", log.install().await.unwrap_err()),
        ("head", log.head().await.unwrap_err()),
        (
            "append",
            log.append(&[super::bed::key("3")]).await.unwrap_err(),
        ),
        ("read", reader.page().await.unwrap_err()),
        ("idle read", idle.page().await.unwrap_err()),
    ] {
        assert_eq!(refused.kind, ErrorKind::Incompatible, "{call}: {refused}");
    }
    let kept = client.get(meta, None).await.unwrap();
    assert_eq!(kept.kvs()[0].value(), [8, 2]);
}

/// Where no log is, each call says what to do.
async fn missing(server: &'static Server) {
    let log = builder(server.address(), &fresh()).connect().await.unwrap();
    let elsewhere = installed(builder(server.address(), &fresh())).await;
    let mut reader = Reader::cold(&elsewhere).await;
    reader.log = &log;
    for refused in [
        log.head().await.unwrap_err(),
        log.append(&[super::bed::key("1")]).await.unwrap_err(),
        reader.page().await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
        assert!(refused.message.contains("run install"), "{refused}");
    }
}

/// P10, P20: a log that is gone, or half of one, is made anew by the next read of who has installed it before, with another
/// epoch, so that every reader is told. Who has not says what to do.
async fn deleted(server: &'static Server) {
    for key in ["newest", "meta", ""] {
        let cluster = fresh();
        let builder = builder(server.address(), &cluster);
        let log = installed(builder.clone()).await;
        let (other, idle) = (
            installed(builder.clone()).await,
            builder.connect().await.unwrap(),
        );
        append(&log, "1").await;
        let mut readers = [
            Reader::cold(&idle).await,
            Reader::cold(&log).await,
            Reader::cold(&other).await,
        ];
        append(&log, "2").await;
        let options = key.is_empty().then(|| DeleteOptions::new().with_prefix());
        let mut client = client(server).await;
        let deleted = client.delete(prefix(&cluster) + key, options).await;
        assert!(deleted.unwrap().deleted() > 0);
        let [idle, one, two] = &mut readers;
        for e in [
            log.append(&[super::bed::key("3")]).await.unwrap_err(),
            idle.page().await.unwrap_err(),
        ] {
            assert_eq!(e.kind, ErrorKind::Unavailable, "{key}: {e}");
            assert!(e.message.contains("run install"), "{key}: {e}");
        }
        let (first, second) = tokio::join!(one.read(), two.read());
        for told in [first, second, idle.read().await] {
            assert_eq!(told, Err(GapReason::IdentityChanged), "{key}");
        }
        append(&log, "4").await;
        append(&other, "5").await;
        for reader in &mut readers {
            assert_eq!(reader.read().await.unwrap(), ["4", "5"], "{key}");
        }
    }
}

/// What a builder refuses, it refuses by kind, and without a word of the URL.
async fn refused(server: &'static Server) {
    let good = || builder(server.address(), "billing");
    for builder in [
        good().rings(0),
        good().rings(25),
        good().ring_entries(0),
        good().cluster(""),
        good().read_timeout(std::time::Duration::ZERO),
        EtcdLog::builder("http://u:hunter2@host"),
    ] {
        let e = builder.connect_later().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }
}

/// What was refused for its token has done nothing: it is made again with another, and nobody notices.
async fn token(_shared: &'static Server) {
    let server = super::bed::blocking(|| {
        Server::start_with(Backend::Etcd, &["--bcrypt-cost", "4"]).unwrap()
    });
    let server = server.await;
    let mut admin = client(&server).await;
    admin.user_add("root", "p", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
    let url = format!("etcd://root:p@{}", server.address());
    let log = installed(EtcdLog::builder(&url)).await;
    let mut reader = Reader::cold(&log).await;
    for text in ["1", "2"] {
        // Both forget all tokens.
        let known = ConnectOptions::new().with_user("root", "p");
        let mut admin = Client::connect([server.url()], Some(known)).await.unwrap();
        admin.auth_disable().await.unwrap();
        client(&server).await.auth_enable().await.unwrap();
        append(&log, text).await;
        assert_eq!(reader.read().await.unwrap(), [text]);
    }
}
