//! Loads in flight: `P5`, `P7`.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use super::fixture::*;
use crate::cache::{LoadError, Loaded};

/// P5: a load that spans an invalidation of its key is returned, and not cached.
#[tokio::test(start_paused = true)]
async fn p5_a_load_that_spans_an_invalidation_is_not_cached() {
    let cache = Fixture::new().cache();
    let gate = Gate::new();
    let reader = read(&cache, 1, &gate, 10);
    settle().await;
    drop_key(&cache, 1);
    gate.open();
    assert_eq!(reader.await.unwrap().unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(cache.stats().uncached, 1);
}

/// P5: the same holds for a flush, and its time does not depend on the loads in flight.
#[tokio::test(start_paused = true)]
async fn p5_a_flush_with_ten_thousand_loads_in_flight_keeps_none() {
    let fixture = Fixture::new();
    let cache = fixture.builder().capacity(20_000).build().unwrap();
    let gate = Gate::new();
    let readers: Vec<_> = (0..10_000)
        .map(|key| read(&cache, key, &gate, key))
        .collect();
    while gate.begun() < 10_000 {
        tokio::task::yield_now().await;
    }
    flush(&cache);
    gate.open();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert!((0..10_000).all(|key| cache.peek(&Id(key)).is_none()));
    assert_eq!(fill(&cache, 1, 11).await, 11);
    assert_eq!(cache.peek(&Id(1)), Some(11));
}

/// P5: what one load must not keep, a second load of the key that began after the invalidation may; and the
/// first, when it ends last, does not overwrite it.
#[tokio::test(start_paused = true)]
async fn p5_a_second_loader_of_the_key_is_not_mistaken_for_the_first() {
    let cache = Fixture::new().cache();
    let (old, new) = (Gate::new(), Gate::new());
    let first = read(&cache, 1, &old, 10);
    settle().await;
    drop_key(&cache, 1);
    let second = read(&cache, 1, &new, 20);
    settle().await;
    new.open();
    assert_eq!(second.await.unwrap().unwrap(), 20);
    old.open();
    assert_eq!(first.await.unwrap().unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), Some(20));
}

/// P5: an old load that ends while its successor runs leaves the successor's claim alone.
#[tokio::test(start_paused = true)]
async fn p5_an_old_load_that_ends_first_is_not_kept_and_its_successor_is() {
    let cache = Fixture::new().cache();
    let (old, new) = (Gate::new(), Gate::new());
    let first = read(&cache, 1, &old, 10);
    settle().await;
    drop_key(&cache, 1);
    let second = read(&cache, 1, &new, 20);
    settle().await;
    old.open();
    first.await.unwrap().unwrap();
    assert_eq!(cache.peek(&Id(1)), None);
    new.open();
    second.await.unwrap().unwrap();
    assert_eq!(cache.peek(&Id(1)), Some(20));
}

/// P7: concurrent loads of one key run once.
#[tokio::test(start_paused = true)]
async fn p7_concurrent_loads_of_one_key_run_once() {
    let cache = Fixture::new().cache();
    let gate = Gate::new();
    let readers: Vec<_> = (0..50).map(|_| read(&cache, 1, &gate, 10)).collect();
    settle().await;
    gate.open();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), 10);
    }
    assert_eq!(gate.begun(), 1);
    assert_eq!((cache.stats().loads, cache.stats().joins), (1, 49));
}

/// P7: who comes after an invalidation by key, by clear or by flush never joins an older load.
#[tokio::test(start_paused = true)]
async fn p7_a_caller_after_an_invalidation_never_joins_an_older_load() {
    type Drop = fn(&crate::Cache<Id, i64>);
    let drops: [Drop; 2] = [|cache| drop_key(cache, 1), |cache| flush(cache)];
    for drop in drops {
        let cache = Fixture::new().cache();
        let (old, new) = (Gate::new(), Gate::new());
        let first = read(&cache, 1, &old, 10);
        settle().await;
        drop(&cache);
        let second = read(&cache, 1, &new, 20);
        settle().await;
        assert_eq!(new.begun(), 1, "the second caller loads for itself");
        old.open();
        new.open();
        assert_eq!(first.await.unwrap().unwrap(), 10);
        assert_eq!(second.await.unwrap().unwrap(), 20);
    }
}

