//! Nothing is left behind, however the process that started a server ends.

use std::path::Path;

use invalidation_testbed::{Backend, Error};
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::hold::Holder;
use crate::{ensure, eventually, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for backend in Backend::ALL {
        // Paused processes cannot notice that their parent has gone.
        for state in ["running", "paused"] {
            let name = format!("{backend}::leaves_nothing_when_killed_{state}");
            trials.push(trial(
                name,
                move || present(backend),
                move |()| killed(backend, state),
            ));
        }
    }
    trials.push(trial(
        "redis::leaves_nothing_at_the_end",
        || present(Backend::Redis),
        |()| ended(),
    ));
    trials
}

/// The child starts the server; whether there is one is decided here.
pub(crate) fn present(backend: Backend) -> Result<(), Error> {
    let program = match backend {
        Backend::Postgres => "initdb",
        Backend::Mariadb => "mariadbd",
        Backend::Redis => "redis-server",
        Backend::Nats => "nats-server",
        Backend::Pgbouncer => {
            present(Backend::Postgres)?;
            "pgbouncer"
        }
        other => other.name(),
    };
    backend.program(program).map(drop)
}

/// SIGKILL to the whole process group, as a runner does that lost patience.
fn killed(backend: Backend, state: &str) -> Result<(), Failed> {
    let holder = Holder::start(
        std::env::current_exe()?.as_os_str(),
        backend.name(),
        state,
        None,
    )?;
    let before = processes_of(&holder.folder)?;
    ensure(!before.is_empty(), "the server's processes are not found")?;
    kill_process_group(Pid::from_child(&holder.child), Signal::KILL)?;
    nothing_is_left(&holder.folder)
}

/// A return from `main` drops no static.
fn ended() -> Result<(), Failed> {
    let executable = std::env::current_exe()?;
    let mut holder = Holder::start(executable.as_os_str(), "redis", "running", None)?;
    drop(holder.child.stdin.take());
    ensure(holder.child.wait()?.success(), "it failed")?;
    nothing_is_left(&holder.folder)
}

pub(crate) fn nothing_is_left(folder: &Path) -> Result<(), Failed> {
    let base = folder.parent().ok_or("no parent")?.to_owned();
    eventually("no process and no folder", || match processes_of(&base) {
        Ok(left) if left.is_empty() && !base.exists() => Ok(()),
        Ok(left) => Err(format!(
            "{left:?}, {} exists: {}",
            base.display(),
            base.exists()
        )),
        Err(error) => Err(format!("{error:?}")),
    })
}

/// Another way to find them than the one that is under test: by the folder they work in, or have open. Needs the
/// right to look, which a container's root may lack; the command line is then the only one left.
fn processes_of(folder: &Path) -> Result<Vec<String>, Failed> {
    let base = folder
        .file_name()
        .ok_or("no name")?
        .to_string_lossy()
        .into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let works_in = std::fs::read_link(path.join("cwd")).unwrap_or_default();
        if line.contains(&base) || works_in.starts_with(folder) {
            found.push(format!("{} {line}", path.display()));
        }
    }
    Ok(found)
}
