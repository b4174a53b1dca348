//! The lines that were logged in this process, and who looks for what in them.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::Secrets;

/// How much is kept of what was logged before anybody looked.
const MOST_BYTES: usize = 4 << 20;
/// How many lines that show a secret are told of.
const MOST_FOUND: usize = 20;

static LINES: Mutex<Lines> = Mutex::new(Lines {
    recent: VecDeque::new(),
    bytes: 0,
    watched: Vec::new(),
    next: 0,
});

struct Lines {
    /// The newest, of [`MOST_BYTES`] altogether.
    recent: VecDeque<String>,
    bytes: usize,
    watched: Vec<Watched>,
    next: u64,
}

struct Watched {
    number: u64,
    secrets: Secrets,
    found: Vec<String>,
}

impl Watched {
    fn see(&mut self, line: &str) {
        if self.found.len() < MOST_FOUND {
            self.found.extend(self.secrets.lines_of(line));
        }
    }
}

/// Adds a line; it may have line breaks.
pub(super) fn add(line: String) {
    let mut lines = LINES.lock();
    for watched in &mut lines.watched {
        watched.see(&line);
    }
    lines.bytes += line.len();
    lines.recent.push_back(line);
    while lines.bytes > MOST_BYTES {
        let oldest = lines.recent.pop_front();
        lines.bytes -= oldest.map_or(lines.bytes, |line| line.len());
    }
}

/// Looks for secrets in the newest lines, and in every line from here on.
pub(super) fn watch(secrets: &Secrets) -> Watch {
    let mut lines = LINES.lock();
    let number = lines.next;
    lines.next += 1;
    let mut watched = Watched {
        number,
        secrets: secrets.clone(),
        found: Vec::new(),
    };
    for line in &lines.recent {
        watched.see(line);
    }
    lines.watched.push(watched);
    Watch { number }
}

/// Looks for secrets as long as it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    number: u64,
}

impl Watch {
    /// The lines that showed one, each without it.
    pub(crate) fn found(&self) -> Vec<String> {
        let lines = LINES.lock();
        let own = |watched: &&Watched| watched.number == self.number;
        let found = lines.watched.iter().find(own);
        found.map_or_else(Vec::new, |watched| watched.found.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut lines = LINES.lock();
        lines
            .watched
            .retain(|watched| watched.number != self.number);
    }
}