/// P5, P7: a tag that is invalidated while its load runs: not cached, and who came after it loads anew.
#[tokio::test(start_paused = true)]
async fn p7_a_tag_invalidated_while_its_load_runs() {
    let cache = Fixture::new().cache();
    let gate = Gate::new();
    let tagged = |value: i64| {
        let (cache, gate) = (cache.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            cache
                .get_or_load(&Id(1), || async move {
                    let value = gate.pass(value).await?;
                    Ok::<_, Infallible>(Loaded::new(value).tag("team:7"))
                })
                .await
        })
    };
    let leader = tagged(10);
    settle().await;
    let before = tagged(11);
    settle().await;
    drop_tag(&cache, "team:7");
    let after = tagged(20);
    settle().await;
    assert_eq!(
        gate.begun(),
        1,
        "tags are known only at the end: all three share the load so far"
    );
    gate.open();
    settle().await;
    assert_eq!(leader.await.unwrap().unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), None);
    assert_eq!(
        gate.begun(),
        2,
        "who came after the invalidation loads anew"
    );
    gate.open();
    let values = (
        before.await.unwrap().unwrap(),
        after.await.unwrap().unwrap(),
    );
    assert_ne!(values.1, 10);
    assert_ne!(cache.peek(&Id(1)), Some(10));
}

/// P7: errors are shared, with their type, and not cached.
#[tokio::test(start_paused = true)]
async fn p7_an_error_is_shared_and_not_cached() {
    let cache = Fixture::new().cache();
    let gate = Gate::new();
    let failing = || {
        let (cache, gate) = (cache.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let load = || async {
                let _ = gate.pass(()).await;
                Err::<i64, _>(io::Error::other("no such table"))
            };
            cache.get_or_load(&Id(1), load).await
        })
    };
    let readers = [failing(), failing()];
    settle().await;
    gate.open();
    for reader in readers {
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the loader failed: no such table");
        assert!(error.downcast_ref::<io::Error>().is_some());
    }
    assert_eq!(gate.begun(), 1);
    assert_eq!(fill(&cache, 1, 10).await, 10);
}

/// A cancelled leader strands nobody: one of those who waited takes over, with its own closure.
#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_is_succeeded_by_one_who_waited() {
    let cache = Fixture::new().cache();
    let (first, others) = (Gate::new(), Gate::new());
    let leader = read(&cache, 1, &first, 10);
    settle().await;
    let waiting = [read(&cache, 1, &others, 20), read(&cache, 1, &others, 20)];
    settle().await;
    leader.abort();
    settle().await;
    assert_eq!(others.begun(), 1);
    others.open();
    for reader in waiting {
        assert_eq!(reader.await.unwrap().unwrap(), 20);
    }
    assert_eq!(cache.peek(&Id(1)), Some(20));
}

/// A loader that panics, before or after its first await, is caught and told to all who wait.
#[tokio::test(start_paused = true)]
async fn a_panicking_loader_is_told_to_all_who_wait() {
    let cache = Fixture::new().cache();
    let gate = Gate::new();
    let panicking = || {
        let (cache, gate) = (cache.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let load = || async {
                let _ = gate.pass(()).await;
                if cache.name().as_str() == "users" {
                    panic!("on purpose");
                }
                Ok::<i64, Infallible>(0)
            };
            cache.get_or_load(&Id(1), load).await
        })
    };
    let readers = [panicking(), panicking()];
    settle().await;
    gate.open();
    for reader in readers {
        assert!(matches!(reader.await.unwrap(), Err(LoadError::Panicked)));
    }
    fn at_once() -> std::future::Ready<Result<i64, Infallible>> {
        panic!("on purpose")
    }
    let error = cache.get_or_load(&Id(1), at_once).await.unwrap_err();
    assert!(matches!(error, LoadError::Panicked));
    assert_eq!(cache.stats().panics, 2);
    assert_eq!(fill(&cache, 1, 10).await, 10);
}

