//! The processes of one host find each other beside the database.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use invalidation_core::{
    Cursor, InvalidationLog, Member, NodeId, Page, ReadRequest, ReadStart, Tick,
};
use invalidation_log_sqlite::SqliteLog;
use support::{DEADLINE, Database};
use tokio::{sync::watch, time::Instant};

const PATH: &str = "INVALIDATION_LOG_TEST_PATH";

/// A node, as far as its log goes.
struct Reader {
    log: SqliteLog,
    own: Member,
    others: watch::Receiver<Option<Arc<[Member]>>>,
    cursor: Cursor,
}

impl Reader {
    async fn start(path: &Path, address: &str) -> Self {
        let log = SqliteLog::open(path).await.unwrap();
        log.install().await.unwrap();
        let members = log.members().unwrap();
        let own = Member::new(NodeId::random(), address.to_owned());
        members.announce(own.clone());
        Self {
            cursor: log.head().await.unwrap(),
            others: members.others(),
            own,
            log,
        }
    }

    async fn poll(&mut self) {
        let started = ReadStart::new(Tick::from_nanos(1), 1);
        let request = ReadRequest::new(&self.cursor, started);
        match self.log.read(request).await.unwrap() {
            Page::Entries { next, .. } => self.cursor = next,
            other => panic!("{other:?}"),
        }
    }

    /// Polls until these are the others.
    async fn finds(&mut self, others: &[&Member]) {
        let mut others: Vec<_> = others.iter().copied().cloned().collect();
        others.sort();
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.poll().await;
            let found = self.others.borrow().clone();
            if found.as_deref() == Some(&others) {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?} are not {others:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Contract: nodes find each other by their polls alone, also by another name of the file; a new address is told, who
/// closes is gone, and so is who was dropped.
#[tokio::test]
async fn members_come_and_go() {
    let database = Database::new();
    let mut a = Reader::start(&database.path, "http://127.0.0.1:1").await;
    let other_name = database.folder.path().join("link.db");
    symlink(&database.path, &other_name).unwrap();
    let mut b = Reader::start(&other_name, "http://127.0.0.1:2").await;
    let mut c = Reader::start(&database.path, "http://127.0.0.1:3").await;
    b.poll().await;
    c.finds(&[&b.own]).await;
    a.finds(&[&b.own, &c.own]).await;
    b.finds(&[&a.own, &c.own]).await;
    c.finds(&[&a.own, &b.own]).await;

    b.own.address = "http://127.0.0.1:22".into();
    b.log.members().unwrap().announce(b.own.clone());
    b.poll().await;
    a.finds(&[&b.own, &c.own]).await;

    b.log.close().await.unwrap();
    a.finds(&[&c.own]).await;
    drop(c);
    a.finds(&[]).await;
}

/// Contract: a process that was killed is gone, and nothing of it is left.
#[tokio::test]
async fn a_killed_process_is_gone() {
    let database = Database::new();
    let mut here = Reader::start(&database.path, "http://127.0.0.1:1").await;
    let mut process = Killed::start(&database.path);
    let deadline = Instant::now() + DEADLINE;
    loop {
        here.poll().await;
        let others = here.others.borrow().clone();
        if others.is_some_and(|others| others.iter().any(|other| other.address == "http://there")) {
            break;
        }
        assert!(Instant::now() < deadline, "the process is never found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    here.finds(&[]).await;
    let folder = database.folder.path().join("app.db-members");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "its own is left");
    here.log.close().await.unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

struct Killed(Child);

impl Killed {
    fn start(path: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "announcing_process"])
            .env(PATH, path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// What the other test runs as a process of its own, and kills.
#[tokio::test]
#[ignore = "another test runs it as a process"]
async fn announcing_process() {
    let path = std::env::var(PATH).unwrap();
    let mut own = Reader::start(path.as_ref(), "http://there").await;
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        own.poll().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// P15: where nothing can be announced the log is read all the same; and who asks for nothing leaves nothing.
#[tokio::test]
async fn p15_a_node_that_cannot_announce_itself_reads_on() {
    let database = Database::new();
    let quiet = database.log().await;
    let head = quiet.head().await.unwrap();
    let request = ReadRequest::new(&head, ReadStart::new(Tick::from_nanos(1), 1));
    quiet.read(request).await.unwrap();
    let folder = database.folder.path().join("app.db-members");
    assert!(!folder.exists(), "nobody asked for it");
    fs::write(&folder, "no folder").unwrap();
    let mut reader = Reader::start(&database.path, "http://127.0.0.1:1").await;
    reader.poll().await;
    assert!(reader.others.borrow().is_none());
    // It tries again, and what was wrong may be mended.
    fs::remove_file(&folder).unwrap();
    reader.finds(&[]).await;
}

/// P18: what else lies in the folder is no member, and stays.
#[tokio::test]
async fn other_files_are_left_alone() {
    let database = Database::new();
    let mut reader = Reader::start(&database.path, "http://127.0.0.1:1").await;
    reader.finds(&[]).await;
    let folder = database.folder.path().join("app.db-members");
    let strange = ["notes.txt", "+0000000000000000000000000000001", "é"];
    for name in strange {
        fs::write(folder.join(name), "http://127.0.0.1:9\n").unwrap();
    }
    let abandoned = NodeId::random().to_string();
    fs::write(folder.join(&abandoned), "http://127.0.0.1:9\n").unwrap();
    let deadline = Instant::now() + DEADLINE;
    while folder.join(&abandoned).exists() {
        reader.poll().await;
        assert!(Instant::now() < deadline, "it is never taken out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(reader.others.borrow().as_deref().unwrap().is_empty());
    for name in strange {
        assert!(folder.join(name).exists(), "{name}");
    }
}
