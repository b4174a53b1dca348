//! While a transaction that will invalidate something is open.

use super::fixture::*;
use crate::{cache::Loaded, target::InvalidationTarget, words::Scope};

/// P5: loads of a quarantined key, tag or cache are neither cached nor joined, nor is what was in flight before;
/// what is cached is served until the commit.
#[tokio::test(start_paused = true)]
async fn p5_nothing_is_kept_while_a_transaction_is_open() {
    for scope in [
        Scope::keys(["1"]),
        Scope::keys(["1", "not a number"]),
        Scope::All,
    ] {
        let cache = Fixture::new().cache();
        fill(&cache, 5, 50).await;
        let gate = Gate::new();
        let before = read(&cache, 1, &gate, 10);
        settle().await;
        cache.inner().quarantine(&scope);
        let during = [read(&cache, 1, &gate, 20), read(&cache, 1, &gate, 30)];
        settle().await;
        assert_eq!(gate.begun(), 3, "each loads for itself");
        assert!(!cache.start_fill(&Id(1)).complete(40));
        assert_eq!(cache.peek(&Id(5)), Some(50));
        cache.inner().apply(&scope).unwrap();
        cache.inner().release(&scope);
        gate.open();
        before.await.unwrap().unwrap();
        for reader in during {
            reader.await.unwrap().unwrap();
        }
        assert_eq!(cache.peek(&Id(1)), None);
        fill(&cache, 1, 60).await;
        assert_eq!(cache.peek(&Id(1)), Some(60));
    }
}

/// P5: the same by tag, which a load names only at its end.
#[tokio::test(start_paused = true)]
async fn p5_nothing_of_a_quarantined_tag_is_kept() {
    let cache = Fixture::new().cache();
    let scope = Scope::tags(["t"]);
    let tagged = |value| Loaded::new(value).tag("t");
    let before = cache.start_fill(&Id(1));
    cache.inner().quarantine(&scope);
    assert!(!before.complete(tagged(10)));
    let during = cache.start_fill(&Id(1));
    assert!(!cache.start_fill(&Id(1)).complete(tagged(20)));
    assert!(
        cache
            .start_fill(&Id(2))
            .complete(Loaded::new(20).tag("other"))
    );
    cache.inner().apply(&scope).unwrap();
    cache.inner().release(&scope);
    assert!(
        !during.complete(tagged(30)),
        "it began while the transaction was open"
    );
    assert!(cache.start_fill(&Id(1)).complete(tagged(40)));
}
