//! A cache of another library, with the fence and without.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at the place"
)]

use std::sync::Arc;

use futures_util::FutureExt;
use invalidation_core::Fence;
use moka::future::Cache;
use tokio::sync::oneshot;

/// The order of events: a load begins and reads the old row, the row is written and its key invalidated, the load
/// ends. Returns what the cache holds then.
async fn a_load_that_spans_an_invalidation(fence: Option<Fence<u64>>) -> Option<&'static str> {
    let cache: Cache<u64, &'static str> = Cache::new(100);
    let (read, was_read) = oneshot::channel();
    let (go_on, goes_on) = oneshot::channel::<()>();
    let loader = tokio::spawn({
        let (cache, fence) = (cache.clone(), fence.clone());
        async move {
            let ticket = fence.map(|fence| fence.begin(&1));
            let row = "old";
            read.send(()).unwrap();
            goes_on.await.unwrap();
            match ticket {
                None => cache.insert(1, row).await,
                // Ready at once: moka's writes wait for nothing outside of it.
                Some(ticket) => {
                    ticket.commit(|| cache.insert(1, row).now_or_never().unwrap());
                }
            }
        }
    });
    was_read.await.unwrap();
    match fence {
        None => cache.invalidate(&1).await,
        Some(fence) => fence.invalidate(&1, || cache.invalidate(&1).now_or_never().unwrap()),
    }
    go_on.send(()).unwrap();
    loader.await.unwrap();
    cache.get(&1).await
}

/// P5: with the fence, what was read before the invalidation is not in the cache after it.
#[tokio::test]
async fn p5_moka_with_the_fence_does_not_keep_the_old_row() {
    assert_eq!(
        a_load_that_spans_an_invalidation(Some(Fence::new())).await,
        None
    );
}

/// What the fence is for: without it the old row stays. Should this fail, moka has learnt it.
#[tokio::test]
async fn moka_without_the_fence_keeps_the_old_row() {
    assert_eq!(a_load_that_spans_an_invalidation(None).await, Some("old"));
}

/// What the fence is for: moka's own loader is no better off.
#[tokio::test]
async fn moka_get_with_keeps_the_old_row_too() {
    let cache: Cache<u64, &'static str> = Cache::new(100);
    let (read, was_read) = oneshot::channel();
    let (go_on, goes_on) = oneshot::channel::<()>();
    let loader = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = async {
                read.send(()).unwrap();
                goes_on.await.unwrap();
                "old"
            };
            cache.get_with(1, load).await
        }
    });
    was_read.await.unwrap();
    cache.invalidate(&1).await;
    go_on.send(()).unwrap();
    loader.await.unwrap();
    assert_eq!(cache.get(&1).await, Some("old"));
}

/// P5: an invalidation of everything, and an open transaction, keep loads out as well.
#[tokio::test]
async fn p5_invalidate_all_and_quarantine() {
    let cache = Arc::new(moka::sync::Cache::new(100));
    let fence = Fence::new();
    let ticket = fence.begin(&1);
    fence.invalidate_all(|| cache.invalidate_all());
    assert!(!ticket.commit(|| cache.insert(1, "old")));

    for everything in [false, true] {
        let before = fence.begin(&1);
        if everything {
            fence.quarantine_all();
        } else {
            fence.quarantine(&1);
        }
        let during = fence.begin(&1);
        assert!(!before.commit(|| cache.insert(1, "old")));
        if everything {
            fence.release_all();
        } else {
            fence.release(&1);
        }
        assert!(!during.commit(|| cache.insert(1, "uncommitted")));
        assert_eq!(cache.get(&1), None);
        assert!(fence.begin(&1).commit(|| cache.insert(1, "new")));
        assert_eq!(cache.get(&1), Some("new"));
        fence.invalidate(&1, || cache.invalidate(&1));
    }
}
