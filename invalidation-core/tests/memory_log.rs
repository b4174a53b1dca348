//! The log in memory: what it promises as a log, and that its faults are what they say.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use invalidation_core::{
    CacheName, Completeness, Cursor, Entry, ErrorKind, GapReason, Invalidation, InvalidationLog,
    JoinsLog, MemoryLog, Page, Payload, ReadRequest, ReadStart, Scope, Tick,
};

const STARTED: ReadStart = ReadStart::new(Tick::from_nanos(7), 1);

fn entry(key: &str) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: CacheName::new("users").unwrap(),
        scope: Scope::keys([key]),
    })
}

fn entries(count: usize) -> Vec<Entry> {
    (0..count).map(|n| entry(&n.to_string())).collect()
}

async fn page(log: &MemoryLog, after: &Cursor) -> Page {
    log.read(ReadRequest::new(after, STARTED)).await.unwrap()
}

/// The entries of a page, and where to read on; fails when the page is none or not complete.
async fn complete(log: &MemoryLog, after: &Cursor) -> (Vec<Entry>, Cursor) {
    match page(log, after).await {
        Page::Entries {
            entries,
            next,
            complete: Completeness::AsOf(STARTED),
        } => (
            entries.into_iter().map(|e| decoded(e.payload)).collect(),
            next,
        ),
        other => panic!("{other:?}"),
    }
}

fn decoded(payload: Payload) -> Entry {
    match payload {
        Payload::Entry(entry) => entry,
        Payload::Undecodable { why, .. } => panic!("{why}"),
    }
}

async fn expired(log: &MemoryLog, after: &Cursor) -> GapReason {
    match page(log, after).await {
        Page::Expired {
            next,
            as_of: STARTED,
            reason,
        } => {
            // It goes on from there.
            let known = log.head().await.unwrap();
            assert_eq!(next, known);
            complete(log, &next).await;
            reason
        }
        other => panic!("{other:?}"),
    }
}

/// P1: what is appended behind a cursor is read once, in order, by pages of any size.
#[tokio::test]
async fn reads_on_from_where_it_stopped() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    assert_eq!(complete(&log, &start).await, (vec![], start.clone()));

    let written = entries(10);
    log.append(&written[..7]).await.unwrap();
    log.append(&written[7..]).await.unwrap();
    let (read, next) = complete(&log, &start).await;
    assert_eq!(read, written);
    assert_eq!(complete(&log, &next).await.0, []);
    assert_eq!(log.head().await.unwrap(), next);

    let mut request_after = start;
    let mut read = Vec::new();
    for last in [false, false, false, true] {
        let mut request = ReadRequest::new(&request_after, STARTED);
        request.max_entries = 3;
        let Page::Entries {
            entries,
            next,
            complete,
        } = log.read(request).await.unwrap()
        else {
            panic!("expired");
        };
        read.extend(entries.into_iter().map(|e| decoded(e.payload)));
        assert_eq!(complete == Completeness::AsOf(STARTED), last);
        request_after = next;
    }
    assert_eq!(read, written);
}

/// P4: a page that stops at its byte limit says that it is partial, and holds an entry all the same.
#[tokio::test]
async fn a_page_stops_at_its_bytes() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    log.append(&entries(3)).await.unwrap();
    let mut request = ReadRequest::new(&start, STARTED);
    request.max_bytes = 0;
    let Page::Entries {
        entries, complete, ..
    } = log.read(request).await.unwrap()
    else {
        panic!("expired");
    };
    assert_eq!(entries.len(), 1);
    assert_eq!(complete, Completeness::Partial);
}

/// P2: a transaction's entries are there exactly if it committed.
#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    let (kept, gone) = (entries(2), entries(2));

    let mut tx = log.begin();
    tx.append_in(&log, &kept).await.unwrap();
    let mut rolled_back = log.begin();
    rolled_back.append_in(&log, &gone).await.unwrap();
    let mut dropped = log.begin();
    dropped.append_in(&log, &gone).await.unwrap();
    assert_eq!(complete(&log, &start).await.0, []);

    rolled_back.rollback();
    drop(dropped);
    tx.commit().await.unwrap();
    assert_eq!(complete(&log, &start).await.0, kept);
}

