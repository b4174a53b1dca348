//! The account a server runs under.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::backend::Backend;
use crate::error::{Absent, Error};

/// A user that root becomes for a server that refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The account for a server: `None` for who is not root, and runs it as itself.
    pub(crate) fn for_server(backend: Backend) -> Result<Option<Self>, Error> {
        let name = match backend {
            Backend::Postgres | Backend::Pgbouncer => "postgres",
            Backend::Mariadb => "mysql",
            Backend::Redis | Backend::Nats | Backend::Etcd => return Ok(None),
        };
        if !rustix::process::getuid().is_root() {
            return Ok(None);
        }
        let absent = || {
            Error::Absent(Absent {
                backend,
                because: format!("it refuses to run as root, and there is no user `{name}`"),
            })
        };
        Ok(Some(Self {
            user: id("-u", name).ok_or_else(absent)?,
            group: id("-g", name).ok_or_else(absent)?,
        }))
    }

    /// Gives a file or folder to the account.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        std::os::unix::fs::chown(path, Some(self.user), Some(self.group))
            .map_err(Error::io(format!("give {} to its server", path.display())))
    }

    /// Runs the command under the account. The standard library drops root's other groups with it.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

/// Asks `id`, which knows every source of accounts that the system uses.
fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("/usr/bin/id")
        .args([which, name])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
