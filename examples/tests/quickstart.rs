//! The quickstart, with few writes.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Output, Stdio},
};

use program::{Running, eventually, example};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// P1, P3, P15: all six acts pass, every write arrives, and no read is staler than its bound; standard output is the
/// one object that scripts rely on.
#[test]
fn all_acts_pass() {
    let output = run(&[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    let fields: Vec<_> = summary
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "nodes",
        "reads",
        "writes",
        "fast_path_ms",
        "safety_net_ms",
        "crashed_publisher_ms",
        "lease",
        "stale_reads_beyond_bound",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);

    let number = |path: &str| {
        let value = summary.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{path} is missing in {summary}"))
    };
    assert_eq!(number("/nodes"), 3.0);
    assert_eq!(number("/stale_reads_beyond_bound"), 0.0);
    assert!(number("/reads") > 1_000.0);
    assert!(number("/writes") > 30.0);
    for path in ["/fast_path_ms", "/safety_net_ms"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| number(&format!("{path}/{name}")));
        assert!(
            0.0 < p50 && p50 <= p99 && p99 <= max,
            "{path}: {p50}, {p99}, {max}"
        );
    }
    assert!(number("/crashed_publisher_ms/max") > 0.0);
    assert_eq!(number("/lease/bound_ms"), 1_000.0);
    assert!(number("/lease/worst_staleness_ms") <= 1_000.0);
    for act in 1..=6 {
        assert!(
            told.lines()
                .any(|line| line.starts_with(&format!("{act}  "))),
            "{act}: {told}"
        );
    }
}

/// P3: reads that are staler than their bound are found, counted, and fail it. Judged by 1 ms, which nobody promised,
/// what the log alone tells must be too late.
#[test]
fn a_read_beyond_its_bound_fails_it() {
    let output = run(&["--judge-by-ms", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        summary["stale_reads_beyond_bound"].as_u64().unwrap() > 0,
        "{summary}"
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("FAILED: node "), "{told}");
}

/// Nothing is left of it, whatever ends it: neither a process nor a file.
#[cfg(target_os = "linux")]
#[test]
fn nothing_outlives_it() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let mut parent = Running::start(
            example("quickstart")
                .args(["--json", "--short"])
                .env("TMPDIR", folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
        );
        let stderr = BufReader::new(parent.0.stderr.take().unwrap());
        // The first act is announced when all nodes are up.
        assert!(stderr.lines().any(|line| line.unwrap().starts_with("1  ")));
        let nodes = children(&parent);
        assert_eq!(nodes.len(), 3);
        // One that stands still cannot notice that its standard input was closed.
        kill_process(nodes[1], Signal::STOP).unwrap();
        parent.signal(signal);
        parent.code();
        eventually("all nodes are gone", || {
            nodes
                .iter()
                .all(|node| !fs::exists(format!("/proc/{node}/fd/0")).unwrap_or(false))
        });
        if signal != Signal::KILL {
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                0,
                "files are left"
            );
        }
    }
}

#[cfg(target_os = "linux")]
fn children(parent: &Running) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", parent.0.id())).unwrap();
    let of_each = tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let all = of_each.collect::<Vec<_>>().concat();
    let pid = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
    all.split_whitespace().map(pid).collect()
}

/// Whether a process is there, and more than an entry that nobody has asked for yet.
#[cfg(target_os = "linux")]
fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

fn run(more: &[&str]) -> Output {
    example("quickstart")
        .args(["--json", "--short"])
        .args(more)
        .output()
        .unwrap()
}