/// P1: a transaction that began first and commits last is read all the same.
#[tokio::test]
async fn commits_out_of_order_are_all_read() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    let (first, second) = (entry("first"), entry("second"));
    let mut early = log.begin();
    let positions = early
        .append_in(&log, std::slice::from_ref(&first))
        .await
        .unwrap();
    let mut late = log.begin();
    late.append_in(&log, std::slice::from_ref(&second))
        .await
        .unwrap();

    late.commit().await.unwrap();
    let (read, next) = complete(&log, &start).await;
    assert_eq!(read, [second]);
    assert!(!log.covers(&next, &positions[0]));
    early.commit().await.unwrap();
    let (read, next) = complete(&log, &next).await;
    assert_eq!(read, [first]);
    assert!(log.covers(&next, &positions[0]));
}

/// P2: a transaction on another log is refused.
#[tokio::test]
async fn a_foreign_transaction_is_refused() {
    let (log, other) = (MemoryLog::new(), MemoryLog::new());
    let error = other
        .begin()
        .append_in(&log, &entries(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    // Another handle on the same log is the same log.
    log.connect()
        .begin()
        .append_in(&log, &entries(1))
        .await
        .unwrap();
}

/// P2: a write in memory that joined a transaction happens with its commit, or never.
#[tokio::test]
async fn a_joined_write_happens_with_the_commit() {
    let log = MemoryLog::new();
    let value = Arc::new(AtomicU32::new(0));
    let write = |to: u32| {
        let value = Arc::clone(&value);
        let mut tx = log.begin();
        tx.and_write(move || value.store(to, Ordering::SeqCst));
        tx
    };
    write(1).rollback();
    assert_eq!(value.load(Ordering::SeqCst), 0);
    write(2).commit().await.unwrap();
    assert_eq!(value.load(Ordering::SeqCst), 2);
}

/// P13: a reader whose unread entries were purged is told; one that had read them reads on.
#[tokio::test(start_paused = true)]
async fn purge_is_visible() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    log.append(&entries(1_500)).await.unwrap();
    let old = log.head().await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let newer = entries(1);
    log.append(&newer).await.unwrap();

    let purged = log.purge(Duration::from_secs(5)).await.unwrap();
    assert_eq!(purged.entries, 1_500);
    assert_eq!(expired(&log, &start).await, GapReason::Purged);
    assert_eq!(complete(&log, &old).await.0, newer);

    // Never the newest.
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 0);
    assert_eq!(log.len(), 1);
}

/// P13: so is one whose entries had to make room.
#[tokio::test]
async fn the_capacity_purges_visibly() {
    let log = MemoryLog::with_capacity(3);
    let start = log.head().await.unwrap();
    log.append(&entries(3)).await.unwrap();
    assert_eq!(complete(&log, &start).await.0.len(), 3);
    let mut tx = log.begin();
    tx.append_in(&log, &entries(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(expired(&log, &start).await, GapReason::Purged);
}

/// P10: a log that was recreated, restored from an older state, or whose tail was written anew is not taken
/// for the one the cursor was made on; neither is a cursor of anything else.
#[tokio::test]
async fn a_changed_past_expires_cursors() {
    let log = MemoryLog::new();
    log.append(&entries(2)).await.unwrap();
    let kept = log.head().await.unwrap();
    let older = log.faults().snapshot();
    log.append(&entries(2)).await.unwrap();
    let lost = log.head().await.unwrap();

    log.faults().restore(&older);
    assert_eq!(expired(&log, &lost).await, GapReason::WitnessLost);
    assert_eq!(complete(&log, &kept).await.0, []);
    // Ids go on as if nothing had happened.
    log.append(&entries(5)).await.unwrap();
    assert_eq!(expired(&log, &lost).await, GapReason::WitnessLost);
    assert_eq!(complete(&log, &kept).await.0.len(), 5);

    log.faults().recreate();
    assert_eq!(expired(&log, &kept).await, GapReason::IdentityChanged);
    let garbage = Cursor::from_bytes(&b"garbage"[..]);
    assert_eq!(expired(&log, &garbage).await, GapReason::CursorUnreadable);
}

/// P10: the witness counts also where a cursor stands right at the purge floor.
#[tokio::test]
async fn the_witness_is_checked_at_the_floor() {
    let log = MemoryLog::with_capacity(1);
    let empty = log.faults().snapshot();
    log.append(&entries(1)).await.unwrap();
    let lost = log.head().await.unwrap();
    log.faults().restore(&empty);
    log.append(&entries(2)).await.unwrap();
    assert_eq!(expired(&log, &lost).await, GapReason::WitnessLost);
}

/// A position that `append` gave is covered once it was read, and not before.
#[tokio::test]
async fn covers_what_was_read() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    let positions = log.append(&entries(2)).await.unwrap();
    let head = log.head().await.unwrap();
    assert!(positions.iter().all(|p| !log.covers(&start, p)));
    assert!(positions.iter().all(|p| log.covers(&head, p)));
    let other = MemoryLog::new();
    assert!(positions.iter().all(|p| !other.covers(&head, p)));
    log.faults().recreate();
    assert!(positions.iter().all(|p| !log.covers(&head, p)));
}

/// A long poll is woken by a commit, and ends empty and complete after its wait.
#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_an_entry() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    let poll = |after: Cursor| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut request = ReadRequest::new(&after, STARTED);
            request.wait = Some(Duration::from_secs(3_600));
            log.read(request).await.unwrap()
        })
    };
    let waiting = poll(start.clone());
    log.faults().reads().begun_at_least(1).await;
    let written = entries(1);
    log.append(&written).await.unwrap();
    let page = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    let Page::Entries { entries, next, .. } = page.unwrap().unwrap() else {
        panic!("expired");
    };
    assert_eq!(entries.len(), 1);

    let before = tokio::time::Instant::now();
    let page = poll(next.clone()).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(3_600));
    let at_end = Page::Entries {
        entries: vec![],
        next,
        complete: Completeness::AsOf(STARTED),
    };
    assert_eq!(page, at_end);
}

