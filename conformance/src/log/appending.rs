//! What an append promises to its caller and to readers.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use invalidation_core::{
    CacheName, Entry, ErrorKind, Invalidation, LoggedEntry, Nonce, Payload, Position, Scope,
    SharedLog,
};
use rand::RngExt;

use super::{
    LogHarness,
    entries::{assert_exactly, assert_in_order, assert_same, key, numbered, users},
    reader::{Reader, head},
    stage::{Stage, append},
};
use crate::{Unable, seed::random, wait::eventually};

/// P1: what was appended is read, unchanged, by the node itself and by another.
pub(crate) async fn append_then_read(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut own = Reader::cold(stage.log.clone()).await;
    let mut other = stage.reader().await?;
    let entries = [key("1"), key("2")];
    for entry in &entries {
        stage.append(std::slice::from_ref(entry)).await;
    }
    for reader in [&mut own, &mut other] {
        let rule = "P1: what was appended is read, in order";
        assert_in_order(rule, &entries, &reader.catch_up().await);
        assert_exactly("P1: and then no more", &[], &reader.catch_up().await);
    }
    Ok(())
}

/// Contract: the entries of one append keep their order, and are visible all at once.
pub(crate) async fn one_append_keeps_its_order(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(7);
    let mut watcher = stage.reader().await?;
    let appending = tokio::spawn(append_as_many(stage.log.clone(), 300));
    // A complete read beside it sees none of it or all.
    let seen = eventually!("the append is read", {
        let seen = watcher.catch_up().await;
        (!seen.is_empty()).then_some(seen)
    });
    let (entries, positions) = appending.await.expect("appends");
    let rule = "append is atomic: one complete read returns all its entries, in order";
    assert_in_order(rule, &entries, &seen);
    let found = reader.catch_up().await;
    let rule = "the entries of one append are read in their order, over many pages";
    assert_in_order(rule, &entries, &found);
    let read: Vec<_> = found.into_iter().map(|logged| logged.position).collect();
    let rule = "the positions that append gave are those at which its entries are read";
    assert_same(rule, positions, read);
    Ok(())
}

/// Appends so many entries at once, or as many as the log takes.
async fn append_as_many(log: SharedLog, most: usize) -> (Vec<Entry>, Vec<Position>) {
    let mut entries = numbered("a", most);
    loop {
        match log.append(&entries).await {
            Ok(positions) => return (entries, positions),
            Err(e) if e.kind == ErrorKind::TooLarge && entries.len() > 2 => {
                entries.truncate(entries.len() / 2);
            }
            Err(e) => panic!(
                "expected an append of {} entries to succeed, and it failed: {e}",
                entries.len()
            ),
        }
    }
}

