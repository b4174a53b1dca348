//! The limit on concurrent loads, and `replica_lag`.

use std::{convert::Infallible, time::Duration};

use super::fixture::*;
use crate::cache::{Cache, LoadError};

const SECOND: Duration = Duration::from_secs(1);

fn limited(loads: usize) -> Cache<Id, i64> {
    Fixture::new()
        .builder()
        .max_concurrent_loads(loads)
        .load_queue_timeout(SECOND)
        .build()
        .unwrap()
}

/// No more loads run at once than allowed; the others wait for their place.
#[tokio::test(start_paused = true)]
async fn loads_wait_for_their_place() {
    let cache = limited(2);
    let gate = Gate::new();
    let readers: Vec<_> = (0..6).map(|key| read(&cache, key, &gate, key)).collect();
    for begun in [2, 4, 6] {
        settle().await;
        assert_eq!(gate.begun(), begun);
        gate.open();
    }
    for (key, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.await.unwrap().unwrap(), key as i64);
    }
    assert_eq!(gate.most(), 2);
}

/// Who finds no place in time is told, and so are those who wait for the same load.
#[tokio::test(start_paused = true)]
async fn who_finds_no_place_in_time_is_told() {
    let cache = limited(1);
    let gate = Gate::new();
    let running = read(&cache, 1, &gate, 10);
    settle().await;
    let waiting = [read(&cache, 2, &gate, 20), read(&cache, 2, &gate, 20)];
    for reader in waiting {
        assert!(matches!(reader.await.unwrap(), Err(LoadError::Overloaded)));
    }
    gate.open();
    assert_eq!(running.await.unwrap().unwrap(), 10);
    assert_eq!(fill(&cache, 2, 20).await, 20);
}

/// P5: a load that was invalidated while it waited for its place is kept: it began after.
#[tokio::test(start_paused = true)]
async fn p5_what_waits_for_its_place_counts_from_its_start() {
    type Drop = fn(&Cache<Id, i64>);
    let drops: [Drop; 2] = [|cache| drop_key(cache, 2), |cache| flush(cache)];
    for drop in drops {
        let cache = limited(1);
        let gate = Gate::new();
        let running = read(&cache, 1, &gate, 10);
        settle().await;
        let waiting = read(&cache, 2, &gate, 20);
        settle().await;
        drop(&cache);
        gate.open();
        running.await.unwrap().unwrap();
        settle().await;
        gate.open();
        assert_eq!(waiting.await.unwrap().unwrap(), 20);
        assert_eq!(cache.peek(&Id(2)), Some(20));
    }
}

/// A load inside a load needs no place, or it would wait for its own parent.
#[tokio::test(start_paused = true)]
async fn a_nested_load_needs_no_place() {
    let cache = limited(1);
    let outer = || async {
        let inner = || async { Ok::<_, Infallible>(20) };
        cache.get_or_load(&Id(2), inner).await
    };
    assert_eq!(cache.get_or_load(&Id(1), outer).await.unwrap(), 20);
}

/// What is loaded within `replica_lag` after an invalidation of its key, of a tag of it, of everything, or after
/// the start is returned, but neither cached nor joined.
#[tokio::test(start_paused = true)]
async fn a_lagging_replica_is_neither_cached_nor_joined() {
    let fixture = Fixture::new();
    let cache = fixture.builder().replica_lag(SECOND).build().unwrap();
    let is_kept = async |value| {
        assert_eq!(fill(&cache, 1, value).await, value);
        cache.peek(&Id(1)) == Some(value)
    };
    assert!(!is_kept(1).await, "the start counts");
    fixture.clock.advance(SECOND);
    assert!(is_kept(2).await);
    for drop in [
        (|cache| drop_key(cache, 1)) as fn(&Cache<Id, i64>),
        |cache| flush(cache),
    ] {
        drop(&cache);
        fixture.clock.advance(SECOND - Duration::from_nanos(1));
        assert!(!is_kept(3).await);
        fixture.clock.advance(Duration::from_nanos(1));
        assert!(is_kept(4).await);
    }

    drop_key(&cache, 1);
    let gate = Gate::new();
    let readers = [read(&cache, 1, &gate, 5), read(&cache, 1, &gate, 6)];
    settle().await;
    assert_eq!(gate.begun(), 2, "nobody joins");
    gate.open();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert!(!cache.start_fill(&Id(1)).complete(7));
    let tagged = |key| {
        cache
            .start_fill(&Id(key))
            .complete(crate::Loaded::new(8).tag("t"))
    };
    assert!(tagged(2));
    drop_tag(&cache, "t");
    assert!(!tagged(2));
    fixture.clock.advance(SECOND);
    assert!(tagged(2));
}
