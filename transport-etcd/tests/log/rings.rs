//! What rings forget, and what somebody does to them by hand.

use std::{collections::BTreeSet, sync::Arc};

use etcd_client::{DeleteOptions, GetOptions};
use invalidation_core::{GapReason, InvalidationLog as _, JoinsLog as _};
use invalidation_testbed::Server;
use invalidation_transport_etcd::EtcdTransaction;
use libtest_mimic::Trial;

use super::bed::{Reader, append, builder, client, fresh, installed, key, prefix, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("p13_a_ring_that_forgot_is_told", forgotten),
        trial("p13_a_ring_that_forgets_between_two_pages_is_told", between),
        trial("p1_many_nodes_append_at_once", contention),
        trial("p10_a_log_that_lost_nothing_keeps_its_epoch", kept),
        trial("p10_a_ring_that_was_deleted_is_made_anew", deleted),
        trial("p12_a_ring_that_is_none_is_made_anew", junk),
        trial("p12_what_is_no_newest_is_written_over", no_newest),
        trial("p11_what_is_too_large_clears_its_cache", too_large),
        trial("compaction_takes_nothing_from_the_log", compacted),
    ]
}

/// P13: who is behind what its ring forgot is told, and who has passed it reads on, however much was forgotten.
async fn forgotten(server: &'static Server) {
    let log = installed(builder(server.address(), &fresh()).rings(2).ring_entries(3)).await;
    let mut behind = Reader::cold(&log).await;
    append(&log, "first").await;
    let mut ahead = Reader::cold(&log).await;
    for number in 0..6 {
        append(&log, &number.to_string()).await;
    }
    assert_eq!(behind.read().await, Err(GapReason::Purged));
    assert_eq!(behind.read().await, Ok(vec![]));
    let all: Vec<_> = (0..6).map(|number| number.to_string()).collect();
    // Seven stood in rings for six: it had passed the one that went.
    assert_eq!(ahead.read().await, Ok(all));
    for number in 0..30 {
        let text = number.to_string();
        append(&log, &text).await;
        assert_eq!(ahead.read().await, Ok(vec![text]));
    }
}

/// P13: and so it is when it forgets what later pages would have held, also of the append that was begun.
async fn between(server: &'static Server) {
    let log = installed(builder(server.address(), &fresh()).rings(1).ring_entries(4)).await;
    for begun in [1, 2, 3] {
        let mut reader = Reader::cold(&log).await;
        reader.most = 1;
        log.append(&[key("a"), key("b")]).await.unwrap();
        append(&log, "c").await;
        for _ in 0..begun {
            let (entries, _) = reader.page().await.unwrap().unwrap();
            assert_eq!(entries.len(), 1);
        }
        log.append(&[key("d"), key("e"), key("f")]).await.unwrap();
        let after = reader.read().await;
        match begun {
            3 => assert_eq!(after.unwrap(), ["d", "e", "f"]),
            2 => assert_eq!(after.unwrap(), ["c", "d", "e", "f"]),
            _ => assert_eq!(after, Err(GapReason::Purged)),
        }
    }
}

/// P1: nodes that append to the same few rings at the same moment are in each other's way, and nothing is lost or doubled.
async fn contention(server: &'static Server) {
    const NODES: usize = 6;
    const APPENDS: usize = 25;
    let cluster = fresh();
    let builder = builder(server.address(), &cluster)
        .rings(2)
        .ring_entries(1_000);
    let log = installed(builder.clone()).await;
    let mut reader = Reader::cold(&log).await;
    let start = Arc::new(tokio::sync::Barrier::new(NODES));
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..NODES {
        let (log, start) = (builder.clone().connect().await.unwrap(), start.clone());
        nodes.spawn(async move {
            start.wait().await;
            for number in 0..APPENDS {
                append(&log, &format!("{node}/{number}")).await;
            }
        });
    }
    nodes.join_all().await;
    let read = reader.read().await.unwrap();
    let expected: BTreeSet<_> = (0..NODES * APPENDS)
        .map(|at| format!("{}/{}", at / APPENDS, at % APPENDS))
        .collect();
    assert_eq!(read.len(), expected.len());
    assert_eq!(read.iter().cloned().collect::<BTreeSet<_>>(), expected);
    for node in 0..NODES {
        let own: Vec<_> = read
            .iter()
            .filter(|text| text.starts_with(&format!("{node}/")))
            .collect();
        let in_order: Vec<_> = (0..APPENDS)
            .map(|number| format!("{node}/{number}"))
            .collect();
        assert!(
            own.into_iter().eq(&in_order),
            "P1: node {node}: in its own order"
        );
    }
}

/// P10, P20: nodes that append and read at the same moment, so that reads pass appends that are not acknowledged yet, and
/// rings that forget what was not read, are no loss.
async fn kept(server: &'static Server) {
    for capacity in [2, 1_000] {
        let cluster = fresh();
        let builder = builder(server.address(), &cluster)
            .rings(4)
            .ring_entries(capacity);
        installed(builder.clone()).await;
        let mut admin = client(server).await;
        let meta = format!("{}meta", prefix(&cluster));
        let before = admin.get(meta.as_str(), None).await.unwrap();
        let mut nodes = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let log = installed(builder.clone()).await;
            let client = client(server).await;
            nodes.spawn(async move {
                let mut reader = Reader::cold(&log).await;
                let mut gaps = Vec::new();
                let appends = async {
                    for number in 0..60 {
                        if number % 3 == 0 {
                            let mut transaction = EtcdTransaction::new();
                            transaction.append_in(&log, &[key("t")]).await.unwrap();
                            transaction.commit(&client).await.unwrap();
                        } else {
                            append(&log, "a").await;
                        }
                    }
                };
                let reads = async {
                    loop {
                        if let Err(reason) = reader.read().await {
                            gaps.push(reason);
                        }
                    }
                };
                tokio::select! {
                    () = appends => {}
                    () = reads => {}
                }
                for _ in 0..2 {
                    gaps.extend(reader.read().await.err());
                }
                gaps
            });
        }
        let gaps = nodes.join_all().await.concat();
        let is_expected = |reason: &_| *reason == GapReason::Purged && capacity == 2;
        assert!(gaps.iter().all(is_expected), "{capacity}: {gaps:?}");
        let after = admin.get(meta.as_str(), None).await.unwrap();
        assert_eq!(
            before.kvs()[0].value(),
            after.kvs()[0].value(),
            "{capacity}: the epoch is kept"
        );
    }
}

