//! The cache on real threads.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use super::fixture::*;

/// P5, P6, P7: readers never see a version older than the last whose invalidation was applied before they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p6_no_reader_sees_what_was_invalidated_before_it_came() {
    let fixture = Fixture::new();
    let cache = fixture.builder::<i64>().capacity(1_000).build().unwrap();
    let row = Arc::new(AtomicI64::new(0));
    let applied = Arc::new(AtomicI64::new(0));
    let writer = tokio::spawn({
        let (cache, row, applied) = (cache.clone(), Arc::clone(&row), Arc::clone(&applied));
        async move {
            for version in 1..=3_000 {
                row.store(version, Ordering::SeqCst);
                match version % 3 {
                    0 => drop_key(&cache, 1),
                    1 => drop_tag(&cache, "t"),
                    _ => flush(&cache),
                }
                applied.store(version, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    });
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, row, applied) = (cache.clone(), Arc::clone(&row), Arc::clone(&applied));
            tokio::spawn(async move {
                while applied.load(Ordering::SeqCst) < 3_000 {
                    let at_least = applied.load(Ordering::SeqCst);
                    let load = || async {
                        let version = row.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(crate::Loaded::new(version).tag("t"))
                    };
                    let version = cache.get_or_load(&Id(1), load).await.unwrap();
                    assert!(version >= at_least, "{version} after {at_least}");
                    // A hit never waits: without this the readers could keep the writer from its thread.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

/// P7: a value that was loaded while a caller looked is found, not loaded again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_racing_readers_load_once() {
    let cache = Fixture::new().cache();
    for key in 0..500 {
        let loads = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (cache, loads) = (cache.clone(), Arc::clone(&loads));
                tokio::spawn(async move {
                    let load = || async {
                        loads.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Infallible>(key)
                    };
                    cache.get_or_load(&Id(key), load).await
                })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap(), key);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }
    assert_eq!(cache.inner().flights.in_flight(), 0);
}
