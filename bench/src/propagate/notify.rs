//! LISTEN and NOTIFY, beside one NOTIFY from a bare connection to a bare listener.

use std::{sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use cache_invalidation::{
    MemoryLog, SharedLog, SharedTransport,
    postgres::{PgLog, PgTransport},
};
use sqlx::{PgConnection, postgres::PgListener};

use super::{Bound, OPS, PACE, Path, ROUNDS, Report, Rounds, frame, ratio};
use crate::database::Database;

const CHANNEL: &str = "bare";

pub(super) async fn measure() -> anyhow::Result<Report> {
    let database = Database::start().await?;
    let log = MemoryLog::new();
    let on_memory: [SharedLog; 2] = [Arc::new(log.connect()), Arc::new(log)];
    let mut on_memory = Path::start(on_memory, transports(&database, "memory")?).await?;
    let logs = [
        PgLog::connect(&database.url()).await?,
        PgLog::connect(&database.url()).await?,
    ];
    let on_postgres = logs.map(|log| Arc::new(log) as SharedLog);
    let mut on_postgres = Path::start(on_postgres, transports(&database, "postgres")?).await?;
    let mut bare = Bare::start(&database).await?;
    let (mut memory, mut postgres, mut notify) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        let measured = (
            bare.round().await?,
            on_memory.round().await?,
            on_postgres.round().await?,
        );
        if round == 0 {
            continue; // Warm.
        }
        notify.add(measured.0);
        memory.add(measured.1);
        postgres.add(measured.2);
    }
    let mut report = Report::new("propagate");
    for (name, rounds) in [
        ("bare NOTIFY, until heard", &mut notify),
        ("NOTIFY, memory log, until gone", &mut memory),
        ("NOTIFY, PostgreSQL log, until gone", &mut postgres),
    ] {
        rounds.rows(name, &mut report);
    }
    report.target(
        "pg_p50_vs_notify",
        ratio(&mut memory.p50, &mut notify.p50),
        Bound::AtMost(1.3),
    );
    Ok(report)
}

/// Two of a cluster of their own: the server would send to others of the same name, too.
fn transports(database: &Database, cluster: &str) -> anyhow::Result<[SharedTransport; 2]> {
    let one = || PgTransport::builder(cluster).url(&database.url()).build();
    Ok([Arc::new(one()?), Arc::new(one()?)])
}

/// A connection that notifies, and one that listens.
struct Bare {
    sender: PgConnection,
    listener: PgListener,
    payload: String,
}

impl Bare {
    async fn start(database: &Database) -> anyhow::Result<Self> {
        let mut listener = PgListener::connect(&database.url()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self {
            sender: database.connect().await?,
            listener,
            payload: STANDARD_NO_PAD.encode(frame()?),
        })
    }

    async fn round(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut nanos = Vec::with_capacity(OPS);
        for _ in 0..OPS {
            tokio::time::sleep(PACE).await;
            let start = Instant::now();
            let sending = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(&self.payload)
                .execute(&mut self.sender);
            let (sent, heard) = tokio::join!(sending, self.listener.recv());
            sent?;
            anyhow::ensure!(heard?.payload() == self.payload, "another payload");
            nanos.push(start.elapsed().as_nanos() as f64);
        }
        Ok(nanos)
    }
}
