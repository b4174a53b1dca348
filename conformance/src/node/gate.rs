//! A log that the suite can break for one node alone, whatever its backend can do.

use std::{any::Any, fmt, time::Duration};

use async_trait::async_trait;
use invalidation_core::{
    Completeness, Cursor, Entry, Error, ErrorKind, InvalidationLog, LogCapabilities, LogIdentity,
    LogStatement, Page, Position, Purged, ReadRequest, SharedLog,
};
use tokio::sync::watch;

use super::pace::Pace;

/// One node's handle of the log.
pub(crate) struct GatedLog {
    inner: SharedLog,
    state: watch::Sender<State>,
    pace: Pace,
}

/// What its reads do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They pass.
    Open,
    /// They fail.
    Fails,
    /// They wait before they look.
    Hangs,
    /// They never end, whatever comes later: what they were asked with is lost.
    Loses,
    /// They look, and their answer waits.
    AnswersHang,
    /// So many pages of one entry pass, and later reads wait before they look.
    Pages(u64),
    /// They pass, and none says that it was complete.
    Partial,
}

#[derive(Debug, Clone, Copy)]
struct State {
    gate: Gate,
    refuses: bool,
    begun: u64,
    lost: u64,
    looked: u64,
    /// How many had begun when the newest looked.
    looked_at: u64,
    ended: u64,
    answered: u64,
}

impl GatedLog {
    pub(crate) fn new(inner: SharedLog) -> Self {
        let state = State {
            gate: Gate::Open,
            refuses: false,
            begun: 0,
            lost: 0,
            looked: 0,
            looked_at: 0,
            ended: 0,
            answered: 0,
        };
        Self {
            inner,
            state: watch::Sender::new(state),
            pace: Pace::new(),
        }
    }

    /// When it is read, and what that has proved.
    pub(crate) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// From here on it refuses what is appended.
    pub(crate) fn refuse_appends(&self) {
        self.state.send_modify(|state| state.refuses = true);
    }

    /// Takes effect at once, on reads under way as well.
    pub(crate) fn set(&self, gate: Gate) {
        self.state.send_modify(|state| state.gate = gate);
    }

    /// Waits until a read begins after this *call*, whenever the future is polled.
    pub(crate) fn next_begun(&self) -> impl Future<Output = ()> {
        let begun = self.state.borrow().begun;
        self.until(move |state| state.begun > begun)
    }

    /// Waits until a read is lost after this *call*, whenever the future is polled.
    pub(crate) fn next_lost(&self) -> impl Future<Output = ()> {
        let lost = self.state.borrow().lost;
        self.until(move |state| state.lost > lost)
    }

    /// Waits until a read has looked after this *call*, whenever the future is polled.
    pub(crate) fn next_looked(&self) -> impl Future<Output = ()> {
        let looked = self.state.borrow().looked;
        self.until(move |state| state.looked > looked)
    }

    /// Waits until a read has looked after this *call*, and the node has asked for more since: it has applied what that
    /// read found, if it waited for it.
    pub(crate) fn next_applied(&self) -> impl Future<Output = ()> {
        let looked = self.state.borrow().looked;
        self.until(move |state| state.looked > looked && state.begun > state.looked_at)
    }

    /// Waits until a read ends after this *call*, with an answer or an error, whenever the future is polled.
    pub(crate) fn next_end(&self) -> impl Future<Output = ()> {
        let ended = self.state.borrow().ended;
        self.until(move |state| state.ended > ended)
    }

    /// Waits until a read that began after this call was answered: with no error, and in time.
    pub(crate) async fn next_whole(&self) {
        self.next_begun().await;
        let answered = self.state.borrow().answered;
        self.until(move |state| state.answered > answered).await;
    }

    async fn until(&self, condition: impl FnMut(&State) -> bool) {
        let mut changes = self.state.subscribe();
        let waiting = changes.wait_for(condition);
        crate::wait::within("a read of the log", crate::wait::PATIENCE, waiting)
            .await
            .expect("its sender lives");
    }

    /// Waits for its turn; `true` when it may read one entry alone.
    async fn enter(&self) -> Result<bool, Error> {
        let mut changes = self.state.subscribe();
        loop {
            let may = changes.wait_for(|state| !matches!(state.gate, Gate::Hangs | Gate::Pages(0)));
            let gate = may.await.expect("its sender lives").gate;
            match gate {
                Gate::Fails => return Err(self.unreadable()),
                Gate::Loses => {
                    self.state.send_modify(|state| state.lost += 1);
                    std::future::pending().await
                }
                Gate::Pages(_) => {
                    let mut taken = false;
                    self.state.send_modify(|state| {
                        if let Gate::Pages(left @ 1..) = state.gate {
                            state.gate = Gate::Pages(left - 1);
                            taken = true;
                        }
                    });
                    if taken {
                        return Ok(true);
                    }
                }
                _ => return Ok(false),
            }
        }
    }

    async fn leave(&self, mut page: Page) -> Result<Page, Error> {
        self.state.send_modify(|state| {
            state.looked += 1;
            state.looked_at = state.begun;
        });
        let mut changes = self.state.subscribe();
        let may = changes.wait_for(|state| state.gate != Gate::AnswersHang);
        let gate = may.await.expect("its sender lives").gate;
        if gate == Gate::Fails {
            return Err(self.unreadable());
        }
        if let (Gate::Partial, Page::Entries { complete, .. }) = (gate, &mut page) {
            *complete = Completeness::Partial;
        }
        Ok(page)
    }

    fn unreadable(&self) -> Error {
        let name = self.inner.capabilities().name;
        Error::new(ErrorKind::Unavailable, name, "read", "as the suite asked")
    }
}

#[async_trait]
impl InvalidationLog for GatedLog {
    fn capabilities(&self) -> LogCapabilities {
        self.inner.capabilities()
    }

    async fn install(&self) -> Result<(), Error> {
        self.inner.install().await
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.inner.head().await
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if self.state.borrow().refuses {
            let name = self.inner.capabilities().name;
            let full = ErrorKind::Unavailable;
            return Err(Error::new(full, name, "append", "as the suite asked"));
        }
        self.inner.append(entries).await
    }

    async fn read(&self, mut request: ReadRequest<'_>) -> Result<Page, Error> {
        let mut reading = self.pace.begin(&request);
        self.state.send_modify(|state| state.begun += 1);
        let read = async {
            if self.enter().await? {
                request.max_entries = 1;
            }
            let page = self.inner.read(request).await?;
            self.leave(page).await
        };
        let result = read.await;
        reading.ends(result.as_ref().ok());
        drop(reading);
        self.state.send_modify(|state| {
            state.ended += 1;
            state.answered += u64::from(result.is_ok());
        });
        result
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        self.inner.covers(cursor, position)
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.inner.purge(retention).await
    }

    fn statement(&self, entries: &[Entry]) -> Option<LogStatement> {
        self.inner.statement(entries)
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.inner.identity()
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    /// The harness's handle stays open: a node that starts again uses it.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl fmt::Debug for GatedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatedLog").field(&self.inner).finish()
    }
}
