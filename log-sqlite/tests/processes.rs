//! Several processes on one file: this test binary runs itself.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
};

use invalidation_core::{Cursor, Entry, Invalidation, InvalidationLog, Scope};
use invalidation_log_sqlite::SqliteLog;
use support::{DEADLINE, Database, count, drain, keys};

const PATH: &str = "INVALIDATION_LOG_TEST_PATH";
const NAME: &str = "INVALIDATION_LOG_TEST_NAME";
const COUNT: &str = "INVALIDATION_LOG_TEST_COUNT";

/// A process that is killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Starts a process that installs the log at `path` and appends `count` entries named `name/0`, `name/1`, …
fn start(path: &Path, name: &str, count: usize) -> Process {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "appending_process"])
        .env(PATH, path)
        .env(NAME, name)
        .env(COUNT, count.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

/// What the others run as a process of its own.
#[tokio::test]
#[ignore = "the other tests run it as a process"]
async fn appending_process() {
    let path = std::env::var(PATH).unwrap();
    let name = std::env::var(NAME).unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    let log = SqliteLog::open(path).await.unwrap();
    log.install().await.unwrap();
    for number in 0..count {
        // In pairs, so that half of an append can be told.
        let pair = ["a", "b"].map(|half| keys([format!("{name}/{number}/{half}")]));
        log.append(&pair).await.unwrap();
    }
    log.close().await.unwrap();
}

async fn finished(mut process: Process) {
    let status = tokio::time::timeout(
        DEADLINE,
        tokio::task::spawn_blocking(move || process.0.wait().unwrap()),
    );
    assert!(status.await.unwrap().unwrap().success());
}

fn key(entry: &Entry) -> &str {
    match &entry.invalidation {
        Invalidation::Cache {
            scope: Scope::Keys(keys),
            ..
        } => &keys[0],
        other => panic!("{other:?}"),
    }
}

async fn new_keys(log: &SqliteLog, cursor: &mut Cursor) -> Vec<String> {
    let (found, next) = drain(log, cursor, 10).await;
    *cursor = next;
    found
        .iter()
        .map(|logged| key(support::entry(logged)).to_owned())
        .collect()
}

/// Processes that install one new file at the same time make one log, and none of them fails.
#[tokio::test]
async fn processes_install_at_once() {
    let database = Database::new();
    let processes: Vec<_> = (0..6)
        .map(|number| start(&database.path, &number.to_string(), 3))
        .collect();
    for process in processes {
        finished(process).await;
    }
    let mut connection = database.connect().await;
    let rows = "SELECT count(*) FROM cache_invalidation_log";
    assert_eq!(count(&mut connection, rows).await, 6 * 3 * 2);
    let logs = "SELECT count(*) FROM cache_invalidation_meta";
    assert_eq!(count(&mut connection, logs).await, 1);
}

/// Connections that install one new file at the same instant make one log, and none of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_install_at_once() {
    for _ in 0..20 {
        let database = Database::new();
        let mut logs = Vec::new();
        for _ in 0..12 {
            logs.push(SqliteLog::open(&database.path).await.unwrap());
        }
        let tasks: Vec<_> = logs
            .into_iter()
            .map(|log| {
                tokio::spawn(async move {
                    log.install().await.unwrap();
                    log.identity().unwrap()
                })
            })
            .collect();
        let mut identities = Vec::new();
        for task in tasks {
            identities.push(task.await.unwrap());
        }
        identities.dedup();
        assert_eq!(identities.len(), 1);
    }
}

/// P1: what other processes append while this one reads is read exactly once.
#[tokio::test]
async fn a_process_reads_what_others_append() {
    let database = Database::new();
    let log = database.log().await;
    let mut cursor = log.head().await.unwrap();
    let processes: Vec<_> = ["x", "y", "z"]
        .into_iter()
        .map(|name| start(&database.path, name, 50))
        .collect();
    let mut found = Vec::new();
    let all = async {
        while found.len() < 300 {
            found.extend(new_keys(&log, &mut cursor).await);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, all).await.unwrap();
    for process in processes {
        finished(process).await;
    }
    found.extend(new_keys(&log, &mut cursor).await);
    assert_eq!(found.len(), 300);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 300);
}

/// P1, P2: a process killed in the middle of its appends leaves whole ones behind, and stands in nobody's way.
#[tokio::test]
async fn a_killed_process_leaves_whole_appends() {
    let database = Database::new();
    let log = database.log().await;
    let mut cursor = log.head().await.unwrap();
    let mut found = Vec::new();
    for round in 0..4 {
        let mut process = start(&database.path, &round.to_string(), 20_000);
        let enough = found.len() + 5;
        let some = async {
            while found.len() < enough {
                found.extend(new_keys(&log, &mut cursor).await);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, some).await.unwrap();
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        log.append(&[keys(["own/a"]), keys(["own/b"])])
            .await
            .unwrap();
    }
    found.extend(new_keys(&log, &mut cursor).await);
    for pair in found.chunks(2) {
        let halves: Vec<_> = pair
            .iter()
            .map(|key| key.rsplit_once('/').unwrap())
            .collect();
        assert_eq!(halves.len(), 2);
        assert_eq!((halves[0].1, halves[1].1), ("a", "b"));
        assert_eq!(halves[0].0, halves[1].0);
    }
    let mut connection = database.connect().await;
    let rows = "SELECT count(*) FROM cache_invalidation_log";
    let rows = usize::try_from(count(&mut connection, rows).await).unwrap();
    assert_eq!(rows, found.len(), "each committed entry once");
}
