//! A broker's transport, beside bare clients of the same broker in the same run.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use cache_invalidation::{MemoryLog, NodeId, SharedLog, SharedTransport};

use super::{Bound, Figure, OPS, PACE, Path, ROUNDS, Report, Rounds, frame, median, ratio};
use crate::flood::{FRAMES, KEYS, frame_of, keys_per_second};

/// Publishes on their way at once.
pub(super) const IN_FLIGHT: usize = 32;
/// What each transport has to carry, unless the broker cannot.
const LEAST_KEYS: f64 = 500_000.0;

/// Two connections of the broker's own client library: one sends, one hears.
pub(super) trait Bare {
    /// Sends, and hears it; when it was heard.
    async fn send_and_hear(&mut self, payload: &Bytes) -> anyhow::Result<Instant>;

    /// Sends so many, up to [`IN_FLIGHT`] at once, each confirmed as the library does, and hears them all.
    async fn flood(&mut self, payload: &Bytes, frames: u64) -> anyhow::Result<()>;
}

/// `name` begins the names of the targets. `transport` makes one of the cluster with this name: each pair of nodes has its
/// own, or the broker would send to the others, too.
pub(super) async fn measure<B: Bare>(
    name: &str,
    transport: impl Fn(&str) -> anyhow::Result<SharedTransport>,
    own_log: [SharedLog; 2],
    mut bare: B,
) -> anyhow::Result<Report> {
    let log = MemoryLog::new();
    let on_memory: [SharedLog; 2] = [Arc::new(log.connect()), Arc::new(log)];
    let mut on_memory =
        Path::start(on_memory, [transport("memory")?, transport("memory")?]).await?;
    let mut on_broker = Path::start(own_log, [transport("broker")?, transport("broker")?]).await?;
    let payload = frame()?;
    let (mut memory, mut broker, mut alone) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        let measured = (
            round_of(&mut bare, &payload).await?,
            on_memory.round().await?,
            on_broker.round().await?,
        );
        if round == 0 {
            continue; // Warm.
        }
        alone.add(measured.0);
        memory.add(measured.1);
        broker.add(measured.2);
    }
    drop((on_memory, on_broker));

    let mut report = Report::new("propagate");
    for (what, rounds) in [
        ("bare client, until heard", &mut alone),
        ("memory log, until gone", &mut memory),
        ("its own log, until gone", &mut broker),
    ] {
        rounds.rows(&format!("{name}, {what}"), &mut report);
    }
    for (quantile, ours, bare, most) in [
        ("p50", &mut memory.p50, &mut alone.p50, 1.3),
        ("p99", &mut memory.p99, &mut alone.p99, 1.6),
    ] {
        let target = format!("{name}_{quantile}_vs_bare");
        report.target(target, ratio(ours, bare), Bound::AtMost(most));
    }

    let mut ours = keys_per_second(transport("flood")?, transport("flood")?, IN_FLIGHT).await?;
    let mut limit = Vec::new();
    let payload = frame_of(NodeId::random(), 1, FRAMES - 1);
    for round in 0..=ROUNDS {
        let start = Instant::now();
        bare.flood(&payload, FRAMES).await?;
        if round > 0 {
            limit.push((FRAMES * KEYS) as f64 / start.elapsed().as_secs_f64());
        }
    }
    let (ours, limit) = (median(&mut ours), median(&mut limit));
    let row = format!("{name}, bare client, 1,000 keys a frame");
    report.row(row, None, Figure::PerSecond(limit));
    let row = format!("{name}, until applied, 1,000 keys a frame");
    report.row(row, None, Figure::PerSecond(ours));
    report.target(
        format!("{name}_keys_per_s"),
        ours,
        Bound::AtLeast(LEAST_KEYS.min(limit)),
    );
    Ok(report)
}

async fn round_of(bare: &mut impl Bare, payload: &Bytes) -> anyhow::Result<Vec<f64>> {
    let mut nanos = Vec::with_capacity(OPS);
    for _ in 0..OPS {
        tokio::time::sleep(PACE).await;
        let start = Instant::now();
        let heard = bare.send_and_hear(payload).await?;
        nanos.push(heard.duration_since(start).as_nanos() as f64);
    }
    Ok(nanos)
}