/// P4: completeness that is held back is never claimed, and pages are as small as asked.
#[tokio::test]
async fn pages_can_be_capped_and_held_incomplete() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    log.append(&entries(3)).await.unwrap();
    log.faults().cap_pages(Some(2));
    log.faults().hold_back_completeness(true);
    let Page::Entries { entries, next, .. } = page(&log, &start).await else {
        panic!("expired");
    };
    assert_eq!(entries.len(), 2);
    let Page::Entries {
        entries, complete, ..
    } = page(&log, &next).await
    else {
        panic!("expired");
    };
    assert_eq!((entries.len(), complete), (1, Completeness::Partial));
}

/// P12: an undecodable record is read as such, with as much as is known of it.
#[tokio::test]
async fn an_undecodable_record_is_told() {
    let log = MemoryLog::new();
    let start = log.head().await.unwrap();
    let users = CacheName::new("users").unwrap();
    log.faults().inject_undecodable(Some(users.clone()));
    log.faults().inject_undecodable(None);
    let Page::Entries { entries, next, .. } = page(&log, &start).await else {
        panic!("expired");
    };
    let caches: Vec<_> = entries
        .into_iter()
        .map(|entry| match entry.payload {
            Payload::Undecodable { cache, .. } => cache,
            Payload::Entry(entry) => panic!("{entry:?}"),
        })
        .collect();
    assert_eq!(caches, [Some(users), None]);
    complete(&log, &next).await;
}

/// A handle that was closed refuses, and leaves the others alone; a long poll of it ends.
#[tokio::test]
async fn each_handle_closes_for_itself() {
    let log = MemoryLog::new();
    let other = log.clone();
    let start = log.head().await.unwrap();
    let mut request = ReadRequest::new(&start, STARTED);
    request.wait = Some(Duration::from_secs(60));
    let (polled, ()) = tokio::join!(log.read(request), async {
        log.faults().reads().begun_at_least(1).await;
        log.close().await.unwrap();
        log.close().await.unwrap();
    });
    assert_eq!(polled.unwrap_err().kind, ErrorKind::Closed);
    assert_eq!(log.head().await.unwrap_err().kind, ErrorKind::Closed);
    assert_eq!(log.append(&[]).await.unwrap_err().kind, ErrorKind::Closed);
    other.append(&entries(1)).await.unwrap();
}

/// An entry of a transaction is read at the position that `append_in` gave, also when the log was restored
/// while the transaction was open.
#[tokio::test]
async fn positions_of_transactions_hold() {
    let log = MemoryLog::new();
    let empty = log.faults().snapshot();
    let start = log.head().await.unwrap();
    let mut early = log.begin();
    let of_early = early.append_in(&log, &entries(1)).await.unwrap();
    log.faults().restore(&empty);
    let mut late = log.begin();
    let of_late = late.append_in(&log, &entries(1)).await.unwrap();
    late.commit().await.unwrap();
    let head = log.head().await.unwrap();
    assert!(log.covers(&head, &of_late[0]));
    assert!(!log.covers(&head, &of_early[0]));
    early.commit().await.unwrap();

    let Page::Entries { entries, .. } = page(&log, &start).await else {
        panic!("expired");
    };
    let read: Vec<_> = entries.into_iter().map(|entry| entry.position).collect();
    assert_eq!(read, [of_late, of_early].concat());
}
