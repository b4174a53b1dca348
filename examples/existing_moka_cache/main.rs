//! A service already has a `moka` cache, and wants to keep it: attach it to a node.
//!
//! ```sh
//! cargo run --example existing_moka_cache
//! ```
//!
//! `prices.rs` is the part to copy: a target with `apply` and `flush`, a [`Fence`](cache_invalidation::Fence) around
//! the loads, and a [`Lease`](cache_invalidation::Lease) before the lookups. This file plays a second node that
//! invalidates, and shows what each of the three is for. Log and transport are those in memory, so that it all runs
//! in one process; with others nothing here changes.
#![allow(
    clippy::print_stdout,
    reason = "a program for the terminal: standard output is what it is for"
)]

mod prices;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::ensure;
use cache_invalidation::{
    CacheName, ErrorKind, MemoryHub, MemoryLog, MemoryTransport, Node, Scope,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::prices::{NAME, Prices};

/// No price is staler than this, whatever fails.
const MAX_STALENESS: Duration = Duration::from_millis(500);
/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(10);
/// An article.
const TEA: u64 = 7;

/// What stands for the database: the price of tea.
static TABLE: AtomicU64 = AtomicU64::new(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (log, hub) = (MemoryLog::new(), MemoryHub::new());
    // Each node with a handle of its own on the one log, so that it can be taken away from one alone.
    let here_log = log.connect();
    let here = node(here_log.clone(), &hub).await?;
    let there = node(log.connect(), &hub).await?;
    let prices = Prices::attach(&here, MAX_STALENESS)?;

    dropped_when_another_node_writes(&prices, &there).await?;
    not_kept_when_a_load_was_overtaken(&prices, &there).await?;
    what_moka_does_alone().await?;
    not_trusted_when_the_log_is_away(&prices, &here_log).await?;

    drop(prices);
    there.shutdown(Duration::from_secs(1)).await?;
    here.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}

async fn node(log: MemoryLog, hub: &MemoryHub) -> Result<Node, cache_invalidation::Error> {
    Node::builder("shop")
        .log(log)
        .transport(MemoryTransport::new(hub))
        .poll_interval(Duration::from_millis(100))
        .start()
        .await
}

/// Changes the price, and tells all nodes.
async fn write(price: u64, node: &Node) -> anyhow::Result<()> {
    TABLE.store(price, Ordering::SeqCst);
    let scope = Scope::keys([TEA.to_string()]);
    node.changes()
        .scope(CacheName::new(NAME)?, scope)
        .publish()
        .await?;
    Ok(())
}

async fn load() -> u64 {
    TABLE.load(Ordering::SeqCst)
}

async fn dropped_when_another_node_writes(prices: &Prices, there: &Node) -> anyhow::Result<()> {
    prices.get(TEA, load()).await;
    ensure!(prices.holds(TEA).await, "the price should be cached");
    write(101, there).await?;
    let started = Instant::now();
    while prices.holds(TEA).await {
        ensure!(started.elapsed() < DEADLINE, "the old price was kept");
        sleep(Duration::from_millis(1)).await;
    }
    let price = prices.get(TEA, load()).await;
    ensure!(price == 101, "the new price should be loaded, not {price}");
    println!(
        "attach: another node wrote, and moka dropped the old price; the next read gave {price}"
    );
    Ok(())
}

async fn not_kept_when_a_load_was_overtaken(prices: &Prices, there: &Node) -> anyhow::Result<()> {
    write(102, there).await?;
    until_dropped(prices).await?;
    let (go_on, wait) = oneshot::channel();
    // A load that has read the old price, and is slow to come back with it.
    let slow = async {
        let price = load().await;
        let _ = wait.await;
        price
    };
    let overtake = async {
        write(103, there).await?;
        // Seen here, too, before the load ends.
        sleep(Duration::from_millis(300)).await;
        let _ = go_on.send(());
        anyhow::Ok(())
    };
    let (price, written) = tokio::join!(prices.get(TEA, slow), overtake);
    written?;
    ensure!(
        !prices.holds(TEA).await,
        "a price that was overtaken was kept"
    );
    let next = prices.get(TEA, load()).await;
    ensure!(next == 103, "the new price should be loaded, not {next}");
    println!(
        "fence:  a load of {price} was overtaken by a write; who waited for it got {price}, and it was not kept: the next read gave {next}"
    );
    Ok(())
}

async fn until_dropped(prices: &Prices) -> anyhow::Result<()> {
    let started = Instant::now();
    while prices.holds(TEA).await {
        ensure!(started.elapsed() < DEADLINE, "the old price was kept");
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The same with moka's own single flight, and `invalidate` in the middle of the load.
async fn what_moka_does_alone() -> anyhow::Result<()> {
    let cache = moka::future::Cache::<u64, u64>::new(10);
    let (began, begun) = oneshot::channel();
    let (go_on, wait) = oneshot::channel();
    let slow = cache.get_with(TEA, async {
        let price = load().await;
        let _ = began.send(());
        let _ = wait.await;
        price
    });
    let overtake = async {
        let _ = begun.await;
        TABLE.store(104, Ordering::SeqCst);
        cache.invalidate(&TEA).await;
        let _ = go_on.send(());
    };
    tokio::join!(slow, overtake);
    match cache.get(&TEA).await {
        Some(price) if price != load().await => println!(
            "        moka alone keeps what was overtaken: it serves {price} until its TTL, while the price is {}",
            load().await
        ),
        kept => println!("        moka alone kept {kept:?} this time"),
    }
    Ok(())
}

async fn not_trusted_when_the_log_is_away(prices: &Prices, log: &MemoryLog) -> anyhow::Result<()> {
    TABLE.store(105, Ordering::SeqCst);
    log.faults().reads().fail_all(ErrorKind::Unavailable);
    sleep(MAX_STALENESS).await;
    // Nobody told this node, and nobody could have: only the lease knows that it may have missed something.
    let price = prices.get(TEA, load()).await;
    ensure!(
        price == 105,
        "a price of before the outage was served: {price}"
    );
    ensure!(
        prices.holds(TEA).await,
        "the old price should still be there, unserved"
    );
    log.faults().reads().heal();
    println!(
        "lease:  the log could not be read for {MAX_STALENESS:?}; the cached price was not trusted, and {price} was loaded instead"
    );
    Ok(())
}
