//! `max_staleness`, from eventual to strict: `P3`, `P4`, `P14`.

use std::{sync::Arc, time::Duration};

use super::fixture::*;
use crate::cache::{LoadError, OnStale};

const SECOND: Duration = Duration::from_secs(1);

/// P3: a cached value is served while the lease holds, and not a nanosecond longer without a log read.
#[tokio::test(start_paused = true)]
async fn p3_a_value_is_served_under_the_lease_only() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(2 * SECOND).build().unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(2 * SECOND - Duration::from_nanos(1));
    assert_eq!(cache.peek(&Id(1)), Some(10));
    fixture.clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.peek(&Id(1)), None);

    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&Id(1)).await }
    });
    settle().await;
    assert!(!waiting.is_finished());
    fixture.read_log();
    assert_eq!(waiting.await.unwrap().unwrap(), Some(10));
    assert_eq!(cache.stats().waits, 1);
}

/// P3: with zero, every read waits for a log read that begins after it came, and all share it; one that was
/// already begun will not do.
#[tokio::test(start_paused = true)]
async fn p3_a_strict_read_shares_the_next_log_read_never_one_already_begun() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .max_staleness(Duration::ZERO)
        .build()
        .unwrap();
    assert_eq!(fill(&cache, 1, 10).await, 10, "a miss loads at once");
    let begun_before = fixture.lease.begin_read();
    let readers: Vec<_> = (0..20).map(|_| read(&cache, 1, &Gate::new(), 99)).collect();
    settle().await;
    fixture.lease.renew(begun_before);
    settle().await;
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    assert!(fixture.lease.wants_read());
    fixture.read_log();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), 10);
    }
}

/// P3: the same check comes before joining a load in flight; a miss with no flight loads at once.
#[tokio::test(start_paused = true)]
async fn p3_a_strict_read_waits_before_it_joins_a_load() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .max_staleness(Duration::ZERO)
        .build()
        .unwrap();
    let (old, new) = (Gate::new(), Gate::new());
    let first = read(&cache, 1, &old, 10);
    settle().await;
    assert_eq!(old.begun(), 1);
    let second = read(&cache, 1, &new, 20);
    settle().await;
    assert_eq!(new.begun(), 0);
    // The log read that the second waits for finds an invalidation.
    let start = fixture.lease.begin_read();
    drop_key(&cache, 1);
    fixture.lease.renew(start);
    settle().await;
    assert_eq!(
        new.begun(),
        1,
        "the load it could have joined was invalidated"
    );
    old.open();
    new.open();
    assert_eq!(first.await.unwrap().unwrap(), 10);
    assert_eq!(second.await.unwrap().unwrap(), 20);
}

/// P3: an entry is looked up after the lease, never before: what the log read removes is not served by the read
/// that waited for it.
#[tokio::test(start_paused = true)]
async fn p3_an_entry_is_looked_up_after_the_lease_was_renewed() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(SECOND).build().unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(SECOND);
    let gate = Gate::new();
    let reader = read(&cache, 1, &gate, 20);
    let getter = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&Id(1)).await }
    });
    settle().await;
    let start = fixture.lease.begin_read();
    drop_key(&cache, 1);
    fixture.lease.renew(start);
    settle().await;
    gate.open();
    assert_eq!(reader.await.unwrap().unwrap(), 20);
    assert_ne!(getter.await.unwrap().unwrap(), Some(10));
}

/// P3: a load that outlives the lease is returned to its callers; later reads serve it under the lease only.
#[tokio::test(start_paused = true)]
async fn p3_a_load_that_outlives_the_lease_is_served_later_under_the_lease_only() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(SECOND).build().unwrap();
    let gate = Gate::new();
    let leader = read(&cache, 1, &gate, 10);
    settle().await;
    let joined = read(&cache, 1, &gate, 11);
    settle().await;
    fixture.clock.advance(3 * SECOND);
    gate.open();
    assert_eq!(leader.await.unwrap().unwrap(), 10);
    assert_eq!(joined.await.unwrap().unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), None);
    fixture.read_log();
    assert_eq!(cache.peek(&Id(1)), Some(10));
}

/// P3: a strict reader that waited may not share a load that began before it, once a tag of that load was
/// invalidated by the very log read it waited for.
#[tokio::test(start_paused = true)]
async fn p3_a_strict_read_never_shares_a_load_whose_tag_its_log_read_invalidated() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder::<i64>()
        .max_staleness(Duration::ZERO)
        .build()
        .unwrap();
    let gate = Gate::new();
    let tagged = |value: i64| {
        let (cache, gate) = (cache.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            cache
                .get_or_load(&Id(1), || async move {
                    let value = gate.pass(value).await?;
                    Ok::<_, std::convert::Infallible>(crate::Loaded::new(value).tag("t"))
                })
                .await
        })
    };
    let leader = tagged(10);
    settle().await;
    let strict = tagged(20);
    settle().await;
    let start = fixture.lease.begin_read();
    drop_tag(&cache, "t");
    fixture.lease.renew(start);
    settle().await;
    gate.open();
    assert_eq!(leader.await.unwrap().unwrap(), 10);
    settle().await;
    gate.open();
    assert_eq!(strict.await.unwrap().unwrap(), 20);
}