/// P1: what several nodes append at the same time is read exactly once, and in order for each of them.
pub(crate) async fn concurrent_appenders(
    harness: Arc<dyn LogHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut random = random(seed);
    let mut appenders = Vec::new();
    for node in 0..3 {
        let log = stage.node().await?;
        for task in 0..2 {
            let sizes: Vec<usize> = (0..15).map(|_| random.random_range(1..4)).collect();
            let log = log.clone();
            appenders.push(tokio::spawn(async move {
                let mut appended = Vec::new();
                for (round, size) in sizes.into_iter().enumerate() {
                    let entries = numbered(&format!("{node}/{task}/{round}"), size);
                    append(&log, &entries).await;
                    appended.extend(entries);
                }
                appended
            }));
        }
    }
    let mut found = Vec::new();
    while !appenders.iter().all(|appender| appender.is_finished()) {
        found.extend(reader.catch_up().await);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    found.extend(reader.catch_up().await);
    let mut all = Vec::new();
    for appender in appenders {
        let appended = appender.await.expect("every append succeeds");
        let own = super::entries::among(&found, &appended);
        assert_in_order("an origin's entries are read in its order", &appended, &own);
        all.extend(appended);
    }
    assert_exactly("P1: each committed entry once", &all, &found);
    Ok(())
}

/// Contract: many callers of one handle at once are all kept, each at a position of its own.
pub(crate) async fn appends_under_load_are_all_kept(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let callers = (0..150).map(|caller| {
        let log = stage.log.clone();
        async move {
            let entries = numbered(&caller.to_string(), 2);
            let positions = append(&log, &entries).await;
            entries.into_iter().zip(positions).collect::<Vec<_>>()
        }
    });
    let appended: Vec<_> = join_all(callers).await.into_iter().flatten().collect();
    let at: HashMap<_, _> = appended
        .iter()
        .map(|(entry, position)| (position.clone(), entry.clone()))
        .collect();
    let rule = "P1: each entry has a position of its own";
    assert_same(rule, appended.len(), at.len());
    let found = reader.catch_up().await;
    let all: Vec<Entry> = appended.into_iter().map(|(entry, _)| entry).collect();
    assert_exactly("P1: every acknowledged append is read", &all, &found);
    for logged in &found {
        let told = at.get(&logged.position).cloned().map(Payload::Entry);
        let rule = "P1: an entry is read at the position that its append gave";
        assert_same(rule, told.as_ref(), Some(&logged.payload));
    }
    Ok(())
}

/// P1, P8: an entry that is appended once more, under the same nonce, is read once more: its caller asks for it.
pub(crate) async fn an_entry_appended_again_is_read_again(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut late = stage.reader().await?;
    let entry = key("again");
    for round in 1..=3 {
        stage.append(std::slice::from_ref(&entry)).await;
        let rule = format!("P1: the same entry, appended for time {round}, is read");
        assert_exactly(
            &rule,
            std::slice::from_ref(&entry),
            &reader.catch_up().await,
        );
    }
    // Whoever reads them all at once needs one of them.
    let found = late.catch_up().await;
    let same = |logged: &LoggedEntry| logged.payload == Payload::Entry(entry.clone());
    assert!(
        (1..=3).contains(&found.len()) && found.iter().all(same),
        "P1: expected the entry that was appended 3 times once at least, and found {} entries",
        found.len()
    );
    Ok(())
}

/// Contract: all scopes, and texts and nonces however odd, come back as they were.
pub(crate) async fn odd_entries_come_back_unchanged(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let long = "x".repeat(20_000);
    let odd = [
        "",
        " ",
        "ä:\\\"'[]{}%_$1?;--",
        "\u{1}\t\n",
        "🦀\u{feff}e\u{301}",
        "null",
        "9007199254740993",
        &long,
    ];
    let in_cache = |name: &str, scope| {
        Entry::new(Invalidation::Cache {
            cache: CacheName::new(name).expect("a good name"),
            scope,
        })
    };
    let mut entries = vec![
        in_cache("users", Scope::keys(odd)),
        in_cache("café \"x\"", Scope::tags(odd)),
        in_cache(&"n".repeat(128), Scope::All),
        in_cache("none", Scope::keys::<&str>([])),
        in_cache("none", Scope::tags::<&str>([])),
        Entry::new(Invalidation::Everything),
    ];
    for nonce in [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) + 1] {
        entries.push(Entry {
            nonce: Nonce(nonce),
            ..key(nonce.to_string())
        });
    }
    stage.append(&entries).await;
    let rule = "an entry is read as it was appended";
    assert_in_order(rule, &entries, &reader.catch_up().await);
    Ok(())
}

/// Contract: an append of nothing gives no position and changes nothing.
pub(crate) async fn an_empty_append_changes_nothing(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    stage.append(&[]).await;
    assert_exactly("nothing was appended", &[], &reader.catch_up().await);
    Ok(())
}

/// Contract: an append that is too large for the backend is refused as a whole, and says so.
pub(crate) async fn a_huge_append_is_whole_or_refused(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut entries = numbered("many", 3_000);
    entries.push(Entry::new(Invalidation::Cache {
        cache: users(),
        scope: Scope::keys((0..20).map(|_| "y".repeat(10_000))),
    }));
    let expected = match stage.log.append(&entries).await {
        Ok(_) => entries,
        Err(e) => {
            let rule = format!("an append is refused for its size alone ({e})");
            assert_same(&rule, ErrorKind::TooLarge, e.kind);
            Vec::new()
        }
    };
    let rule = "P2: an append exists as a whole or not at all";
    assert_in_order(rule, &expected, &reader.catch_up().await);
    let small = key("small");
    stage.append(std::slice::from_ref(&small)).await;
    let rule = "the next append works";
    assert_exactly(rule, &[small], &reader.catch_up().await);
    Ok(())
}

/// Contract: once known, the identity is that of positions appended and read, and the same for every node.
pub(crate) async fn identity_is_that_of_positions(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let positions = stage.append(&[key("1")]).await;
    let found = reader.catch_up().await;
    let read = &found.first().expect("one entry is read").position;
    let rule = "P10: the position that append gave is that at which the entry is read";
    assert_same(rule, &positions[0], read);
    head(&stage.log).await;
    let known = [stage.log.identity(), reader.log.identity()];
    if known.iter().all(Option::is_none) {
        return Err(Unable::because("the log does not tell its identity"));
    }
    for identity in known.into_iter().flatten() {
        let rule = "P10: identity() is that of positions appended now, on every node";
        assert_same(rule, &read.identity, &identity);
    }
    Ok(())
}
