//! What the spectator sees while it runs.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

/// Where lines go, and the progress line.
#[derive(Debug)]
pub(crate) struct Stage {
    /// With `--json` standard output belongs to the one object.
    json: bool,
    started: Instant,
    progress: Option<String>,
    drawn: Instant,
}

/// How often the progress line is drawn anew.
const FRAME: Duration = Duration::from_millis(80);

impl Stage {
    pub(crate) fn new(json: bool) -> Self {
        let now = Instant::now();
        Self {
            json,
            started: now,
            progress: None,
            drawn: now,
        }
    }

    /// One line for good.
    pub(crate) fn line(&mut self, line: &str) {
        self.clear();
        // Nobody may be listening any more: the exit status counts.
        let _ = if self.json {
            writeln!(stderr(), "{line}")
        } else {
            writeln!(stdout(), "{line}")
        };
    }

    /// The line that shows how far it is, drawn over the one before; on a terminal alone.
    pub(crate) fn progress(&mut self, text: String) {
        if !stderr().is_terminal() || (self.progress.is_some() && self.drawn.elapsed() < FRAME) {
            return;
        }
        let elapsed = self.started.elapsed().as_secs_f32();
        let _ = write!(stderr(), "\r\x1b[2K    {elapsed:4.1} s  {text}");
        let _ = stderr().flush();
        self.drawn = Instant::now();
        self.progress = Some(text);
    }

    fn clear(&mut self) {
        if self.progress.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[2K");
            let _ = stderr().flush();
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}
