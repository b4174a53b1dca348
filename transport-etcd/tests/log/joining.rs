//! P2: business data in etcd, and its invalidation, in one step.

use etcd_client::{Client, Compare, CompareOp, TxnOp, TxnOpResponse};
use invalidation_core::{ErrorKind, InvalidationLog as _, JoinsLog as _};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_etcd::{EtcdLog, EtcdTransaction, NotCommitted};
use libtest_mimic::Trial;

use super::bed::{Reader, append, blocking, builder, client, fresh, installed, key, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("p2_a_condition_that_is_not_met_writes_neither", refused),
        trial("p2_a_ring_that_moved_is_not_the_callers_condition", moved),
        trial("p2_writers_beside_appends_write_both_or_neither", beside),
        trial("p2_what_joined_before_stays", twice),
        trial("p2_another_cluster_is_refused", elsewhere),
        trial("p2_a_log_that_was_made_anew_is_refused", made_anew),
    ]
}

async fn value(client: &mut Client, key: &str) -> Option<String> {
    let got = client.get(key, None).await.unwrap();
    got.kvs()
        .first()
        .map(|kv| kv.value_str().unwrap().to_owned())
}

async fn join(transaction: &mut EtcdTransaction, log: &EtcdLog, text: &str) {
    let positions = transaction.append_in(log, &[key(text)]).await.unwrap();
    assert_eq!(positions.len(), 1);
}

/// Where a condition of the caller is not met, what he does otherwise is done, and nothing is invalidated.
async fn refused(server: &'static Server) {
    let log = installed(builder(server.address(), &fresh())).await;
    let mut reader = Reader::cold(&log).await;
    let (mut client, row, other) = (client(server).await, fresh(), fresh());
    for is_met in [false, true] {
        let least = if is_met { -1 } else { 0 };
        let mut transaction = EtcdTransaction::new()
            .when([Compare::version(row.as_str(), CompareOp::Greater, least)])
            .and_then([
                TxnOp::put(row.as_str(), "new", None),
                TxnOp::get(row.as_str(), None),
            ])
            .or_else([TxnOp::put(other.as_str(), "otherwise", None)]);
        join(&mut transaction, &log, "1").await;
        let done = transaction.commit(&client).await;
        let row = value(&mut client, &row).await;
        if is_met {
            let committed = done.unwrap();
            let [TxnOpResponse::Put(_), TxnOpResponse::Get(got)] = &committed.responses[..] else {
                panic!("expected the answers to the caller's operations: {committed:?}");
            };
            assert_eq!(got.kvs()[0].mod_revision(), committed.revision);
            assert_eq!(row.as_deref(), Some("new"));
            assert_eq!(reader.read().await.unwrap(), ["1"]);
        } else {
            assert!(matches!(done, Err(NotCommitted::Refused(_))), "{done:?}");
            assert_eq!(row, None);
            assert_eq!(
                value(&mut client, &other).await.as_deref(),
                Some("otherwise")
            );
            assert_eq!(reader.read().await, Ok(vec![]));
        }
    }
}

/// Appends of others between the steps of a transaction are in nobody's way, and what the caller does otherwise is not done
/// for them.
async fn moved(server: &'static Server) {
    let cluster = fresh();
    let log = installed(builder(server.address(), &cluster).rings(1)).await;
    let mut reader = Reader::cold(&log).await;
    let (client, otherwise) = (client(server).await, fresh());
    let mut open = Vec::new();
    for number in 0..4 {
        let mut transaction = EtcdTransaction::new()
            .and_then([TxnOp::put(fresh(), "new", None)])
            .or_else([TxnOp::put(otherwise.as_str(), "wrong", None)]);
        join(&mut transaction, &log, &number.to_string()).await;
        open.push(transaction);
    }
    append(&log, "beside").await;
    // All of them see the one ring before one of them writes it.
    let commits = open
        .into_iter()
        .map(|transaction| transaction.commit(&client));
    for done in futures_util::future::join_all(commits).await {
        done.unwrap();
    }
    let mut read = reader.read().await.unwrap();
    read.sort_unstable();
    assert_eq!(read, ["0", "1", "2", "3", "beside"]);
    let mut client = client;
    assert_eq!(value(&mut client, &otherwise).await, None);
}

