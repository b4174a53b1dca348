//! The files: an inbox for each subscription, into which the others link their frames.
//!
//! ```text
//! DIRECTORY/                              one cluster
//!     .ORIGIN-SEQUENCE                    a frame that is being sent
//!     NODE.SUBSCRIPTION/                  an inbox
//!         00000000000000000007-ORIGIN     a frame: of one origin in the order of their names
//!         alive                           touched by the reader while it reads
//!         lost                            there is no room: frames were dropped
//! ```
//!
//! All of it blocks: call it where that is allowed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use cache_invalidation::NodeId;

/// How many frames wait in an inbox; more are dropped, with a gap.
pub(crate) const ROOM: usize = 256;
/// How many are taken at once.
pub(crate) const AT_ONCE: usize = 64;
/// The inbox of a reader that has not touched it for so long is removed: its process is gone.
const ABANDONED: Duration = Duration::from_secs(10);
/// How often a reader touches its inbox.
const TOUCH: Duration = Duration::from_secs(1);

/// The own inbox. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Inbox {
    path: PathBuf,
    touched: SystemTime,
}

/// What was in it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// In the order in which their origins sent them.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Others were dropped.
    pub(crate) lost: bool,
}

impl Inbox {
    /// Makes an inbox, and removes those of this node's earlier subscriptions.
    pub(crate) fn make(directory: &Path, node: NodeId, subscription: u64) -> io::Result<Self> {
        for other in all(directory)? {
            if other.node == node.to_string() && other.subscription < subscription {
                let _ = fs::remove_dir_all(other.path);
            }
        }
        let path = directory.join(format!("{node}.{subscription}"));
        fs::create_dir(&path)?;
        let inbox = Self {
            path,
            touched: SystemTime::now(),
        };
        fs::write(inbox.path.join("alive"), "")?;
        Ok(inbox)
    }

    /// Takes some of what is there, and says that somebody reads.
    pub(crate) fn take(&mut self) -> io::Result<Taken> {
        if self.touched.elapsed().unwrap_or(TOUCH) >= TOUCH {
            fs::write(self.path.join("alive"), "")?;
            self.touched = SystemTime::now();
        }
        // Looked at first: what is dropped from now on is told with the next ones.
        let lost = match fs::remove_file(self.path.join("lost")) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let mut names = frames_in(&self.path)?;
        names.sort();
        names.truncate(AT_ONCE);
        let mut frames = Vec::with_capacity(names.len());
        for name in names {
            let path = self.path.join(name);
            frames.push(fs::read(&path)?);
            fs::remove_file(&path)?;
        }
        Ok(Taken { frames, lost })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // It may be gone already: closed, or abandoned for too long.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The inbox of somebody else.
#[derive(Debug)]
pub(crate) struct Found {
    path: PathBuf,
    /// Whose, as text.
    pub(crate) node: String,
    subscription: u64,
}

/// All inboxes of a directory.
pub(crate) fn all(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Anything else that lies here is none of ours.
        if let Some((node, number)) = name.split_once('.')
            && node.len() == 32
            && let Ok(subscription) = number.parse()
        {
            found.push(Found {
                path: entry.path(),
                node: node.to_owned(),
                subscription,
            });
        }
    }
    Ok(found)
}

/// What became of a frame at one inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there.
    There,
    /// There is no room, and the reader will be told.
    Full,
    /// Nobody reads there any more.
    Gone,
}

/// A frame that is being sent: written once, and linked into each inbox, so that it is there whole or not at all.
#[derive(Debug)]
pub(crate) struct Sending {
    path: PathBuf,
    name: String,
    /// By the clock of the file system, which is also the readers'.
    now: SystemTime,
}

impl Sending {
    pub(crate) fn write(
        directory: &Path,
        origin: NodeId,
        sequence: u64,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let path = directory.join(format!(".{origin}-{sequence}"));
        fs::write(&path, bytes)?;
        let now = fs::metadata(&path)?.modified()?;
        let name = format!("{sequence:020}-{origin}");
        Ok(Self { path, name, now })
    }

    pub(crate) fn put(&self, inbox: &Found) -> io::Result<Put> {
        let put = self.try_put(inbox);
        match put {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.exists() => {
                Ok(Put::Gone)
            }
            put => put,
        }
    }

    fn try_put(&self, inbox: &Found) -> io::Result<Put> {
        let alive = fs::metadata(inbox.path.join("alive"));
        if let Ok(touched) = alive.and_then(|file| file.modified())
            && self.now.duration_since(touched).unwrap_or_default() >= ABANDONED
        {
            fs::remove_dir_all(&inbox.path)?;
            return Ok(Put::Gone);
        }
        if frames_in(&inbox.path)?.len() >= ROOM {
            fs::write(inbox.path.join("lost"), "")?;
            return Ok(Put::Full);
        }
        fs::hard_link(&self.path, inbox.path.join(&self.name))?;
        Ok(Put::There)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes all inboxes of one node.
pub(crate) fn remove(directory: &Path, node: NodeId) -> io::Result<()> {
    for inbox in all(directory)? {
        if inbox.node == node.to_string() {
            let _ = fs::remove_dir_all(inbox.path);
        }
    }
    Ok(())
}

/// The names of the frames in an inbox.
fn frames_in(inbox: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(inbox)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains('-') {
            names.push(name);
        }
    }
    Ok(names)
}
