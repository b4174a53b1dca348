//! Loads past the cache are shared, but never with who comes after they began.

use std::time::Duration;

use super::fixture::*;
use crate::{Cache, LoadError};

fn down() -> (Fixture, Cache<Id, i64>) {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .max_staleness(Duration::from_secs(1))
        .build()
        .unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.log_goes_down();
    (fixture, cache)
}

/// At most two bypassing loads of one key run at once; who waits shares the next one.
#[tokio::test(start_paused = true)]
async fn bypassing_readers_share_the_next_load() {
    let (_fixture, cache) = down();
    let gate = Gate::new();
    let first: Vec<_> = (0..2).map(|n| read(&cache, 1, &gate, n)).collect();
    settle().await;
    let waiting: Vec<_> = (2..50).map(|n| read(&cache, 1, &gate, n)).collect();
    settle().await;
    assert_eq!((gate.begun(), gate.most()), (2, 2));
    gate.open();
    for (n, reader) in first.into_iter().enumerate() {
        assert_eq!(reader.await.unwrap().unwrap(), n as i64);
    }
    settle().await;
    assert_eq!(gate.begun(), 3, "all who waited share one load");
    let later = read(&cache, 1, &gate, 99);
    settle().await;
    assert_eq!(
        gate.begun(),
        4,
        "who comes after it began does not share it"
    );
    gate.open();
    for reader in waiting {
        assert!((2..50).contains(&reader.await.unwrap().unwrap()));
    }
    assert_eq!(later.await.unwrap().unwrap(), 99);
    assert_eq!(gate.most(), 2);
    assert_eq!(cache.stats().entries, 0);
}

/// A leader of a group that is cancelled leaves the load to another of the group.
#[tokio::test(start_paused = true)]
async fn a_cancelled_bypassing_leader_is_succeeded() {
    let (_fixture, cache) = down();
    let (stuck, works) = (Gate::new(), Gate::new());
    let first = [read(&cache, 1, &stuck, 0), read(&cache, 1, &stuck, 0)];
    settle().await;
    let waiting: Vec<_> = (0..10).map(|_| read(&cache, 1, &works, 20)).collect();
    settle().await;
    assert_eq!(works.begun(), 0);
    for reader in first {
        reader.abort();
    }
    settle().await;
    assert_eq!(works.begun(), 1);
    waiting[0].abort();
    settle().await;
    assert!(works.begun() >= 2, "the first of them was the leader");
    for reader in waiting.into_iter().skip(1) {
        while !reader.is_finished() {
            works.open();
            settle().await;
        }
        assert_eq!(reader.await.unwrap().unwrap(), 20);
    }
    assert_eq!(works.most(), 2);
}

/// Loaders that hang, and leaders that are never polled again, hold up who waits for a bounded time only.
#[tokio::test(start_paused = true)]
async fn hanging_bypassing_loads_strand_nobody() {
    let (_fixture, cache) = down();
    let stuck = Gate::new();
    let mut never_polled: Vec<_> = (0..2)
        .map(|_| Box::pin(cache.get_or_load(&Id(1), || stuck.pass(0))))
        .collect();
    for reader in &mut never_polled {
        assert!(futures_util::poll!(reader).is_pending());
    }
    let works = Gate::new();
    let waiting = read(&cache, 1, &works, 20);
    settle().await;
    assert_eq!(works.begun(), 0);
    tokio::time::advance(Duration::from_secs(5)).await;
    settle().await;
    assert_eq!(works.begun(), 1);
    works.open();
    assert_eq!(waiting.await.unwrap().unwrap(), 20);
}

/// Errors of a bypassing load are shared too.
#[tokio::test(start_paused = true)]
async fn a_bypassing_load_that_times_out_says_so() {
    let (_fixture, cache) = down();
    let error = read(&cache, 1, &Gate::new(), 0).await.unwrap().unwrap_err();
    assert!(matches!(error, LoadError::TimedOut));
}
