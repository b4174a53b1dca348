//! The processes of a server, found by the mark in their command lines.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// One process of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    id: Pid,
}

impl Process {
    /// Its process id.
    pub fn id(self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn signal(self, signal: Signal) {
        // It may have ended since it was found: then there is nothing to do.
        let _ = kill_process(self.id, signal);
    }

    /// Whether SIGSTOP has reached it; true when it is gone.
    fn is_stopped(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.id())) else {
            return true;
        };
        // The name in parentheses may hold anything; the state follows it (proc_pid_stat(5)).
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        matches!(state, Some('T' | 't' | 'Z' | 'X'))
    }
}

/// Every living process with `mark` in its command line. A zombie has none.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            line.windows(mark.len())
                .any(|window| window == mark.as_bytes())
                .then_some(Process { id })
        })
        .collect()
}

/// Kills all; those left over when the time is up are the error.
pub(crate) fn kill_all(mark: &str, within: Duration) -> Result<(), Vec<Process>> {
    until_none(within, || {
        let alive = marked(mark);
        alive
            .iter()
            .for_each(|process| process.signal(Signal::KILL));
        alive
    })
}

/// Stops all, those that a parent forks meanwhile too; those still running when the time is up are the error.
pub(crate) fn stop_all(mark: &str, within: Duration) -> Result<(), Vec<Process>> {
    until_none(within, || {
        let mut running = marked(mark);
        running.retain(|process| !process.is_stopped());
        running
            .iter()
            .for_each(|process| process.signal(Signal::STOP));
        running
    })
}

/// Lets all run on.
pub(crate) fn continue_all(mark: &str) {
    marked(mark)
        .into_iter()
        .for_each(|process| process.signal(Signal::CONT));
}

/// Repeats until a round finds none.
pub(crate) fn until_none(
    within: Duration,
    mut round: impl FnMut() -> Vec<Process>,
) -> Result<(), Vec<Process>> {
    let deadline = Instant::now() + within;
    loop {
        let left = round();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(left);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
