//! What a log may rely on of the queue, shown with a log that does what it is told.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::{AppendGroup, AppendLimits, AppendQueue};
use crate::{
    CacheName, Entry, Error, ErrorKind, Invalidation, LogIdentity, Position, Retry, Scope,
};

/// A log that keeps the groups it was asked for, and appends each when it is let.
struct Told {
    groups: Mutex<Vec<Vec<String>>>,
    begun: watch::Sender<usize>,
    let_through: Semaphore,
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            groups: Mutex::default(),
            begun: watch::Sender::new(0),
            let_through: Semaphore::new(0),
        })
    }

    fn let_all(&self) {
        self.let_through.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn has_begun(&self, groups: usize) {
        let mut begun = self.begun.subscribe();
        begun.wait_for(|&begun| begun >= groups).await.unwrap();
    }

    fn groups(&self) -> Vec<String> {
        self.groups
            .lock()
            .iter()
            .map(|group| group.join(" "))
            .collect()
    }
}

impl AppendGroup for Told {
    async fn append_group(&self, entries: &[&Entry]) -> Result<Vec<Position>, Error> {
        let names: Vec<_> = entries.iter().copied().map(name).collect();
        self.groups.lock().push(names.clone());
        self.begun.send_modify(|begun| *begun += 1);
        self.let_through.acquire().await.unwrap().forget();
        let refusal = |kind| Error::new(kind, "told", "append", "as it was told");
        for name in &names {
            match name.as_str() {
                "too_large" => return Err(refusal(ErrorKind::TooLarge)),
                "no_room" => return Err(refusal(ErrorKind::ReadOnly)),
                "invalid" => return Err(refusal(ErrorKind::Invalid)),
                "unavailable" => {
                    let error = refusal(ErrorKind::Unavailable).with_retry(Retry::Permanent);
                    return Err(error.with_source("the link broke"));
                }
                "panic" => panic!("as it was told"),
                "half" => return Ok(Vec::new()),
                _ => {}
            }
        }
        Ok(names.into_iter().map(position).collect())
    }
}

fn entry(name: &str) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: CacheName::new(name).unwrap(),
        scope: Scope::All,
    })
}

fn entries<const N: usize>(names: [&str; N]) -> Vec<Entry> {
    names.map(entry).to_vec()
}

fn name(entry: &Entry) -> String {
    match &entry.invalidation {
        Invalidation::Cache { cache, .. } => cache.as_str().to_owned(),
        Invalidation::Everything => "everything".to_owned(),
    }
}

fn position(name: String) -> Position {
    Position {
        identity: LogIdentity::from_bytes("told"),
        at: Bytes::from(name),
    }
}

fn positions<const N: usize>(names: [&str; N]) -> Vec<Position> {
    names.map(|name| position(name.to_owned())).to_vec()
}

const LIMITS: AppendLimits = AppendLimits::new("told");

/// The log and its queue, whose task is busy with a first group until it is let.
async fn busy(limits: AppendLimits) -> (Arc<Told>, Arc<AppendQueue>) {
    let log = Told::new();
    let queue = Arc::new(AppendQueue::start(log.clone(), limits));
    let first = queue.clone();
    tokio::spawn(async move { first.append(&entries(["first"])).await });
    log.has_begun(1).await;
    (log, queue)
}

/// A call that was polled once, and so stands in the queue.
macro_rules! queued {
    ($call:ident = $queue:expr, $entries:expr) => {
        let of = entries($entries);
        let mut $call = Box::pin($queue.append(&of));
        assert!($call.as_mut().now_or_never().is_none(), "it must wait");
    };
}

fn kind(result: Result<Vec<Position>, Error>) -> ErrorKind {
    result.unwrap_err().kind
}

/// Who arrives meanwhile goes together, in order, and each gets its own positions.
#[tokio::test]
async fn callers_share_a_group_and_get_their_own_positions() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a1", "a2"]);
    queued!(b = queue, ["b"]);
    queued!(c = queue, ["c1", "c2", "c3"]);
    log.let_all();
    assert_eq!(c.await.unwrap(), positions(["c1", "c2", "c3"]));
    assert_eq!(a.await.unwrap(), positions(["a1", "a2"]));
    assert_eq!(b.await.unwrap(), positions(["b"]));
    assert_eq!(log.groups(), ["first", "a1 a2 b c1 c2 c3"]);
}

#[tokio::test]
async fn a_group_is_bounded() {
    let (log, queue) = busy(AppendLimits { group: 2, ..LIMITS }).await;
    queued!(a = queue, ["a1", "a2"]);
    queued!(b = queue, ["b"]);
    queued!(c = queue, ["c"]);
    log.let_all();
    assert_eq!(c.await.unwrap(), positions(["c"]));
    assert!(a.await.is_ok() && b.await.is_ok());
    assert_eq!(log.groups(), ["first", "a1 a2 b", "c"]);
}

/// Nobody fails for what another appends.
#[tokio::test]
async fn a_refused_group_is_tried_one_by_one() {
    for (refused, of_kind) in [
        ("too_large", ErrorKind::TooLarge),
        ("no_room", ErrorKind::ReadOnly),
        ("invalid", ErrorKind::Invalid),
    ] {
        let (log, queue) = busy(LIMITS).await;
        queued!(a = queue, ["a1", "a2"]);
        queued!(b = queue, ["b1", refused]);
        queued!(c = queue, ["c"]);
        log.let_all();
        assert_eq!(a.await.unwrap(), positions(["a1", "a2"]));
        assert_eq!(kind(b.await), of_kind);
        assert_eq!(c.await.unwrap(), positions(["c"]));
        let all = format!("a1 a2 b1 {refused} c");
        let own = format!("b1 {refused}");
        assert_eq!(log.groups(), ["first", &all, "a1 a2", &own, "c"]);
    }
}

