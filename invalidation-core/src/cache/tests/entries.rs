//! Entries: TTL, tags, weight, fills by hand, sweep.

use std::{convert::Infallible, time::Duration};

use super::fixture::*;
use crate::{
    cache::{Cache, Loaded},
    target::InvalidationTarget,
    words::Scope,
};

const SECOND: Duration = Duration::from_secs(1);

async fn fill_tagged(cache: &Cache<Id, i64>, key: i64, tag: &str) {
    let load = || async { Ok::<_, Infallible>(Loaded::new(key).tag(tag)) };
    cache.get_or_load(&Id(key), load).await.unwrap();
}

/// P3: the TTL counts from the start of the load, and continuous reads do not extend it.
#[tokio::test(start_paused = true)]
async fn p3_continuous_reads_do_not_extend_the_ttl() {
    let fixture = Fixture::new();
    let cache = fixture.builder().ttl(10 * SECOND).build().unwrap();
    let gate = Gate::new();
    let reader = read(&cache, 1, &gate, 10);
    settle().await;
    fixture.clock.advance(3 * SECOND);
    gate.open();
    reader.await.unwrap().unwrap();
    for _ in 0..7 {
        assert_eq!(cache.peek(&Id(1)), Some(10));
        fixture.clock.advance(SECOND);
    }
    assert_eq!(cache.peek(&Id(1)), None);
}

/// P3: jitter shortens only, whatever the loader asks for, and never passes the operator's cap.
#[tokio::test(start_paused = true)]
async fn p3_jitter_never_passes_the_cap() {
    let mut fixture = Fixture::new();
    fixture.settings.ttl_cap = Some(5 * SECOND);
    let cache = fixture.builder::<i64>().ttl_jitter(0.5).build().unwrap();
    for key in 0..500 {
        let load = || async { Ok::<_, Infallible>(Loaded::new(key).ttl(3600 * SECOND)) };
        cache.get_or_load(&Id(key), load).await.unwrap();
    }
    let served = || {
        (0..500)
            .filter(|key| cache.peek(&Id(*key)).is_some())
            .count()
    };
    fixture.clock.advance(5 * SECOND / 2);
    assert_eq!(served(), 500, "half at most is taken off");
    fixture.clock.advance(5 * SECOND / 4);
    assert!((1..500).contains(&served()), "they do not expire together");
    fixture.clock.advance(5 * SECOND / 4);
    assert_eq!(served(), 0);
}

/// Negative values have a TTL of their own, and carry tags like any other.
#[tokio::test(start_paused = true)]
async fn negative_values_have_their_own_ttl_and_tags() {
    let fixture = Fixture::new();
    let cache: Cache<Id, Option<i64>> = fixture.builder().negative_ttl(2 * SECOND).build().unwrap();
    let absent = || async { Ok::<_, Infallible>(Loaded::new(None).tag("team:7")) };
    let present = || async { Ok::<_, Infallible>(Some(10)) };
    assert_eq!(cache.get_or_load(&Id(1), absent).await.unwrap(), None);
    cache.get_or_load(&Id(2), present).await.unwrap();
    assert_eq!(cache.peek(&Id(1)), Some(None));
    drop_tag(&cache, "team:7");
    assert_eq!(cache.peek(&Id(1)), None);
    cache.get_or_load(&Id(1), absent).await.unwrap();
    fixture.clock.advance(2 * SECOND);
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(cache.peek(&Id(2)), Some(Some(10)));
}

/// An invalidation by tag drops what carries the tag, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_tag_drops_what_carries_it_and_nothing_else() {
    let cache = Fixture::new().cache();
    fill_tagged(&cache, 1, "a").await;
    fill_tagged(&cache, 2, "b").await;
    fill(&cache, 3, 3).await;
    drop_tag(&cache, "a");
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(cache.peek(&Id(2)), Some(2));
    assert_eq!(cache.peek(&Id(3)), Some(3));
    fill_tagged(&cache, 1, "a").await;
    assert_eq!(cache.peek(&Id(1)), Some(1));
}

/// P12: a key that does not parse drops the whole cache, and is counted.
#[tokio::test(start_paused = true)]
async fn p12_a_key_that_does_not_parse_widens() {
    let cache = Fixture::new().cache();
    fill(&cache, 1, 10).await;
    fill(&cache, 2, 20).await;
    cache.inner().apply(&Scope::keys(["1", "x"])).unwrap();
    assert_eq!(cache.peek(&Id(2)), None);
    assert_eq!(cache.stats().widened, 1);
}

/// P6: once an invalidation was applied, the old value is not served: by key, and for everything.
#[tokio::test(start_paused = true)]
async fn p6_an_applied_invalidation_is_seen_at_once() {
    let cache = Fixture::new().cache();
    for key in 1..=3 {
        fill(&cache, key, key).await;
    }
    drop_key(&cache, 1);
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(cache.peek(&Id(2)), Some(2));
    cache.inner().apply(&Scope::All).unwrap();
    assert_eq!(cache.peek(&Id(2)), None);
    fill(&cache, 3, 33).await;
    flush(&cache);
    assert_eq!(cache.peek(&Id(3)), None);
}

