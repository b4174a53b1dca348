//! Several real processes, each a node from a configuration file, over HTTP and one SQLite file: they are killed,
//! stopped and continued. This test binary runs itself.
#![cfg(all(unix, feature = "sqlite", feature = "http"))]
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "in a test a panic is the report"
)]

mod child;
mod cluster;

use std::{net::TcpListener, time::Instant};

use cluster::{Cluster, Setup, eventually};
use rustix::process::Signal;

/// Polls so seldom that what is seen in time came over HTTP.
const HTTP_ALONE: &str = "poll_interval = '1h'\nretention = '20h'";
/// Polls so often that a test need not wait.
const POLLS: &str = "poll_interval = '60ms'\nread_timeout = '50ms'";

/// P1, P6: over HTTP, a write of either process drops what the other holds, also while one peer accepts and never
/// answers, and another does not exist (P16).
#[test]
fn p1_http_alone_tells_the_other_process() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = [silent.local_addr().unwrap().port(), cluster::free_port()];
    let cluster = Cluster::new(Setup {
        log: HTTP_ALONE,
        more_peers: &more,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    for (value, writer, other) in [("one", &a, &b), ("two", &b, &a), ("three", &a, &b)] {
        other.fill(1);
        writer.write(1, value);
        assert_eq!(writer.read(1), value);
        eventually("the other process sees the write", || {
            other.read(1) == value
        });
    }
}

/// P15: without a peer, the log alone tells.
#[test]
fn p15_the_log_alone_tells_the_other_process() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        peers: false,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    b.fill(1);
    a.write(1, "new");
    eventually("the other process sees the write", || b.read(1) == "new");
}

/// P18, P15: a process with another secret is not heard over HTTP, and both go on over the log.
#[test]
fn p18_another_secret_leaves_the_log() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        ..Setup::default()
    });
    let a = cluster.start(0);
    let b = cluster.start_with_secret(1, "another secret, of enough bytes");
    for (value, writer, other) in [("one", &a, &b), ("two", &b, &a)] {
        other.fill(1);
        writer.write(1, value);
        eventually("the other process sees the write", || {
            other.read(1) == value
        });
    }
}

/// P1, P2: a process that commits, and is killed before it tells anybody, is heard of by the log.
#[test]
fn p1_a_writer_killed_after_its_commit_is_heard() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    b.fill(1);
    a.write_and_die(1, "last words");
    eventually("the survivor sees the write", || b.read(1) == "last words");
}

/// P16, P14, P10: a killed process delays no writer; it starts anew with nothing, on its old port, and hears again
/// what is written, over HTTP.
#[test]
fn p16_a_killed_process_comes_back() {
    let cluster = Cluster::new(Setup {
        log: HTTP_ALONE,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    b.fill(1);
    b.kill();
    a.write(1, "while it was dead");
    let b = cluster.start(1);
    assert!(!b.holds(1));
    assert_eq!(b.read(1), "while it was dead");
    for round in 0..3 {
        let value = format!("round {round}");
        b.fill(1);
        a.write(1, &value);
        eventually("the new process hears of writes", || b.read(1) == value);
    }
}

/// P3, P4: a process that is stopped past its lease and continued never answers with what it held, although nobody
/// told it anything: the read is already waiting for it when it goes on.
#[test]
fn p3_a_stopped_process_serves_nothing_old() {
    let cluster = Cluster::new(Setup {
        peers: false,
        caches: "[caches.users]\nmax_staleness = '400ms'",
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    for round in 0..5 {
        let value = format!("round {round}");
        b.fill(1);
        b.signal(Signal::STOP);
        a.write(1, &value);
        let written = Instant::now();
        b.send("read 1");
        eventually("the lease of the stopped process is over", || {
            written.elapsed() > 2 * cluster::LEASE
        });
        b.signal(Signal::CONT);
        assert_eq!(b.answer(), value);
    }
}

/// P1: a process that is stopped while much is written, and continued, sees the last of each key.
#[test]
fn p1_a_stopped_process_catches_up() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    for key in 0..20 {
        b.fill(key);
    }
    b.signal(Signal::STOP);
    for round in 0..3 {
        for key in 0..20 {
            a.write(key, &format!("{key} in round {round}"));
        }
    }
    b.signal(Signal::CONT);
    for key in 0..20 {
        let last = format!("{key} in round 2");
        eventually("the continued process sees the last write", || {
            b.read(key) == last
        });
    }
}

/// P10: an older copy that is put at the database's path flushes every process, and its rows are what they read.
#[test]
fn p10_an_older_copy_flushes_every_process() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        ..Setup::default()
    });
    let (a, b) = (cluster.start(0), cluster.start(1));
    a.write(1, "old");
    let copy = cluster.copy();
    a.write(1, "lost by the restore");
    for process in [&a, &b] {
        eventually("both see the newer write", || {
            process.read(1) == "lost by the restore"
        });
        process.fill(1);
    }
    // Nobody may use the database while it is exchanged.
    for process in [&a, &b] {
        process.signal(Signal::STOP);
    }
    cluster.restore(&copy);
    for process in [&a, &b] {
        process.signal(Signal::CONT);
    }
    for process in [&a, &b] {
        eventually("both read what was restored", || process.read(1) == "old");
    }
    a.write(1, "after the restore");
    eventually("the log works on", || b.read(1) == "after the restore");
}

/// P16: a database that is gone stops no process: reads bypass, writes fail and say so, and it all goes on when
/// the file is back.
#[test]
fn p16_a_database_that_is_gone_comes_back() {
    let cluster = Cluster::new(Setup {
        log: POLLS,
        caches: "[caches.users]\nmax_staleness = '400ms'\non_stale = 'fail'",
        ..Setup::default()
    });
    let a = cluster.start(0);
    a.write(1, "there");
    a.fill(1);
    let copy = cluster.copy();
    a.signal(Signal::STOP);
    cluster.remove();
    a.signal(Signal::CONT);
    eventually("reads fail once the lease is over", || {
        a.ask("read 1").starts_with("error")
    });
    let refused = a.ask("invalidate 1");
    assert!(refused.contains("does not exist"), "{refused}");
    a.signal(Signal::STOP);
    cluster.restore(&copy);
    a.signal(Signal::CONT);
    eventually("the file is found again", || a.ask("read 1") == "there");
    a.write(1, "again");
    assert_eq!(a.read(1), "again");
}

/// A process ends by itself when the one that started it is gone.
#[test]
fn a_process_ends_with_its_parent() {
    let cluster = Cluster::new(Setup::default());
    let a = cluster.start(0);
    assert!(a.ends_when_left());
}

/// What the others run as a process of its own.
#[test]
#[ignore = "the other tests run it as a process"]
fn node_process() {
    child::run();
}
