//! Three members: who may answer.

use std::time::Duration;

use invalidation_core::{ErrorKind, InvalidationLog as _, Retry};
use invalidation_testbed::Server;
use invalidation_transport_etcd::EtcdLog;
use libtest_mimic::Trial;

use super::bed::{Reader, append, blocking, builder, fresh, installed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("p4_a_member_without_the_others_does_not_answer", alone),
        trial("p20_a_silent_member_is_left", silent),
    ]
}

async fn members() -> Vec<Server> {
    blocking(|| Server::etcd_cluster(3).unwrap()).await
}

/// P4: one member that runs and is cut off from the others answers no read, also where there is nothing to tell but that
/// nothing is new.
async fn alone(_shared: &'static Server) {
    let servers = members().await;
    let cluster = fresh();
    let others = installed(builder(servers[1].address(), &cluster)).await;
    for at in [0, 2] {
        let log = EtcdLog::builder(&format!("etcd://{}", servers[at].address()))
            .cluster(&cluster)
            .read_timeout(Duration::from_secs(1));
        let log = installed(log).await;
        append(&others, "1").await;
        let mut reader = Reader::cold(&log).await;
        assert_eq!(reader.read().await, Ok(vec![]));
        for (other, server) in servers.iter().enumerate() {
            if other != at {
                server.pause().unwrap();
            }
        }
        // At once, while it still takes itself for one of a majority, and later, when it knows better.
        for _ in 0..3 {
            let page = reader.page().await;
            let e = page.expect_err("P4: an answer of one of three");
            assert!(
                matches!(e.kind, ErrorKind::Unavailable | ErrorKind::TimedOut),
                "{e:?}"
            );
            assert_eq!(e.retry, Retry::Temporary, "{e:?}");
        }
        for server in &servers {
            server.resume().unwrap();
        }
        let answered = async { while reader.page().await.is_err() {} };
        tokio::time::timeout(super::bed::PATIENCE, answered)
            .await
            .unwrap();
    }
}

/// P20: a member that falls silent costs a read, and the next one goes to another.
async fn silent(_shared: &'static Server) {
    let servers = members().await;
    let hosts: Vec<_> = servers.iter().map(|s| s.address().to_string()).collect();
    let log = EtcdLog::builder(&format!("etcd://{}", hosts.join(",")))
        .cluster(fresh())
        .read_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_millis(500));
    let log = installed(log).await;
    let mut reader = Reader::cold(&log).await;
    for server in &servers {
        server.pause().unwrap();
        let read = async { while reader.page().await.is_err() {} };
        tokio::time::timeout(super::bed::PATIENCE, read)
            .await
            .unwrap();
        server.resume().unwrap();
        let appended = async { while log.append(&[super::bed::key("1")]).await.is_err() {} };
        tokio::time::timeout(super::bed::PATIENCE, appended)
            .await
            .unwrap();
        reader.read().await.unwrap();
    }
}