/// A hanging leader is cut off; who waited loads with its own closure, and waits no longer than twice the
/// time-out.
#[tokio::test(start_paused = true)]
async fn a_hanging_leader_is_cut_off_and_succeeded() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .load_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let (hangs, works) = (Gate::new(), Gate::new());
    let leader = read(&cache, 1, &hangs, 10);
    settle().await;
    let waiting = read(&cache, 1, &works, 20);
    settle().await;
    assert_eq!(works.begun(), 0);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(matches!(leader.await.unwrap(), Err(LoadError::TimedOut)));
    settle().await;
    assert_eq!(works.begun(), 1);
    works.open();
    assert_eq!(waiting.await.unwrap().unwrap(), 20);

    let cache = fixture.cache();
    let readers: Vec<_> = (0..10).map(|_| read(&cache, 2, &hangs, 10)).collect();
    let begun = tokio::time::Instant::now();
    for reader in readers {
        assert!(matches!(reader.await.unwrap(), Err(LoadError::TimedOut)));
    }
    assert!(begun.elapsed() < Duration::from_secs(11));
}

/// A leader that is never polled again strands nobody, and its flight, which ends after its replacement, does
/// not overwrite it.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_never_polled_again_is_replaced_and_does_not_overwrite() {
    let cache = Fixture::new().cache();
    let (stuck, works) = (Gate::new(), Gate::new());
    let mut leader = Box::pin(cache.get_or_load(&Id(1), || stuck.pass(10)));
    assert!(futures_util::poll!(&mut leader).is_pending());
    let waiting = read(&cache, 1, &works, 20);
    settle().await;
    assert_eq!(works.begun(), 0);
    // The value is ready, but nobody polls the leader.
    stuck.open();
    tokio::time::advance(Duration::from_secs(5)).await;
    settle().await;
    assert_eq!(works.begun(), 1, "who waited loads with its own closure");
    let late = read(&cache, 1, &works, 30);
    settle().await;
    assert_eq!(works.begun(), 1, "who comes now joins the replacement");
    works.open();
    assert_eq!(waiting.await.unwrap().unwrap(), 20);
    assert_eq!(late.await.unwrap().unwrap(), 20);
    // Its own timer has run out too, but its load is ready first.
    assert_eq!(leader.await.unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), Some(20));
}

/// P3: a load older than the TTL is not joined, and not kept.
#[tokio::test(start_paused = true)]
async fn p3_a_load_older_than_the_ttl_is_not_joined_nor_kept() {
    let fixture = Fixture::new();
    let cache = fixture
        .builder()
        .ttl(Duration::from_secs(2))
        .build()
        .unwrap();
    let (old, new) = (Gate::new(), Gate::new());
    let first = read(&cache, 1, &old, 10);
    settle().await;
    fixture.clock.advance(Duration::from_secs(2));
    let second = read(&cache, 1, &new, 20);
    settle().await;
    assert_eq!(new.begun(), 1);
    old.open();
    assert_eq!(first.await.unwrap().unwrap(), 10);
    assert_eq!(cache.peek(&Id(1)), None);
    new.open();
    assert_eq!(second.await.unwrap().unwrap(), 20);
    assert_eq!(cache.peek(&Id(1)), Some(20));
}

/// The future of a read whose closure captures two references is 32 bytes, and a hit never waits.
#[tokio::test(start_paused = true)]
async fn a_read_is_small_and_a_hit_never_waits() {
    let cache = Fixture::new().cache();
    fill(&cache, 1, 10).await;
    let (a, b) = (String::from("a"), String::from("b"));
    let (a, b) = (&a, &b);
    let read = cache.get_or_load(&Id(1), || async move {
        Ok::<_, Infallible>((a.len() + b.len()) as i64)
    });
    assert_eq!(size_of_val(&read), 32);
    assert_eq!(now_or_panic(read).unwrap(), 10);
}

/// A read whose closure borrows can be awaited in a task that moves between threads.
#[tokio::test]
async fn a_read_with_a_borrowing_closure_is_send() {
    let cache = Fixture::new().cache();
    let value = tokio::spawn(async move {
        let text = String::from("four");
        let borrowed = &text;
        cache
            .get_or_load(&Id(1), || async move {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(borrowed.len() as i64)
            })
            .await
    });
    assert_eq!(value.await.unwrap().unwrap(), 4);
}

/// The lookup happens at the first poll, not at the call.
#[tokio::test(start_paused = true)]
async fn the_lookup_happens_at_the_first_poll() {
    let cache = Fixture::new().cache();
    let read = cache.get_or_load(&Id(1), || async { Ok::<_, Infallible>(99) });
    fill(&cache, 1, 10).await;
    assert_eq!(read.await.unwrap(), 10);
}
