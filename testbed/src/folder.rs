//! A server's folder.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::backend::Backend;
use crate::error::Error;
use crate::keeper::Keeper;

/// A fresh folder, removed on drop; by the keeper when the process ends first.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    mark: String,
}

impl Folder {
    pub(crate) fn fresh(backend: Backend, account: Option<Account>) -> Result<Self, Error> {
        let (path, mark) = Keeper::of_this_process()?.next(backend.name());
        std::fs::create_dir(&path).map_err(Error::io(format!("make {}", path.display())))?;
        let folder = Self { path, mark };
        if let Some(account) = account {
            account.own(&folder.path)?;
        }
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in the command line of each of the server's processes.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// A file to append output to. Opened here, so that it needs no right of the server's account.
    pub(crate) fn append(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io(format!("open {}", path.display())))
    }

    /// The last lines of a file, for an error's text.
    pub(crate) fn tail(&self, name: &str) -> String {
        const BYTES: u64 = 8192;
        // mariadb-install-db follows the reason with thirty lines of advice.
        const LINES: usize = 60;
        let mut text = Vec::new();
        let read = File::open(self.path.join(name)).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
            file.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("({name} cannot be read: {error})");
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now, the keeper removes at the end.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