/// P10: who had not read what was deleted is told, the others read on, and appends make the ring anew.
async fn deleted(server: &'static Server) {
    let cluster = fresh();
    let log = installed(builder(server.address(), &cluster).rings(2)).await;
    let mut behind = Reader::cold(&log).await;
    append(&log, "1").await;
    append(&log, "2").await;
    let mut ahead = Reader::cold(&log).await;
    let rings = || format!("{}ring/", prefix(&cluster));
    let mut client = client(server).await;
    let newest = GetOptions::new()
        .with_prefix()
        .with_sort(
            etcd_client::SortTarget::Mod,
            etcd_client::SortOrder::Descend,
        )
        .with_limit(1);
    let newest = client.get(rings(), Some(newest)).await.unwrap();
    client.delete(newest.kvs()[0].key(), None).await.unwrap();
    assert_eq!(behind.read().await, Err(GapReason::EntriesLost));
    // Its witness is gone, so that nobody knows whether there is more.
    assert_eq!(ahead.read().await, Err(GapReason::WitnessLost));
    for number in 3..9 {
        let text = number.to_string();
        append(&log, &text).await;
        for reader in [&mut behind, &mut ahead] {
            assert_eq!(reader.read().await, Ok(vec![text.clone()]));
        }
    }
    let all = DeleteOptions::new().with_prefix();
    client.delete(rings(), Some(all)).await.unwrap();
    let mut cold = Reader::cold(&log).await;
    for number in 0..5 {
        append(&log, &number.to_string()).await;
    }
    assert_eq!(cold.read().await.unwrap(), ["0", "1", "2", "3", "4"]);
}

/// P12: what is no ring counts as one that was deleted.
async fn junk(server: &'static Server) {
    let cluster = fresh();
    let log = installed(builder(server.address(), &cluster).rings(1)).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, "1").await;
    let ring = format!("{}ring/0000", prefix(&cluster));
    client(server)
        .await
        .put(ring, "\u{7f}junk", None)
        .await
        .unwrap();
    assert_eq!(reader.read().await, Err(GapReason::WitnessLost));
    assert_eq!(reader.read().await, Ok(vec![]));
    append(&log, "2").await;
    assert_eq!(reader.read().await.unwrap(), ["2"]);
}

/// P12: what is no append in place of the newest one is told as one that is gone, and hides nothing: the log is read, and
/// the next append writes over it.
async fn no_newest(server: &'static Server) {
    let cluster = fresh();
    let builder = builder(server.address(), &cluster);
    let log = installed(builder.clone()).await;
    let mut behind = Reader::cold(&log).await;
    append(&log, "1").await;
    let mut ahead = Reader::cold(&log).await;
    let newest = format!("{}newest", prefix(&cluster));
    let mut client = client(server).await;
    for (number, junk) in [&b"\xff\xfe"[..], b"none", b"", b"00000000000000ff"]
        .iter()
        .enumerate()
    {
        client.put(newest.as_str(), *junk, None).await.unwrap();
        for reader in [&mut ahead, &mut behind] {
            assert_eq!(reader.read().await, Err(GapReason::EntriesLost));
            assert_eq!(reader.read().await, Ok(vec![]));
        }
        let late = installed(builder.clone()).await;
        let mut cold = Reader::cold(&late).await;
        let text = number.to_string();
        match number {
            0 => {
                let mut transaction = EtcdTransaction::new();
                transaction.append_in(&late, &[key(&text)]).await.unwrap();
                transaction.commit(&client).await.unwrap();
            }
            _ => append(&late, &text).await,
        }
        assert_eq!(cold.read().await, Ok(vec![text.clone()]));
        for reader in [&mut ahead, &mut behind] {
            assert_eq!(reader.read().await, Ok(vec![text.clone()]));
        }
    }
}

/// P11: an entry that no request holds is not refused and not dropped: it clears its cache.
async fn too_large(server: &'static Server) {
    let log = installed(builder(server.address(), &fresh())).await;
    let mut reader = Reader::cold(&log).await;
    let huge = key(&"x".repeat(3 << 20));
    log.append(&[key("1"), huge, key("2")]).await.unwrap();
    let read = reader.read().await.unwrap();
    assert_eq!(read, ["1", "?Some(\"users\")", "2"]);
}

/// A reader of long ago reads on, though the server has forgotten its history.
async fn compacted(_shared: &'static Server) {
    let server =
        super::bed::blocking(|| Server::start(invalidation_testbed::Backend::Etcd).unwrap());
    let server = server.await;
    let log = installed(builder(server.address(), &fresh())).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, "1").await;
    let mut client = client(&server).await;
    let revision = client.put("business", "1", None).await.unwrap();
    let revision = revision.header().unwrap().revision();
    client.compact(revision, None).await.unwrap();
    append(&log, "2").await;
    assert_eq!(reader.read().await.unwrap(), ["1", "2"]);
    assert_eq!(
        log.purge(std::time::Duration::ZERO).await.unwrap().entries,
        0
    );
}
