//! A node process, seen from the parent.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    time::timeout,
};

use crate::protocol::{Commit, Numbered, Reads, Reply, Request, Status};

/// A node that does not answer for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// One running node. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    /// 1, 2, 3; the same after a restart.
    pub(crate) number: usize,
    /// Where its transport listens.
    pub(crate) port: u16,
    pid: Pid,
    child: tokio::sync::Mutex<Child>,
    stdin: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    waiting: Waiting,
}

/// Who waits for which reply. `None` once the process said its last.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>>;

impl NodeProcess {
    /// Starts `command` as a node, and waits until it is up.
    pub(crate) async fn start(number: usize, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a node process")?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .context("a node process was gone at once")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).context("a node process has no pipes")?;
        let (tell, ready) = oneshot::channel();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::from([(0, tell)]))));
        tokio::spawn(listen(stdout, waiting.clone()));
        let mut node = Self {
            number,
            port: 0,
            pid,
            child: child.into(),
            stdin: stdin.into(),
            next: AtomicU64::new(1),
            waiting,
        };
        match timeout(PATIENCE, ready).await {
            Ok(Ok(Reply::Ready { port })) => node.port = port,
            Ok(Ok(Reply::Failed(why))) => bail!("node {number} did not start: {why}"),
            _ => bail!("node {number} did not start"),
        }
        Ok(node)
    }

    async fn ask(&self, request: Request) -> anyhow::Result<Reply> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        match &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiting) => waiting.insert(number, tell),
            None => return Err(self.died()),
        };
        let mut line = serde_json::to_string(&Numbered {
            number,
            body: &request,
        })?;
        line.push('\n');
        let sent = self.stdin.lock().await.write_all(line.as_bytes()).await;
        sent.map_err(|_| self.died())?;
        match timeout(PATIENCE, told).await {
            Ok(Ok(Reply::Failed(why))) => bail!("node {}: {request:?}: {why}", self.number),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.died()),
            Err(_) => bail!("node {} does not answer {request:?}", self.number),
        }
    }

    fn died(&self) -> anyhow::Error {
        anyhow!("node {} died unexpectedly", self.number)
    }

    fn confused<T>(&self, reply: &Reply) -> anyhow::Result<T> {
        bail!("node {} answered out of turn: {reply:?}", self.number)
    }

    pub(crate) async fn write(&self, key: i64) -> anyhow::Result<Commit> {
        match self.ask(Request::Write { key }).await? {
            Reply::Committed(commit) => Ok(commit),
            reply => self.confused(&reply),
        }
    }

    /// The node commits, and is killed before it publishes. Returns when it is gone.
    pub(crate) async fn write_and_die(&self, key: i64) -> anyhow::Result<Commit> {
        let Reply::Committed(commit) = self.ask(Request::WriteAndDie { key }).await? else {
            bail!("node {} did not commit", self.number);
        };
        let status = timeout(PATIENCE, self.child.lock().await.wait())
            .await
            .with_context(|| format!("node {} survived its own SIGKILL", self.number))??;
        if std::os::unix::process::ExitStatusExt::signal(&status) != Some(Signal::KILL.as_raw()) {
            bail!("node {} ended with {status}, not by SIGKILL", self.number);
        }
        Ok(commit)
    }

    pub(crate) async fn watch(&self, key: i64, version: i64, pause_us: u64) -> anyhow::Result<()> {
        let request = Request::Watch {
            key,
            version,
            pause_us,
        };
        match self.ask(request).await? {
            Reply::Watching => Ok(()),
            reply => self.confused(&reply),
        }
    }

    pub(crate) async fn seen(&self, key: i64, version: i64) -> anyhow::Result<Option<u64>> {
        match self.ask(Request::Seen { key, version }).await? {
            Reply::Seen(at) => Ok(at),
            reply => self.confused(&reply),
        }
    }

    /// Every read of this process so far.
    pub(crate) async fn reads(&self) -> anyhow::Result<Reads> {
        match self.ask(Request::Reads).await? {
            Reply::Reads(reads) => Ok(reads),
            reply => self.confused(&reply),
        }
    }

    /// Every read of this process, which reads no more.
    pub(crate) async fn stop_reading(&self) -> anyhow::Result<Reads> {
        match self.ask(Request::StopReading).await? {
            Reply::Reads(reads) => Ok(reads),
            reply => self.confused(&reply),
        }
    }

    pub(crate) async fn reads_after(
        &self,
        key: i64,
        version: i64,
        after: u64,
    ) -> anyhow::Result<u64> {
        let request = Request::ReadsAfter {
            key,
            version,
            after,
        };
        match self.ask(request).await? {
            Reply::Count(count) => Ok(count),
            reply => self.confused(&reply),
        }
    }

    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        match self.ask(Request::Status).await? {
            Reply::Status(status) => Ok(status),
            reply => self.confused(&reply),
        }
    }

    /// SIGSTOP: the process stands still, and knows nothing of it.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }
}

async fn listen(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(reply) = serde_json::from_str::<Numbered<Reply>>(&line) else {
            tracing::warn!(line, "a node said what is no reply");
            continue;
        };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = waiting.as_mut().and_then(|w| w.remove(&reply.number)) {
            // The caller may have given up.
            let _ = tell.send(reply.body);
        }
    }
    // Whoever still waits hears that nobody will answer.
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
}
