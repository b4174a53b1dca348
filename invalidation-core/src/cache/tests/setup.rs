//! What a builder accepts, and who wins.

use std::time::Duration;

use super::fixture::*;
use crate::{
    ErrorKind, LogCapabilities,
    cache::{CacheBuilder, CacheSettings},
};

const SECOND: Duration = Duration::from_secs(1);

fn refused(
    fixture: &Fixture,
    with: impl FnOnce(CacheBuilder<Id, i64>) -> CacheBuilder<Id, i64>,
) -> String {
    let error = with(fixture.builder()).build().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let message = error.to_string();
    assert!(message.contains("\"users\""), "{message}");
    message
}

/// P3: `max_staleness` is refused where it could not be kept, and the error names both sides.
#[test]
fn p3_max_staleness_is_refused_where_it_cannot_be_kept() {
    let mut fixture = Fixture::new();
    let message = refused(&fixture, |b| b.max_staleness(SECOND).replica_lag(SECOND));
    assert!(message.contains("replica_lag") && message.contains("max_staleness"));

    fixture.log = Some(LogCapabilities::new("replica"));
    let message = refused(&fixture, |b| b.max_staleness(SECOND));
    assert!(message.contains("replica log") && message.contains("max_staleness"));

    fixture.log = None;
    let message = refused(&fixture, |b| b.max_staleness(SECOND));
    assert!(message.contains("no log"));
    // The operator's setting is held to the same.
    fixture.settings.max_staleness = Some(SECOND);
    assert!(refused(&fixture, |b| b).contains("no log"));
}

/// Settings that cannot work are refused, each with what to do.
#[test]
fn what_cannot_work_is_refused() {
    let mut fixture = Fixture::new();
    assert!(refused(&fixture, |b| b.capacity(0)).contains("capacity"));
    assert!(refused(&fixture, |b| b.ttl(Duration::ZERO)).contains("ttl"));
    assert!(refused(&fixture, |b| b.ttl_jitter(2.0)).contains("ttl_jitter"));
    assert!(refused(&fixture, |b| b.ttl_jitter(f64::NAN)).contains("ttl_jitter"));
    assert!(refused(&fixture, |b| b.load_timeout(Duration::ZERO)).contains("load_timeout"));
    assert!(refused(&fixture, |b| b.max_concurrent_loads(0)).contains("max_concurrent_loads"));
    fixture.settings.negative_ttl = Some(SECOND);
    assert!(refused(&fixture, |b| b).contains("negative_ttl"));
}

/// What the operator set wins over the code.
#[tokio::test(start_paused = true)]
async fn the_operator_wins() {
    let mut fixture = Fixture::new();
    fixture.settings = CacheSettings {
        ttl: Some(5 * SECOND),
        capacity: Some(64),
        ..CacheSettings::default()
    };
    let cache = fixture.builder().ttl(60 * SECOND).build().unwrap();
    for key in 0..1_000 {
        fill(&cache, key, key).await;
    }
    assert!(cache.stats().entries <= 64);
    fill(&cache, 1, 10).await;
    fixture.clock.advance(5 * SECOND);
    assert_eq!(cache.peek(&Id(1)), None);
}

/// A name that the node has already is an error of `build`.
#[test]
fn a_name_that_is_taken_is_an_error() {
    let fixture = Fixture::new();
    let context = crate::cache::CacheContext {
        clock: crate::NodeClock::Coarse,
        lease: fixture.lease.clone(),
        log: None,
        settings: CacheSettings::default(),
        default_negative_ttl: None,
        register: Box::new(|name, _, _| {
            let message = format!("there is a cache {name} already");
            Err(crate::Error::new(
                ErrorKind::Invalid,
                "node",
                "cache",
                message,
            ))
        }),
    };
    let name = crate::CacheName::new("users").unwrap();
    let error = CacheBuilder::<Id, i64>::new(context, name)
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("already"));
}
