//! One server, and what can be done to it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::Account;
use crate::backend::Backend;
use crate::error::Error;
use crate::folder::Folder;
use crate::ping::{self, Ready};
use crate::port::Port;
use crate::processes::{self, Process};
use crate::recipe::{Place, Recipe, Role};

/// How long a server may take to answer after a start; a loaded machine needs more than a quiet one.
const START: Duration = Duration::from_secs(60);
/// How long a graceful stop may take.
const STOP: Duration = Duration::from_secs(30);
/// How long the kernel may take to deliver a signal to all processes.
const SIGNAL: Duration = Duration::from_secs(10);
/// For how long a server that ends while it starts *again* is started once more: PostgreSQL refuses for up to a
/// second after SIGKILL ("pre-existing shared memory block").
const PATIENCE: Duration = Duration::from_secs(5);

const LOG: &str = "log";

/// A running server of the test's own. Dropping it kills it and removes its folder.
///
/// Every operation works on all of its processes, may be called from any thread, and waits for one that runs.
#[derive(Debug)]
pub struct Server {
    backend: Backend,
    address: SocketAddr,
    recipe: Recipe,
    /// The process that was started, until it was waited for. Locked for a whole operation.
    main: Mutex<Option<Child>>,
    folder: Folder,
    /// The server behind a pooler that was started with it. Dropped after it.
    behind: Option<Box<Server>>,
    ports: [Port; 2],
}

impl Server {
    /// Starts a fresh one and waits until it answers, for at most a minute after its preparation. A pgbouncer
    /// brings a PostgreSQL of its own: see [`behind`](Self::behind).
    ///
    /// # Errors
    /// [`Error::Absent`] when it is not installed; else what kept it from answering, with the end of its log.
    pub fn start(backend: Backend) -> Result<Self, Error> {
        if backend != Backend::Pgbouncer {
            return Self::prepare(backend, Role::Single);
        }
        backend.program("pgbouncer")?; // before the time that a PostgreSQL takes
        let postgres = Self::start(Backend::Postgres)?;
        let mut pgbouncer = Self::pgbouncer(postgres.address)?;
        pgbouncer.behind = Some(Box::new(postgres));
        Ok(pgbouncer)
    }

