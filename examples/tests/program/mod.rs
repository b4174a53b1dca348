//! The examples as programs: found, started, and ended with their test.

use std::{
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes so long, on a busy machine either.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A command that runs an example of this build. `cargo test` builds them before it runs tests, unless it was
/// told to build one test alone.
pub fn example(name: &str) -> Command {
    let path = std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.parent()?.parent()?.join("examples").join(name)))
        .filter(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{name} is not built: run `cargo build -p examples --examples` first")
        });
    Command::new::<PathBuf>(path)
}

/// A running program, killed with its test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the program runs");
    }

    /// The exit code, once it ended by itself.
    pub fn code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the program ends", || {
            status = self.0.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds` does, at most [`DEADLINE`].
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(DEADLINE, what, holds);
}

/// Waits until `holds` does, at most so long.
pub fn within(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
