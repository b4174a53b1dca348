//! Two nodes to be, seen from the test: their files, their processes, and their signals.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use crate::child::{ANSWER, CONFIG, DATABASE};

/// The largest `max_staleness` of these tests.
pub const LEASE: Duration = Duration::from_millis(400);
/// How long anything may take that should happen at all. Shorter than any TTL here.
const DEADLINE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(10);
const SECRET: &str = "the secret of the cluster";

/// Waits until `condition` holds; fails after 30 s, saying what did not come true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(STEP);
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What differs between the tests.
pub struct Setup<'a> {
    /// More of `[log]`.
    pub log: &'a str,
    pub caches: &'a str,
    /// Whether the two nodes are peers.
    pub peers: bool,
    /// On the loopback, ahead of the other node.
    pub more_peers: &'a [u16],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            log: "",
            caches: "",
            peers: true,
            more_peers: &[],
        }
    }
}

/// Two configurations on one database.
pub struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    pub fn new(setup: Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port()];
        let cluster = Self { folder };
        let database = cluster.database();
        cluster.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
        for number in 0..2 {
            let (own, other) = (ports[number], ports[1 - number]);
            let peers: Vec<String> = setup
                .more_peers
                .iter()
                .chain(setup.peers.then_some(&other))
                .map(|port| format!("'127.0.0.1:{port}'"))
                .collect();
            let toml = format!(
                "cluster = 'processes'\n[log]\nurl = 'sqlite:{}'\n{}\n[transport.http]\nlisten = '127.0.0.1:{own}'\n\
                 peers = [{}]\nsecret_file = '{}'\n{}\n",
                database.display(),
                setup.log,
                peers.join(", "),
                cluster.secret(number).display(),
                setup.caches,
            );
            std::fs::write(cluster.config(number), toml).unwrap();
        }
        cluster
    }

    /// Starts node 0 or 1, and waits until it is up.
    pub fn start(&self, number: usize) -> Process {
        self.start_with_secret(number, SECRET)
    }

    pub fn start_with_secret(&self, number: usize, secret: &str) -> Process {
        std::fs::write(self.secret(number), secret).unwrap();
        let process = Process::spawn(&self.config(number), &self.database());
        assert_eq!(process.answer(), "ready");
        process
    }

    /// A copy of the database as it is now.
    pub fn copy(&self) -> PathBuf {
        let copy = self.folder.path().join("copy.db");
        self.sql(&format!("VACUUM INTO '{}'", copy.display()));
        copy
    }

    /// Puts `copy` at the database's path. Only while every process is stopped.
    pub fn restore(&self, copy: &Path) {
        self.remove();
        std::fs::rename(copy, self.database()).unwrap();
    }

    /// Only while every process is stopped.
    pub fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.database().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn sql(&self, sql: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new()
                .filename(self.database())
                .create_if_missing(true)
                .busy_timeout(DEADLINE)
                .connect()
                .await
                .unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
            sqlx::Connection::close(connection).await.unwrap();
        });
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn config(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.toml"))
    }

    fn secret(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.secret"))
    }
}

/// One running node. It is killed when the test lets go of it, however the test ends.
pub struct Process {
    child: RefCell<Child>,
    stdin: RefCell<Option<ChildStdin>>,
    answers: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also ends a stopped one.
        let _ended = self.child.get_mut().kill();
        let _status = self.child.get_mut().wait();
    }
}

impl Process {
    fn spawn(config: &Path, database: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "node_process"])
            .env(CONFIG, config)
            .env(DATABASE, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, answers) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness does not end its own line before the first answer.
                if let Some((_, answer)) = line.split_once(ANSWER)
                    && tell.send(answer.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self {
            stdin: RefCell::new(child.stdin.take()),
            child: child.into(),
            answers,
        }
    }

    pub fn send(&self, line: &str) {
        let mut stdin = self.stdin.borrow_mut();
        writeln!(stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn answer(&self) -> String {
        self.answers.recv_timeout(DEADLINE).unwrap()
    }

    pub fn ask(&self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    pub fn read(&self, key: i64) -> String {
        let value = self.ask(&format!("read {key}"));
        assert!(!value.starts_with("error"), "{value}");
        value
    }

    pub fn write(&self, key: i64, value: &str) {
        assert_eq!(self.ask(&format!("write {key} {value}")), "written");
    }

    /// Whether it would serve `key` from memory.
    pub fn holds(&self, key: i64) -> bool {
        self.ask(&format!("holds {key}")) == "true"
    }

    /// Reads until it holds `key`: what is still under way from before would drop it again.
    pub fn fill(&self, key: i64) {
        eventually("the value stays cached", || {
            self.read(key);
            self.holds(key)
        });
    }

    /// Commits, and is killed before it tells anybody. Returns when it is gone.
    pub fn write_and_die(&self, key: i64, value: &str) {
        self.send(&format!("write_and_die {key} {value}"));
        eventually("it is gone", || self.is_gone());
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
        eventually("it is gone", || self.is_gone());
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child.borrow());
        kill_process(pid, signal).unwrap();
    }

    /// Lets go of its standard input, which is all it has of its parent, and waits for its end.
    pub fn ends_when_left(&self) -> bool {
        self.stdin.borrow_mut().take();
        eventually("it ends", || self.is_gone());
        let status = self.child.borrow_mut().wait().unwrap();
        status.success()
    }

    fn is_gone(&self) -> bool {
        self.child.borrow_mut().try_wait().unwrap().is_some()
    }
}
