//! The members of the cluster: the processes of one host, each with a file that it holds a lock on.
//!
//! They stand in a folder beside the database, `app.db-members`. The system gives a lock back when its process ends,
//! however it ends, so that nobody needs a heartbeat, a clock, or a write to the business's own database: who is there is
//! who holds a lock. Whoever finds a file without one takes it out.
//!
//! A file is made and locked under another name, and gets its own when it says all. One whose node moves is written
//! anew in place: were it replaced, somebody could take the new one for the old.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use invalidation_core::{MAX_MEMBERS, Member, Members, NodeId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How often a read looks who is there.
const INTERVAL: Duration = Duration::from_secs(1);

/// The largest address, in bytes.
const MAX_ADDRESS: u64 = 1_024;

/// What the files of the folder say, and the one of this node.
#[derive(Debug)]
pub(crate) struct Muster {
    pub(crate) members: Members,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    due: Instant,
    own: Option<Own>,
    /// Whether it was said that something is wrong.
    told: bool,
}

/// This node's file, which is locked as long as it is open.
#[derive(Debug)]
struct Own {
    file: File,
    path: PathBuf,
    says: Member,
}

impl Muster {
    pub(crate) fn new() -> Self {
        Self {
            members: Members::new(),
            state: Mutex::new(State {
                due: Instant::now(),
                own: None,
                told: false,
            }),
        }
    }

    /// Announces this node and looks for the others, when it is time. A read of the log does it beside, and does not
    /// fail for its sake (`P15`).
    pub(crate) fn look(&self, database: &Path) {
        let own = self.members.own();
        if own.is_none() && !self.members.is_watched() {
            return;
        }
        let mut state = self.state.lock();
        let is_new = own.as_ref() != state.own.as_ref().map(|own| &own.says);
        let now = Instant::now();
        // Something new is said at once, unless it could not be said a moment ago.
        if now < state.due && (!is_new || state.told) {
            return;
        }
        state.due = now + INTERVAL;
        match state.muster(own, is_new, database) {
            Ok(others) => {
                self.members.learn(others);
                state.told = false;
            }
            Err(error) => {
                if !state.told {
                    tracing::warn!(
                        %error,
                        database = %database.display(),
                        "the node cannot tell its peers how it is reached, or look for them, in the folder beside the \
                         database whose name ends with -members: give it the right to write there"
                    );
                }
                state.told = true;
            }
        }
    }

    /// Takes this node's file out.
    pub(crate) fn leave(&self) {
        if let Some(own) = self.state.lock().own.take() {
            // Without its lock it is as good as gone.
            let _ = fs::remove_file(&own.path);
        }
    }
}

impl Drop for Muster {
    fn drop(&mut self) {
        self.leave();
    }
}

impl State {
    fn muster(
        &mut self,
        own: Option<Member>,
        is_new: bool,
        database: &Path,
    ) -> io::Result<Vec<Member>> {
        let folder = folder(database)?;
        // Also when somebody took the file or its folder away.
        let is_gone = self.own.as_ref().is_some_and(|own| !own.is_at(&folder));
        let announced = match own {
            Some(own) if is_new || is_gone => self.announce(own, &folder),
            _ => Ok(()),
        };
        let others = others(&folder, self.own.as_ref().map(|own| own.says.node));
        announced.and(others)
    }

    fn announce(&mut self, says: Member, folder: &Path) -> io::Result<()> {
        match &mut self.own {
            Some(own) if own.says.node == says.node && own.is_at(folder) => own.say(says),
            _ => {
                self.own = Some(Own::make(says, folder)?);
                Ok(())
            }
        }
    }
}

impl Own {
    fn make(says: Member, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(says.node.to_string());
        let unfinished = folder.join(format!(".{}", says.node));
        let file = File::create(&unfinished)?;
        file.try_lock()?;
        let mut own = Self {
            file,
            path,
            says: says.clone(),
        };
        own.say(says)?;
        fs::rename(unfinished, &own.path)?;
        Ok(own)
    }

    /// The line end tells that it is whole.
    fn say(&mut self, says: Member) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file
            .write_all(format!("{}\n", says.address).as_bytes())?;
        self.says = says;
        Ok(())
    }

    fn is_at(&self, folder: &Path) -> bool {
        self.path.parent() == Some(folder) && self.path.exists()
    }
}

/// Beside the file itself, by whatever name this process knows it.
fn folder(database: &Path) -> io::Result<PathBuf> {
    let mut folder = fs::canonicalize(database)?.into_os_string();
    folder.push("-members");
    Ok(folder.into())
}

fn others(folder: &Path, own: Option<NodeId>) -> io::Result<Vec<Member>> {
    let entries = match fs::read_dir(folder) {
        // Nobody has announced himself yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut others = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(node) = name.and_then(node) else {
            continue;
        };
        if Some(node) == own || others.len() >= MAX_MEMBERS {
            continue;
        }
        if let Some(address) = address(&path)? {
            others.push(Member::new(node, address));
        }
    }
    Ok(others)
}

fn node(name: &str) -> Option<NodeId> {
    let plain = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(name, 16).ok().filter(|_| plain)?;
    Some(NodeId::from_bytes(number.to_be_bytes()))
}

/// What the file says, if its node lives; else it is taken out.
fn address(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        // It left a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {
            // Who may not take it out leaves that to another.
            let _ = fs::remove_file(path);
            return Ok(None);
        }
    }
    let mut text = String::new();
    let read = Read::by_ref(&mut file)
        .take(MAX_ADDRESS)
        .read_to_string(&mut text);
    Ok(read
        .ok()
        .and_then(|_| text.strip_suffix('\n').map(str::to_owned)))
}
