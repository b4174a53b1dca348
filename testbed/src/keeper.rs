//! The shell that outlives the test process, to clear away what it started.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;

/// Waits for the end of its input, then kills what has `$MARK` in its command line, until nothing has, and
/// removes `$FOLDER`. Neither may stand in the keeper's own command line, nor in that of what it calls.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
PATH=/usr/bin:/bin
read -r _
tries=0
while [ $tries -lt 100 ]; do
    found=$(printf %s "$MARK" | grep -lasF -f - /proc/[0-9]*/cmdline)
    [ -n "$found" ] || break
    for file in $found; do
        process=${file#/proc/}
        kill -9 "${process%/cmdline}"
    done
    sleep 0.05
    tries=$((tries + 1))
done
rm -rf "$FOLDER"
"#;

/// The folder of this process's servers, and its keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    folder: PathBuf,
    next: AtomicU32,
    /// Holds the writing end of the pipe: closed by the kernel, however this process ends.
    _shell: Child,
}

impl Keeper {
    /// The one of this process, started at the first call.
    pub(crate) fn of_this_process() -> Result<&'static Self, Error> {
        static KEEPER: OnceLock<Result<Keeper, Error>> = OnceLock::new();
        KEEPER
            .get_or_init(Self::start)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn start() -> Result<Self, Error> {
        let base = std::env::temp_dir();
        let folder = tempfile::Builder::new()
            .prefix("invalidation-testbed-")
            // Servers that run under another account must get through.
            .permissions(std::fs::Permissions::from_mode(0o711))
            .tempdir_in(&base)
            .map_err(Error::io(format!("make a folder in {}", base.display())))?;
        let name = folder.path().file_name().unwrap_or_default();
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env("MARK", name)
            .env("FOLDER", folder.path())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start /bin/sh, which clears away after the test"))?;
        Ok(Self {
            folder: folder.keep(),
            next: AtomicU32::new(1),
            _shell: shell,
        })
    }

    /// A path for one more server's folder, and its mark. No mark is the beginning of another.
    pub(crate) fn next(&self, name: &str) -> (PathBuf, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let own = format!("{number}-{name}");
        let base = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let mark = Path::new(base.as_ref()).join(&own);
        (self.folder.join(own), mark.to_string_lossy().into_owned())
    }
}
