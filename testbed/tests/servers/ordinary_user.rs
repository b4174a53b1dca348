//! Where the tests run as root, an ordinary user can start the servers, too; elsewhere all other trials show it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use invalidation_testbed::{Backend, Offer, Required};
use libtest_mimic::{Completion, Failed, Trial};

use crate::hold::Holder;
use crate::left_behind::{nothing_is_left, present};

/// `nobody`, by the number it has on every Linux.
const NOBODY: u32 = 65_534;

pub(crate) fn trials() -> Vec<Trial> {
    Backend::ALL
        .into_iter()
        .map(|backend| {
            let name = format!("{backend}::starts_as_an_ordinary_user");
            Trial::ignorable_test(name, move || starts(backend))
        })
        .collect()
}

fn starts(backend: Backend) -> Result<Completion, Failed> {
    if let Offer::Ignored(absent) = Required::from_env()?.decide(present(backend))? {
        return Ok(Completion::ignored_with(absent));
    }
    if !rustix::process::getuid().is_root() {
        return Ok(Completion::ignored_with(
            "the tests run as an ordinary user already",
        ));
    }
    // A copy, as the build's folder may be closed to others. Another process makes it: a child that another trial starts
    // meanwhile would hold a file that this one is writing, and a file that is open for writing cannot be run (ETXTBSY).
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("servers");
    let copied = Command::new("cp")
        .arg(std::env::current_exe()?)
        .arg(&copy)
        .status()?;
    if !copied.success() {
        return Err(format!("cp could not copy the test: {copied}").into());
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let holder = Holder::start(copy.as_os_str(), backend.name(), "running", Some(NOBODY))?;
    let held = holder.folder.clone();
    drop(holder);
    nothing_is_left(&held)?;
    Ok(Completion::Completed)
}
