//! Which file a path names: how a file that was replaced under the same path is told from the old one.

use std::{fs, io, path::Path};

/// The file system's own name of a file. While any handle of it is open, no other file gets the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file that `path` names now, symbolic links followed.
    ///
    /// A `stat` of a local file takes about a microsecond, so it is called on the runtime. It never *opens* the
    /// file: closing any second descriptor of it would drop all POSIX locks that SQLite holds in this
    /// process (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from_metadata(&metadata))
    }

    #[cfg(unix)]
    fn from_metadata(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Elsewhere the time of creation stands in for it: Windows refuses to replace an open database, so it
    /// only has to tell files apart that were exchanged while no node ran.
    #[cfg(not(unix))]
    fn from_metadata(metadata: &fs::Metadata) -> Self {
        let nanos = metadata
            .created()
            .ok()
            .and_then(|created| created.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_nanos());
        Self {
            device: (nanos >> 64) as u64,
            inode: nanos as u64,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.device.to_be_bytes());
        bytes[8..].copy_from_slice(&self.inode.to_be_bytes());
        bytes
    }
}
