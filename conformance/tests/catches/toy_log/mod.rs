//! A small log that is honest, or makes one [`Mistake`].

mod caught;
mod harness;
mod mistake;
mod reading;
mod store;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{
    Completeness, Cursor, Entry, Error, ErrorKind, Invalidation, InvalidationLog, LogCapabilities,
    LogIdentity, LogStatement, Page, Payload, Position, Purged, ReadConsistency, ReadRequest,
    Scope,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) use caught::CAUGHT;
pub(crate) use harness::ToyLogs;
pub(crate) use mistake::Mistake;
use reading::{is_readable, size_of};
use store::Store;

/// What all handles share.
struct Server {
    mistake: Option<Mistake>,
    store: Mutex<Store>,
    /// It refuses to write.
    refuses: AtomicBool,
    /// It cannot be reached.
    down: AtomicBool,
    /// It does not answer.
    silent: AtomicBool,
    closed: AtomicBool,
    installed: AtomicBool,
    /// Left behind by a call that was dropped.
    locked: AtomicBool,
    /// How many callers append.
    appending: AtomicUsize,
    /// Callers that wait for one of them to append for all.
    group: Mutex<Vec<Caller>>,
    /// How slow its link is.
    delay: Mutex<Duration>,
    /// What it is reached with, by everybody.
    password: String,
    /// The entries of statements, by their parameters.
    statements: Mutex<Vec<Vec<Entry>>>,
}

/// The most bytes of keys and tags of one append.
const MAX_BYTES: usize = 64 << 20;

/// One who appends, and is told at which positions.
type Caller = (Vec<Entry>, oneshot::Sender<Result<Vec<Position>, Error>>);

/// One node's handle.
struct ToyLog {
    server: Arc<Server>,
    user: User,
    closed: AtomicBool,
    /// Held by a read that waits, by mistake.
    waits: tokio::sync::Mutex<()>,
    /// Where it read last, kept by mistake.
    last: Mutex<Option<Cursor>>,
    /// Answers on their way, kept by mistake.
    answers: Mutex<VecDeque<Page>>,
}

/// Who a handle is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Writer,
    /// May read alone.
    Reader,
    /// Whose password is refused.
    Refused,
    /// Who was given an address where nobody listens.
    Lost,
}

impl Server {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Appends in a transaction of its own.
    fn append(&self, entries: &[Entry]) -> Vec<Position> {
        let mut store = self.store.lock();
        let transaction = store.begin();
        let positions = store.append(transaction, entries);
        store.commit(transaction);
        positions
    }

    /// Appends together with whoever appends at the same time, in one transaction.
    async fn append_with_others(&self, entries: Vec<Entry>) -> Result<Vec<Position>, Error> {
        let (reply, answer) = oneshot::channel();
        self.group.lock().push((entries, reply));
        tokio::task::yield_now().await;
        self.append_group(std::mem::take(&mut *self.group.lock()));
        answer.await.expect("whoever took the group appended it")
    }

    fn append_group(&self, mut group: Vec<Caller>) {
        group.retain(|(_, reply)| !reply.is_closed());
        if group.iter().any(|(entries, _)| is_too_large(entries)) {
            for (_, reply) in group {
                let _gone = reply.send(Err(too_large()));
            }
            return;
        }
        let mut store = self.store.lock();
        let transaction = store.begin();
        let mut positions: Vec<_> = group
            .iter()
            .map(|(entries, _)| store.append(transaction, entries))
            .collect();
        store.commit(transaction);
        if self.has(Mistake::GroupsMixPositions) {
            positions.reverse();
        }
        for ((_, reply), positions) in group.into_iter().zip(positions) {
            let _gone = reply.send(Ok(positions));
        }
    }
}

fn is_too_large(entries: &[Entry]) -> bool {
    let sizes = entries
        .iter()
        .map(|entry| size_of(&Payload::Entry(entry.clone())));
    sizes.sum::<usize>() > MAX_BYTES
}

fn too_large() -> Error {
    let what = "append fewer keys at a time";
    Error::new(ErrorKind::TooLarge, "toy", "append", what)
}

