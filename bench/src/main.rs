//! Side-by-side measurements: each figure stands beside a peer measured in the same run.
//!
//! `cargo run --release -p bench -- hit|hit-ratio|propagate|apply|memory|idle|writes|poll [--json]`
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

mod apply;
mod database;
mod flood;
mod hit;
mod hit_ratio;
mod idle;
mod memory;
mod poll;
mod propagate;
mod report;
mod rss;
mod setup;
mod writes;
mod zipf;

use clap::{Parser, Subcommand};

/// Side-by-side measurements of cache-invalidation and its peers.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
    /// Print one JSON object instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A hit, beside quick_cache and moka.
    Hit,
    /// Which part of the reads are hits when not all keys have room, beside quick_cache and moka.
    HitRatio,
    /// From `invalidate` to the entry gone on another node, beside the bare carrier.
    Propagate {
        /// What carries the frames.
        #[arg(long, value_enum, default_value = "http")]
        transport: propagate::Carrier,
    },
    /// Keys a second that one node applies, and what a clear costs.
    Apply,
    /// Bytes an entry, beside quick_cache, and growth over a soak.
    Memory,
    /// What a node costs that does nothing.
    Idle,
    /// Business transactions a second in PostgreSQL, with invalidation and without.
    Writes,
    /// What a poll of the log in PostgreSQL costs, beside `SELECT 1`.
    Poll,
    /// A measurement in a process of its own.
    #[command(hide = true)]
    Child { what: memory::Held },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let report = match args.bench {
        Bench::Hit => hit::run()?,
        Bench::HitRatio => hit_ratio::run()?,
        Bench::Propagate { transport } => propagate::run(transport)?,
        Bench::Apply => apply::run()?,
        Bench::Memory => memory::run()?,
        Bench::Idle => idle::run()?,
        Bench::Writes => writes::run()?,
        Bench::Poll => poll::run()?,
        Bench::Child { what } => return memory::child(what),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
