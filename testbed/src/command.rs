//! How a server's programs are called.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::backend::Backend;
use crate::error::Error;
use crate::folder::Folder;

/// How long `initdb`, `pg_basebackup` and their like may take.
const PREPARATION: Duration = Duration::from_secs(60);

/// A program with its arguments and the account it runs under.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) backend: Backend,
    pub(crate) account: Option<Account>,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Call {
    /// Starts it in the folder, in a process group of its own: a Ctrl-C that ends the test must not end its
    /// servers first.
    pub(crate) fn spawn(&self, folder: &Folder, log: &str) -> Result<Child, Error> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(folder.append(log)?)
            .stderr(folder.append(log)?)
            .env("LC_ALL", "C")
            // A MariaDB that starts removes temporary tables of all others from the folder it shares with them.
            .env("TMPDIR", folder.path());
        if cfg!(target_arch = "aarch64") {
            // etcd 3.4 asks for this word before it runs there.
            command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        }
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        command
            .spawn()
            .map_err(Error::io(format!("start {}", self.program.display())))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, folder: &Folder) -> Result<(), Error> {
        const LOG: &str = "preparation.log";
        let mut child = self.spawn(folder, LOG)?;
        let deadline = Instant::now() + PREPARATION;
        let outcome = loop {
            match child.try_wait().map_err(Error::io("wait for a program"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => break format!("failed ({status})"),
                None if Instant::now() >= deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break format!("took more than {PREPARATION:?}");
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        Err(Error::Preparation {
            backend: self.backend,
            program: self.program.display().to_string(),
            outcome,
            output: folder.tail(LOG),
        })
    }
}