/// What may have been written is never tried again: everybody is told what happened.
#[tokio::test]
async fn an_unknown_outcome_is_told_to_all() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a"]);
    queued!(b = queue, ["unavailable"]);
    log.let_all();
    for result in [a.await, b.await] {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.retry, Retry::Permanent);
        assert_eq!(error.to_string(), "told append: as it was told");
        assert_eq!(error.source.unwrap().to_string(), "the link broke");
    }
    assert_eq!(log.groups(), ["first", "a unavailable"]);
}

#[tokio::test]
async fn who_goes_before_its_group_began_leaves_nothing() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a"]);
    queued!(gone = queue, ["gone"]);
    queued!(b = queue, ["b"]);
    drop(gone);
    log.let_all();
    assert!(a.await.is_ok() && b.await.is_ok());
    assert_eq!(log.groups(), ["first", "a b"]);
}

/// The same within a group that is tried one by one.
#[tokio::test]
async fn who_goes_before_its_turn_leaves_nothing() {
    let (log, queue) = busy(LIMITS).await;
    queued!(refused = queue, ["too_large"]);
    queued!(gone = queue, ["gone"]);
    queued!(b = queue, ["b"]);
    log.let_through.add_permits(2);
    log.has_begun(3).await;
    drop(gone);
    log.let_all();
    assert!(refused.await.is_err() && b.await.is_ok());
    assert_eq!(
        log.groups(),
        ["first", "too_large gone b", "too_large", "b"]
    );
}

#[tokio::test]
async fn who_goes_later_takes_no_other_with_it() {
    let (log, queue) = busy(LIMITS).await;
    queued!(gone = queue, ["gone"]);
    queued!(a = queue, ["a"]);
    log.let_through.add_permits(1);
    log.has_begun(2).await;
    drop(gone);
    log.let_all();
    assert_eq!(a.await.unwrap(), positions(["a"]));
    assert_eq!(log.groups(), ["first", "gone a"]);
}

#[tokio::test]
async fn after_closing_only_what_was_queued_is_served() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a"]);
    queue.close();
    queue.close();
    let late = queue.append(&entries(["late"])).now_or_never();
    let late = late.expect("it waits for nothing").unwrap_err();
    assert_eq!((late.kind, late.backend), (ErrorKind::Closed, "told"));
    log.let_all();
    assert_eq!(a.await.unwrap(), positions(["a"]));
    assert_eq!(log.groups(), ["first", "a"]);
}

/// The task keeps the log no longer than it has work.
#[tokio::test]
async fn dropping_it_ends_the_task() {
    let log = Told::new();
    let weak = Arc::downgrade(&log);
    log.let_all();
    let queue = AppendQueue::start(log, LIMITS);
    queue.append(&entries(["a"])).await.unwrap();
    drop(queue);
    let ended = async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(limit, ended).await.is_ok());
}

/// Nobody waits for ever, and later callers are served.
#[tokio::test]
async fn a_panic_fails_its_group_alone() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a"]);
    queued!(b = queue, ["panic"]);
    log.let_all();
    assert_eq!(kind(a.await), ErrorKind::Other);
    assert_eq!(kind(b.await), ErrorKind::Other);
    assert_eq!(
        queue.append(&entries(["c"])).await.unwrap(),
        positions(["c"])
    );
    assert_eq!(log.groups(), ["first", "a panic", "c"]);
}

/// Nobody gets another's position.
#[tokio::test]
async fn positions_that_do_not_fit_are_an_error() {
    let (log, queue) = busy(LIMITS).await;
    queued!(a = queue, ["a"]);
    queued!(b = queue, ["half"]);
    log.let_all();
    assert_eq!(kind(a.await), ErrorKind::Other);
    assert_eq!(kind(b.await), ErrorKind::Other);
    assert!(queue.append(&entries(["c"])).await.is_ok());
}

#[tokio::test]
async fn what_is_too_large_is_not_queued() {
    let limits = AppendLimits { bytes: 4, ..LIMITS };
    let log = Told::new();
    let queue = AppendQueue::start(log.clone(), limits);
    let keys = Entry::new(Invalidation::Cache {
        cache: CacheName::new("a").unwrap(),
        scope: Scope::keys(["1", "23", "4"]),
    });
    let error = queue.append(&[keys]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("5 bytes"), "{error}");
    assert_eq!(queue.append(&[]).await.unwrap(), []);
    assert!(log.groups().is_empty());
}

/// Together they may be more than one append may be.
#[tokio::test]
async fn callers_that_are_too_large_together_go_alone() {
    let (log, queue) = busy(AppendLimits { bytes: 5, ..LIMITS }).await;
    queued!(a = queue, ["aaa"]);
    queued!(b = queue, ["bbb"]);
    log.let_all();
    assert_eq!(a.await.unwrap(), positions(["aaa"]));
    assert_eq!(b.await.unwrap(), positions(["bbb"]));
    assert_eq!(log.groups(), ["first", "aaa", "bbb"]);
}

/// The queue has a bound, and who waits for a place may go.
#[tokio::test]
async fn who_waits_for_a_place_may_go() {
    let (log, queue) = busy(AppendLimits { queue: 1, ..LIMITS }).await;
    queued!(a = queue, ["a"]);
    queued!(gone = queue, ["gone"]);
    queued!(b = queue, ["b"]);
    let mut a = pin!(a);
    assert_eq!(log.groups(), ["first"]);
    drop(gone);
    log.let_all();
    assert!(a.as_mut().await.is_ok() && b.await.is_ok());
    assert_eq!(log.groups(), ["first", "a", "b"]);
}