    /// Starts a fresh one with further arguments at the end of its command line. They may not change where it listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(backend: Backend, arguments: &[&str]) -> Result<Self, Error> {
        let mut server = Self::assemble(backend, Role::Single)?;
        server.add_arguments(arguments.iter().map(OsString::from));
        server.begin()?;
        Ok(server)
    }

    /// Starts a pgbouncer in transaction mode in front of the PostgreSQL at the address.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn pgbouncer(postgres: SocketAddr) -> Result<Self, Error> {
        Self::prepare(Backend::Pgbouncer, Role::Of(postgres))
    }

    /// Starts a streaming standby of the PostgreSQL at the address, and waits until it streams. Promote it with
    /// `select pg_promote()`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn standby(primary: SocketAddr) -> Result<Self, Error> {
        Self::prepare(Backend::Postgres, Role::Of(primary))
    }

    /// Starts a replica of the Redis at the address, and waits until it is linked. Promote it with
    /// `REPLICAOF NO ONE`; a restart makes it a replica again.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn replica(primary: SocketAddr) -> Result<Self, Error> {
        Self::prepare(Backend::Redis, Role::Of(primary))
    }

    fn prepare(backend: Backend, role: Role) -> Result<Self, Error> {
        Self::prepare_with(backend, |place| place.prepare(backend, role))
    }

    /// The same by a recipe of another's.
    pub(crate) fn prepare_with(
        backend: Backend,
        recipe: impl FnOnce(&Place<'_>) -> Result<Recipe, Error>,
    ) -> Result<Self, Error> {
        let server = Self::assemble_with(backend, recipe)?;
        server.begin()?;
        Ok(server)
    }

    /// All that it takes to start one.
    pub(crate) fn assemble(backend: Backend, role: Role) -> Result<Self, Error> {
        Self::assemble_with(backend, |place| place.prepare(backend, role))
    }

    fn assemble_with(
        backend: Backend,
        recipe: impl FnOnce(&Place<'_>) -> Result<Recipe, Error>,
    ) -> Result<Self, Error> {
        let account = Account::for_server(backend)?;
        let ports = [Self::port()?, Self::port()?];
        let folder = Folder::fresh(backend, account)?;
        let place = Place {
            folder: &folder,
            account,
            address: ports[0].address(),
            peer: ports[1].address(),
        };
        let recipe = recipe(&place)?;
        Ok(Self {
            backend,
            address: ports[0].address(),
            recipe,
            main: Mutex::new(None),
            folder,
            behind: None,
            ports,
        })
    }

    /// Puts more at the end of its command line, before it is started.
    pub(crate) fn add_arguments(&mut self, arguments: impl IntoIterator<Item = OsString>) {
        self.recipe.call.arguments.extend(arguments);
    }

    /// When it is ready, if that is not as usual. Before it is started.
    pub(crate) fn ready_when(&mut self, ready: Ready) {
        self.recipe.ready = ready;
    }

    /// Starts it for the first time.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        self.launch(&mut self.lock(), self.recipe.ready, Duration::ZERO)
    }

    fn port() -> Result<Port, Error> {
        Port::reserve().map_err(Error::io("reserve a loopback port"))
    }

    /// What it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Where it listens; the same for its whole life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A second address, which is reserved for it: where a Redis listens by TLS, or speaks with its cluster, if it was
    /// set up so.
    pub fn second_address(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Its URL; [`Backend::url`] gives one through a proxy.
    pub fn url(&self) -> String {
        self.backend.url(self.address)
    }

    /// Its folder, removed when it is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The PostgreSQL that [`start`](Self::start) brought for a pgbouncer.
    pub fn behind(&self) -> Option<&Self> {
        self.behind.as_deref()
    }

    /// All its processes at this moment, in no order.
    pub fn processes(&self) -> Vec<Process> {
        processes::marked(self.folder.mark())
    }

    /// The last lines it logged.
    pub fn log_tail(&self) -> String {
        self.folder.tail(LOG)
    }

    /// Asks it over its wire, as [`ping()`](crate::ping()) does.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub fn ping(&self, within: Duration) -> Result<(), Error> {
        ping::ping(self.backend, self.address, within)
    }

    /// SIGKILL to all its processes; returns when none is left. Does nothing to one that is down.
    ///
    /// # Errors
    /// [`Error::Disobeyed`] after ten seconds.
    pub fn kill(&self) -> Result<(), Error> {
        self.end(&mut self.lock())
    }

    /// Asks it to shut down, as an operator would, and waits for that; a paused one is resumed for it. Clients
    /// are not waited for. Does nothing to one that is down.
    ///
    /// # Errors
    /// [`Error::Disobeyed`] after half a minute: it is then killed.
    pub fn stop(&self) -> Result<(), Error> {
        self.shut_down(&mut self.lock())
    }

    /// Starts it again on the same port with what it has kept in its folder, and waits until it answers, for at
    /// most a minute. One that runs is stopped first; after [`kill`](Self::kill) this is the return from a crash. A
    /// copy is not waited for until it follows its primary again, which may be gone.
    ///
    /// # Errors
    /// What kept it from stopping or answering.
    pub fn restart(&self) -> Result<(), Error> {
        let mut main = self.lock();
        self.shut_down(&mut main)?;
        self.launch(&mut main, self.recipe.ready_again(), PATIENCE)
    }

    /// SIGSTOP to all its processes; returns when each has stopped. The kernel still accepts connections for it,
    /// and nothing answers on them.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Disobeyed`] after ten seconds.
    pub fn pause(&self) -> Result<(), Error> {
        let main = self.lock();
        if main.is_none() || self.processes().is_empty() {
            return Err(self.not_running());
        }
        processes::stop_all(self.folder.mark(), SIGNAL)
            .map_err(|left| self.disobeyed("stop", SIGNAL, &left))
    }

    /// SIGCONT to all its processes. Does nothing to one that is not paused.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn resume(&self) -> Result<(), Error> {
        let main = self.lock();
        if main.is_none() || self.processes().is_empty() {
            return Err(self.not_running());
        }
        processes::continue_all(self.folder.mark());
        Ok(())
    }

    /// Starts the program and waits until it is ready. One that ends by itself meanwhile is started again for as
    /// long as `patience`.
    fn launch(
        &self,
        main: &mut Option<Child>,
        wanted: Ready,
        patience: Duration,
    ) -> Result<(), Error> {
        const ATTEMPT: Duration = Duration::from_secs(2);
        let begun = Instant::now();
        let mut child = self.recipe.call.spawn(&self.folder, LOG)?;
        loop {
            let answer = ping::ready(self.backend, wanted, self.address, ATTEMPT);
            let ended = child.try_wait().map_err(Error::io("wait for a server"))?;
            match (answer, ended) {
                (Ok(()), None) => {
                    *main = Some(child);
                    return Ok(());
                }
                (_, Some(_)) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(50));
                    child = self.recipe.call.spawn(&self.folder, LOG)?;
                }
                (_, Some(status)) => {
                    return Err(Error::Ended {
                        backend: self.backend,
                        address: self.address,
                        status: status.to_string(),
                        log: self.log_tail(),
                    });
                }
                (Err(last), None) if begun.elapsed() >= START => {
                    *main = Some(child);
                    self.end(main)?;
                    return Err(Error::NotReady {
                        backend: self.backend,
                        address: self.address,
                        within: START,
                        last: last.to_string(),
                        log: self.log_tail(),
                    });
                }
                (Err(_), None) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn shut_down(&self, main: &mut Option<Child>) -> Result<(), Error> {
        let Some(child) = main.as_mut() else {
            return Ok(());
        };
        // Only the first process: it tells the others. SIGINT is PostgreSQL's "fast", which waits for no client.
        let wish = match self.backend {
            Backend::Postgres => Signal::INT,
            _ => Signal::TERM,
        };
        if let Some(process) = self
            .processes()
            .into_iter()
            .find(|one| one.id() == child.id())
        {
            process.signal(wish);
        }
        processes::continue_all(self.folder.mark());
        let stopped = processes::until_none(STOP, || {
            // A zombie has no command line, and is waited for below.
            self.processes()
        });
        self.end(main)?;
        stopped.map_err(|left| self.disobeyed("shut down", STOP, &left))
    }

    /// Kills what is left of it, and waits for the process that was started.
    fn end(&self, main: &mut Option<Child>) -> Result<(), Error> {
        processes::kill_all(self.folder.mark(), SIGNAL)
            .map_err(|left| self.disobeyed("die", SIGNAL, &left))?;
        if let Some(mut child) = main.take() {
            child.wait().map_err(Error::io("wait for a server"))?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        // A test that panicked elsewhere leaves the value whole.
        self.main.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_running(&self) -> Error {
        Error::NotRunning {
            backend: self.backend,
        }
    }

    fn disobeyed(&self, wish: &'static str, within: Duration, left: &[Process]) -> Error {
        let ids: Vec<String> = left
            .iter()
            .map(|process| process.id().to_string())
            .collect();
        Error::Disobeyed {
            backend: self.backend,
            wish,
            within,
            processes: ids.join(", "),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What resists now, the keeper clears away at the end.
        let _ = self.end(&mut self.lock());
    }
}