impl ToyLog {
    fn new(server: &Arc<Server>, user: User) -> Self {
        Self {
            server: Arc::clone(server),
            user,
            closed: AtomicBool::new(false),
            waits: tokio::sync::Mutex::default(),
            last: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    fn check(&self, operation: &'static str, writes: bool) -> Result<(), Error> {
        let fail = |kind, what: &'static str| Err(Error::new(kind, "toy", operation, what));
        let goes_on = self.server.has(Mistake::AppendsAfterClose)
            || self.server.has(Mistake::AcknowledgesAfterClose);
        if self.is_closed() && !(operation == "append" && goes_on) {
            return fail(ErrorKind::Closed, "it was closed: open another");
        }
        if self.server.down.load(Ordering::SeqCst) || self.user == User::Lost {
            let url = self.url(Mistake::ErrorCarriesTheSecret);
            return fail(ErrorKind::Unavailable, "it is down: wait until it is back")
                .map_err(|e| e.with_source(format!("{url} does not answer")));
        }
        if self.user == User::Refused {
            let url = self.url(Mistake::RefusalRepeatsTheSecret);
            return fail(ErrorKind::Denied, "give it another password")
                .map_err(|e| e.with_source(format!("{url} lets nobody in")));
        }
        let url = self.url(Mistake::LogsTheSecret);
        tracing::debug!(url, operation, "connected");
        if writes && self.user != User::Writer {
            let unavailable = self.server.has(Mistake::DeniedIsUnavailable);
            let kind = if unavailable {
                ErrorKind::Unavailable
            } else {
                ErrorKind::Denied
            };
            return fail(kind, "give this user the right to write");
        }
        Ok(())
    }

    /// How it is reached; with the password, by mistake.
    fn url(&self, wrongly: Mistake) -> String {
        let shown = self.server.has(wrongly);
        let password = if shown { &self.server.password } else { "…" };
        format!("toy://user:{password}@here")
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.server.closed.load(Ordering::SeqCst)
    }

    /// Waits while the server is silent.
    async fn answer(&self) {
        while self.server.silent.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let delay = *self.server.delay.lock();
        if !delay.is_zero() {
            tokio::time::sleep(2 * delay).await;
        }
    }

    /// Until there is something behind the cursor, or a moment.
    async fn waits_for_more(&self, request: &ReadRequest<'_>) {
        let end = tokio::time::Instant::now() + request.wait.unwrap_or_default();
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let nothing = is_empty(&self.server.store.lock().page(request));
            if !nothing || tokio::time::Instant::now() >= end {
                return;
            }
        }
    }

    /// Waits for another node, here with the lock held.
    async fn hold_lock(&self, operation: &'static str) -> Result<(), Error> {
        if self.server.has(Mistake::LeavesLocksBehind) {
            if self.server.locked.swap(true, Ordering::SeqCst) {
                let what = "another call holds the lock";
                return Err(Error::new(ErrorKind::Other, "toy", operation, what));
            }
            tokio::task::yield_now().await;
            self.answer().await;
            self.server.locked.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether others append at the same time, and began before.
    async fn is_one_of_many(&self) -> bool {
        let others = self.server.appending.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.server.appending.fetch_sub(1, Ordering::SeqCst);
        others > 0
    }

    /// The entries, as they come to be stored.
    fn stored(&self, entries: &[Entry]) -> Vec<Entry> {
        let mut stored = entries.to_vec();
        if self.server.has(Mistake::TrimsTexts) {
            for entry in &mut stored {
                if let Invalidation::Cache {
                    scope: Scope::Keys(keys),
                    ..
                } = &mut entry.invalidation
                {
                    *keys = keys.iter().map(|key| key.trim().into()).collect();
                }
            }
        }
        stored
    }
}

#[async_trait]
impl InvalidationLog for ToyLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new("toy");
        capabilities.transactional = !self.server.has(Mistake::ClaimsTooLittle);
        capabilities.reads = ReadConsistency::Linearizable;
        capabilities.keeps_acknowledged = true;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        self.check("install", true)?;
        if self.server.has(Mistake::InstallBeginsAnew) {
            *self.server.store.lock() = Store::new(self.server.mistake);
        }
        if self.server.has(Mistake::InstallResetsTheFloor) {
            self.server.store.lock().forget_floor();
        }
        let again = self.server.installed.swap(true, Ordering::SeqCst);
        if again && self.server.has(Mistake::InstallsOnce) {
            let what = "table log already exists";
            return Err(Error::new(ErrorKind::Other, "toy", "install", what));
        }
        Ok(())
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.check("head", false)?;
        let _turn = self.waits.lock().await;
        self.answer().await;
        Ok(self.server.store.lock().head())
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.check("append", true)?;
        let turn = self.waits.lock().await;
        drop(turn);
        self.answer().await;
        if self.server.has(Mistake::TakesAHundredAtMost) && entries.len() > 100 {
            return Err(too_large());
        }
        if is_too_large(entries) && !self.server.has(Mistake::GroupFailsTogether) {
            return Err(too_large());
        }
        let entries = self.stored(entries);
        if self.server.has(Mistake::AcknowledgesAfterClose) {
            // As one that waits in a queue; long enough for whoever closes.
            for _ in 0..1_000 {
                if !self.is_closed() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            if self.is_closed() {
                let mut forgotten = self.server.store.lock().clone();
                return Ok(forgotten.append(0, &entries));
            }
        }
        if self.server.has(Mistake::CutsLargeAppends) && entries.len() > 1_000 {
            self.server.append(&entries[..1_000]);
            let what = "too many entries";
            return Err(Error::new(ErrorKind::TooLarge, "toy", "append", what));
        }
        if self.server.has(Mistake::PositionForNothing) && entries.is_empty() {
            return Ok(vec![self.server.store.lock().position(0)]);
        }
        if self.server.has(Mistake::GroupsForgetEntries) && self.is_one_of_many().await {
            let mut forgotten = self.server.store.lock().clone();
            let transaction = forgotten.begin();
            return Ok(forgotten.append(transaction, &entries));
        }
        if self.server.has(Mistake::AppendsOneByOne) {
            let mut positions = Vec::new();
            for entry in &entries {
                positions.extend(self.server.append(std::slice::from_ref(entry)));
                tokio::task::yield_now().await;
            }
            return Ok(positions);
        }
        if self.server.refuses.load(Ordering::SeqCst) {
            if self.server.has(Mistake::SwallowsAppendErrors) {
                let mut forgotten = self.server.store.lock().clone();
                let transaction = forgotten.begin();
                return Ok(forgotten.append(transaction, &entries));
            }
            if self.server.has(Mistake::AppendsByHalves) {
                self.server.append(&entries[..entries.len() / 2]);
            }
            let what = "it is full: make room";
            return Err(Error::new(ErrorKind::ReadOnly, "toy", "append", what));
        }
        if self.server.has(Mistake::AppendsEachAlone) {
            return Ok(self.server.append(&entries));
        }
        self.server.append_with_others(entries).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        if self.server.has(Mistake::NothingNewWhileDown)
            && (self.server.down.load(Ordering::SeqCst)
                || self.server.silent.load(Ordering::SeqCst))
        {
            return Ok(Page::Entries {
                entries: Vec::new(),
                next: request.after.clone(),
                complete: Completeness::AsOf(request.started),
            });
        }
        self.check("read", false)?;
        if self.server.has(Mistake::HandsOutEarlierAnswers) {
            let page = self.server.store.lock().page(&request);
            self.answers.lock().push_back(page);
        }
        if self.server.has(Mistake::SlowMeansNothingNew) {
            let soon = Duration::from_millis(5);
            if tokio::time::timeout(soon, self.answer()).await.is_err() {
                return Ok(Page::Entries {
                    entries: Vec::new(),
                    next: request.after.clone(),
                    complete: Completeness::AsOf(request.started),
                });
            }
        }
        self.answer().await;
        let earlier = self.answers.lock().pop_front();
        if let Some(earlier) = earlier {
            return Ok(earlier);
        }
        self.hold_lock("read").await?;
        if self.user == User::Reader && self.server.has(Mistake::EmptyWithoutRights) {
            return Ok(Page::Entries {
                entries: Vec::new(),
                next: request.after.clone(),
                complete: Completeness::AsOf(request.started),
            });
        }
        if self.server.has(Mistake::RefusesUnreadableCursors) && !is_readable(request.after) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "toy",
                "read",
                "not a cursor",
            ));
        }
        let mut request = request;
        let last = self.last.lock().clone();
        let later_page = request.started != request.series_started;
        if let Some(last) = &last
            && later_page
            && self.server.has(Mistake::SeriesInTheHandle)
        {
            request.after = last;
        }
        let expires = {
            let store = self.server.store.lock();
            let checks = store.checks_before(&request);
            checks.then(|| store.expires(&request))
        };
        match expires {
            None => {}
            Some(Some(expired)) => return Ok(expired),
            Some(None) => self.waits_for_more(&request).await,
        }
        let mut page = self.server.store.lock().page(&request);
        if self.server.has(Mistake::WaitsWithTheLock)
            && let Some(wait) = request.wait
        {
            let end = tokio::time::Instant::now() + wait;
            let _turn = self.waits.lock().await;
            while is_empty(&page) && tokio::time::Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(1)).await;
                page = self.server.store.lock().page(&request);
            }
        }
        if let Page::Entries { next, .. } = &page {
            *self.last.lock() = Some(next.clone());
        }
        if is_empty(&page) && request.wait.is_some() && self.server.has(Mistake::WaitsWithAnError) {
            let what = "nothing came";
            return Err(Error::new(ErrorKind::Other, "toy", "read", what));
        }
        Ok(page)
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        self.server.store.lock().covers(cursor, position)
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.check("purge", true)?;
        let purged = self.server.store.lock().purge(retention);
        if self.server.has(Mistake::PurgesInTwoSteps) {
            tokio::task::yield_now().await;
            self.server.store.lock().move_floor();
        }
        Ok(Purged::new(purged))
    }

    fn statement(&self, entries: &[Entry]) -> Option<LogStatement> {
        let mut statements = self.server.statements.lock();
        statements.push(entries.to_vec());
        let parameter = (statements.len() - 1).to_string();
        Some(LogStatement::new(
            "APPEND ?".to_owned(),
            parameter,
            entries.len() as u64,
        ))
    }

    fn identity(&self) -> Option<LogIdentity> {
        Some(self.server.store.lock().identity())
    }

    fn joinable(&self) -> Option<&(dyn std::any::Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::SeqCst);
        if self.server.has(Mistake::ClosesAll) {
            self.server.closed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn is_empty(page: &Page) -> bool {
    matches!(page, Page::Entries { entries, .. } if entries.is_empty())
}

impl fmt::Debug for ToyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToyLog({})", self.url(Mistake::ShowsTheSecret))
    }
}
