//! How much memory and time this process takes.

use std::time::Duration;

use anyhow::Context;

/// Resident memory, in bytes.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").context("reading /proc/self/statm")?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .context("no resident size in statm")?
        .parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Processor time of all threads so far.
pub(crate) fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}
