//! This binary as the process that started a server, and is about to be killed.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use invalidation_testbed::{Error, Server};
use libtest_mimic::Failed;

/// `hold BACKEND STATE`: starts a server, says where, and waits for the end of its input.
pub(crate) fn if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["hold", backend, state] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let held = hold(backend, state);
    let code = match &held {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    };
    // As statics do: what was shared is not dropped at the end of a process.
    std::mem::forget(held);
    Some(code)
}

fn hold(backend: &str, state: &str) -> Result<Server, Error> {
    let server = Server::start(backend.parse()?)?;
    if state == "paused" {
        server.pause()?;
    }
    let _ = writeln!(std::io::stdout(), "{}", server.folder().display());
    let _ = std::io::stdin().read(&mut [0]);
    Ok(server)
}

/// The parent's side.
pub(crate) struct Holder {
    pub(crate) child: Child,
    /// The server's folder.
    pub(crate) folder: PathBuf,
}

impl Holder {
    /// In a process group of its own, to be killed as one.
    pub(crate) fn start(
        program: &OsStr,
        backend: &str,
        state: &str,
        user: Option<u32>,
    ) -> Result<Self, Failed> {
        let mut command = Command::new(program);
        command
            .args(["hold", backend, state])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        if line.is_empty() {
            let output = child.wait_with_output()?;
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let folder = PathBuf::from(OsString::from(line.trim()));
        Ok(Self { child, folder })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