/// `on_stale = "bypass"`: loads, does not cache, and `get` finds nothing.
#[tokio::test(start_paused = true)]
async fn on_stale_bypass_loads_and_does_not_cache() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(SECOND).build().unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(SECOND);
    fixture.log_goes_down();
    assert_eq!(fill(&cache, 1, 20).await, 20);
    assert_eq!(fill(&cache, 1, 30).await, 30);
    assert_eq!(cache.get(&Id(1)).await.unwrap(), None);
    assert_eq!(cache.stats().bypassed, 2);
    fixture.read_log();
    assert_eq!(cache.peek(&Id(1)), Some(10), "nothing it loaded was cached");
}

/// `on_stale = "bypass"`, and the log hangs rather than fails: the reader waits for it as long as a log read may
/// take, and loads then.
#[tokio::test(start_paused = true)]
async fn on_stale_bypass_waits_for_a_silent_log_only_so_long() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(SECOND).build().unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(SECOND);
    assert_eq!(fill(&cache, 1, 20).await, 20);
    assert_eq!(cache.stats().bypassed, 1);
}

/// `on_stale = "fail"`: a cached value is refused; a miss, which can only be fresh, still loads.
#[tokio::test(start_paused = true)]
async fn on_stale_fail_fails() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .max_staleness(SECOND)
        .on_stale(OnStale::Fail)
        .build()
        .unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(SECOND);
    fixture.log_goes_down();
    let read = read(&cache, 1, &Gate::new(), 20);
    assert!(matches!(read.await.unwrap(), Err(LoadError::Stale)));
    assert!(matches!(cache.get(&Id(1)).await, Err(LoadError::Stale)));
    assert_eq!(fill(&cache, 2, 20).await, 20);
}

/// `on_stale = "serve"`: what is cached is served until its TTL, and no longer.
#[tokio::test(start_paused = true)]
async fn on_stale_serve_serves_until_the_ttl() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .max_staleness(SECOND)
        .on_stale(OnStale::Serve)
        .build()
        .unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(59 * SECOND);
    assert_eq!(cache.peek(&Id(1)), None, "the log may yet be read");
    fixture.log_goes_down();
    assert_eq!(cache.peek(&Id(1)), Some(10));
    assert_eq!(cache.get(&Id(1)).await.unwrap(), Some(10));
    assert_eq!(fill(&cache, 1, 20).await, 10);
    fixture.clock.advance(SECOND);
    assert_eq!(cache.get(&Id(1)).await.unwrap(), None);
    assert_eq!(fill(&cache, 1, 20).await, 20);
}

/// P14: before the node has started nothing is cached, by whatever way it came.
#[tokio::test(start_paused = true)]
async fn p14_nothing_is_cached_before_the_cursor_is_taken() {
    let fixture = Fixture::not_started();
    let cache = fixture.cache();
    assert_eq!(fill(&cache, 1, 10).await, 10);
    let by_hand = cache.start_fill(&Id(2));
    fixture.read_log();
    assert!(
        !by_hand.complete(20),
        "it began before the cursor was taken"
    );
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(fill(&cache, 1, 11).await, 11);
    assert_eq!(cache.peek(&Id(1)), Some(11));
}

/// A node that was shut down: its caches bypass, with and without `max_staleness`.
#[tokio::test(start_paused = true)]
async fn a_closed_node_leaves_its_caches_in_bypass() {
    let fixture = Fixture::new();
    let caches = [
        fixture.cache(),
        fixture.builder().max_staleness(SECOND).build().unwrap(),
    ];
    for cache in &caches {
        fill(cache, 1, 10).await;
    }
    fixture.lease.close();
    for cache in &caches {
        assert_eq!(cache.peek(&Id(1)), None);
        assert_eq!(fill(cache, 1, 20).await, 20);
        assert_eq!(cache.stats().bypassed, 1);
    }
}

/// P17: a clock that jumps forward by an hour makes values unservable, never servable.
#[tokio::test(start_paused = true)]
async fn p17_a_jump_of_the_clock_only_shortens() {
    let fixture = Fixture::new();
    let cache = fixture.builder().max_staleness(SECOND).build().unwrap();
    fill(&cache, 1, 10).await;
    fixture.clock.advance(3600 * SECOND);
    assert_eq!(cache.peek(&Id(1)), None);
    fixture.read_log();
    assert_eq!(cache.peek(&Id(1)), None, "its TTL is over too");
}