/// A counter that many raise by compare-and-set: as many entries are read as it was raised.
async fn beside(server: &'static Server) {
    let cluster = fresh();
    let builder = builder(server.address(), &cluster)
        .rings(2)
        .ring_entries(1_000);
    let log = installed(builder.clone()).await;
    let mut reader = Reader::cold(&log).await;
    let row = fresh();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (log, row) = (installed(builder.clone()).await, row.clone());
        let mut client = client(server).await;
        writers.spawn(async move {
            let mut raised = 0;
            while raised < 10 {
                let got = client.get(row.as_str(), None).await.unwrap();
                let version = got.kvs().first().map_or(0, |kv| kv.version());
                let mut transaction = EtcdTransaction::new()
                    .when([Compare::version(row.as_str(), CompareOp::Equal, version)])
                    .and_then([TxnOp::put(row.as_str(), "x", None)]);
                join(&mut transaction, &log, &(version + 1).to_string()).await;
                match transaction.commit(&client).await {
                    Ok(_) => raised += 1,
                    Err(NotCommitted::Refused(_)) => {}
                    Err(e) => panic!("{e}"),
                }
                append(&log, "beside").await;
            }
        });
    }
    writers.join_all().await;
    let read = reader.read().await.unwrap();
    let raised = read.into_iter().filter(|text| text != "beside");
    let expected: Vec<_> = (1..=40).map(|version| version.to_string()).collect();
    assert!(raised.eq(expected), "P2: each raise once, in its order");
}

/// Several joins of one transaction are one append, in their order, and each has its position.
async fn twice(server: &'static Server) {
    let log = installed(builder(server.address(), &fresh())).await;
    let mut reader = Reader::cold(&log).await;
    let mut transaction = EtcdTransaction::new();
    let first = transaction
        .append_in(&log, &[key("1"), key("2")])
        .await
        .unwrap();
    let second = transaction.append_in(&log, &[key("3")]).await.unwrap();
    assert!(first[0] != first[1] && first[1] != second[0] && first[0] != second[0]);
    assert!(!log.covers(&reader.cursor, &second[0]));
    transaction.commit(&client(server).await).await.unwrap();
    assert_eq!(reader.read().await.unwrap(), ["1", "2", "3"]);
    assert!(
        first
            .iter()
            .chain(&second)
            .all(|at| log.covers(&reader.cursor, at))
    );
}

/// A client of another cluster writes nothing, neither there nor here, also when that has a log of the same name.
async fn elsewhere(server: &'static Server) {
    let other = blocking(|| Server::start(Backend::Etcd).unwrap()).await;
    let cluster = fresh();
    let log = installed(builder(server.address(), &cluster)).await;
    let mut reader = Reader::cold(&log).await;
    let mut there = client(&other).await;
    for has_log in [false, true] {
        if has_log {
            installed(builder(other.address(), &cluster)).await;
        }
        let row = fresh();
        let put = TxnOp::put(row.as_str(), "new", None);
        let mut transaction = EtcdTransaction::new().and_then([put]);
        join(&mut transaction, &log, "1").await;
        match transaction.commit(&there).await {
            Err(NotCommitted::Failed(e)) => assert_eq!(e.kind, ErrorKind::Invalid, "{e}"),
            other => panic!("expected another cluster to be refused, and found {other:?}"),
        }
        assert_eq!(value(&mut there, &row).await, None);
        assert_eq!(reader.read().await, Ok(vec![]));
    }
}

/// A log that was made anew while the transaction was open is another one. The next transaction knows it, also where nobody
/// reads.
async fn made_anew(server: &'static Server) {
    let cluster = fresh();
    let builder = builder(server.address(), &cluster);
    let (log, other) = (installed(builder.clone()).await, installed(builder).await);
    let mut client = client(server).await;
    let row = fresh();
    let transaction = || EtcdTransaction::new().and_then([TxnOp::put(row.as_str(), "new", None)]);
    let mut open = transaction();
    join(&mut open, &log, "1").await;
    let all = etcd_client::DeleteOptions::new().with_prefix();
    client
        .delete(super::bed::prefix(&cluster), Some(all))
        .await
        .unwrap();
    other.install().await.unwrap();
    match open.commit(&client).await {
        Err(NotCommitted::Failed(e)) => assert_eq!(e.kind, ErrorKind::Invalid, "{e}"),
        other => panic!("expected the transaction to be refused, and found {other:?}"),
    }
    assert_eq!(value(&mut client, &row).await, None);
    let mut next = transaction();
    join(&mut next, &log, "2").await;
    next.commit(&client).await.unwrap();
    assert_eq!(value(&mut client, &row).await.as_deref(), Some("new"));
}
