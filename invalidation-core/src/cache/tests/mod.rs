//! The promises of the cache, each shown with a hand-made context: no node, a clock moved by hand, Tokio's
//! paused time.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at the place"
)]

mod bypass;
mod entries;
mod fixture;
mod flights;
mod freshness;
mod limits;
mod quarantine;
mod racing;
mod setup;
mod store;