/// A sweep drops what is no longer served, and that alone; it is wanted after a clear, and once in a TTL.
#[tokio::test(start_paused = true)]
async fn a_sweep_drops_what_is_no_longer_served() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    for key in 0..100 {
        fill(&cache, key, key).await;
    }
    assert!(!cache.inner().wants_sweep());
    flush(&cache);
    fill(&cache, 1, 1).await;
    assert_eq!(cache.stats().entries, 100);
    assert!(cache.inner().wants_sweep());
    cache.inner().maintain();
    assert_eq!(cache.stats().entries, 1);
    assert_eq!(cache.peek(&Id(1)), Some(1));
    assert!(!cache.inner().wants_sweep());
    fixture.clock.advance(60 * SECOND);
    assert!(cache.inner().wants_sweep());
    cache.inner().maintain();
    assert_eq!(cache.stats().entries, 0);
}

/// A value that its loader wants uncached is returned, and not cached.
#[tokio::test(start_paused = true)]
async fn an_uncached_value_is_not_cached() {
    let cache = Fixture::new().cache();
    let load = || async { Ok::<_, Infallible>(Loaded::new(10).uncached()) };
    assert_eq!(cache.get_or_load(&Id(1), load).await.unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), None);
}

/// P5: a fill by hand is kept unless its key was invalidated since it began; it neither blocks loads nor
/// overwrites a younger one.
#[tokio::test(start_paused = true)]
async fn p5_a_fill_by_hand_is_fenced() {
    let cache = Fixture::new().cache();
    assert!(cache.start_fill(&Id(1)).complete(Loaded::new(10).tag("a")));
    assert_eq!(cache.peek(&Id(1)), Some(10));
    drop_tag(&cache, "a");
    assert_eq!(cache.peek(&Id(1)), None);

    let begun = cache.start_fill(&Id(1));
    drop_key(&cache, 1);
    assert!(!begun.complete(20));
    assert_eq!(cache.peek(&Id(1)), None);

    let begun = cache.start_fill(&Id(1));
    assert_eq!(fill(&cache, 1, 30).await, 30);
    assert!(!begun.complete(20));
    assert_eq!(cache.peek(&Id(1)), Some(30));

    drop(cache.start_fill(&Id(2)));
    assert_eq!(cache.inner().flights.in_flight(), 0);
}

/// Weight bounds the cache; a weigher that panics costs the value its place, and nothing else.
#[tokio::test(start_paused = true)]
async fn weight_bounds_the_cache() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .capacity(1_000)
        .weigher(|_, value: &i64| match *value {
            -1 => panic!("on purpose"),
            value => value as u32,
        })
        .build()
        .unwrap();
    for key in 0..200 {
        fill(&cache, key, 50).await;
    }
    let stats = cache.stats();
    assert!(stats.weight <= 1_000 && stats.entries <= 20 && stats.entries > 0);
    fill(&cache, 1_000, 0).await;
    assert_eq!(fill(&cache, 1_001, -1).await, -1);
    assert_eq!(cache.peek(&Id(1_001)), None);
}

/// What is heavier than can be held is returned and not kept, and neither is what its key had before.
#[tokio::test(start_paused = true)]
async fn what_is_too_heavy_is_returned() {
    let cache = Fixture::new()
        .builder()
        .capacity(100)
        .weigher(|_, value: &i64| *value as u32)
        .build()
        .unwrap();
    fill(&cache, 1, 10).await;
    assert!(!cache.start_fill(&Id(1)).complete(101));
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(fill(&cache, 1, 101).await, 101);
    assert_eq!((cache.peek(&Id(1)), cache.stats().weight), (None, 0));
    assert_eq!(fill(&cache, 1, 100).await, 100);
    assert_eq!(cache.peek(&Id(1)), Some(100));
}

/// Hits and misses are counted.
#[tokio::test(start_paused = true)]
async fn reads_are_counted() {
    let cache = Fixture::new().cache();
    fill(&cache, 1, 10).await;
    for _ in 0..5 {
        fill(&cache, 1, 10).await;
    }
    assert_eq!(cache.get(&Id(1)).await.unwrap(), Some(10));
    assert_eq!(cache.get(&Id(2)).await.unwrap(), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (6, 2, 1));
    assert_eq!((stats.entries, stats.weight), (1, 1));
}

/// What an entry adds to its value is small, and tags cost nothing where there are none.
#[test]
fn an_entry_adds_sixteen_bytes() {
    assert_eq!(size_of::<crate::cache::entry::Entry<u64>>(), 8 + 16);
}
