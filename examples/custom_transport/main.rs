//! A transport of your own: frames as files in a directory.
//!
//! ```sh
//! cargo run --example custom_transport                    # two nodes tell each other through files
//! cargo test -p examples --test custom_transport          # the contract, case by case
//! ```
//!
//! `directory.rs` and `inbox.rs` are the transport; `tests/custom_transport.rs` is all that the conformance suite asks
//! for. `docs/conformance.md` goes through them.
#![allow(
    clippy::print_stdout,
    reason = "a program for the terminal: standard output is what it is for"
)]

mod directory;
mod inbox;

use std::time::Duration;

use anyhow::ensure;
use cache_invalidation::{Cache, MemoryLog, Node};
use tokio::time::{Instant, sleep};

use crate::directory::DirectoryTransport;

/// So rarely that what is seen sooner came through a file.
const POLL: Duration = Duration::from_secs(30);
/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let log = MemoryLog::new();
    let here = node(log.connect(), directory.path()).await?;
    let there = node(log.connect(), directory.path()).await?;
    let prices: Cache<u64, u64> = here.cache("prices").build()?;
    let elsewhere: Cache<u64, u64> = there.cache("prices").build()?;

    let old = prices.get_or_load(&7, async || anyhow::Ok(100)).await?;
    ensure!(old == 100, "the price should be loaded");
    let started = Instant::now();
    elsewhere.invalidate(&7).await?;
    while prices.get_or_load(&7, async || anyhow::Ok(101)).await? != 101 {
        ensure!(started.elapsed() < DEADLINE, "the old price was kept");
        sleep(Duration::from_millis(1)).await;
    }
    println!(
        "the other node dropped it after {:?}; the log is polled every {POLL:?}",
        started.elapsed()
    );
    for node in [here, there] {
        node.shutdown(Duration::from_secs(1)).await?;
    }
    Ok(())
}

async fn node(
    log: MemoryLog,
    directory: &std::path::Path,
) -> Result<Node, cache_invalidation::Error> {
    Node::builder("shop")
        .log(log)
        .transport(DirectoryTransport::new(directory))
        .poll_interval(POLL)
        .start()
        .await
}
