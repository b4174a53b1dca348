//! Anything that may happen to the key, in any order.

use std::net::SocketAddr;

use invalidation_core::InvalidationLog as _;
use invalidation_transport_redis::RedisLog;
use libtest_mimic::Trial;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::bed::{Reader, cluster, connection, key, node, own, run, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "stress::whatever_happens_is_read_or_told",
        own,
        async |server| {
            for seed in 0..20 {
                whatever_happens(server.address(), seed).await;
            }
        },
    )]
}

/// A reader, and what was acknowledged since it last read to the end, or was told of a gap.
struct Watched<'a> {
    reader: Reader<'a>,
    missing: Vec<String>,
    gaps: u32,
}

impl Watched<'_> {
    async fn read(&mut self, seed: u64, steps: &[String]) {
        match self.reader.read().await {
            Ok(found) => assert_eq!(
                found, self.missing,
                "P1: seed {seed}: neither read nor told, after {steps:#?}"
            ),
            Err(_) => self.gaps += 1,
        }
        self.missing.clear();
    }
}

/// P1, P10, P13: after any sequence of appends, purges, deletions by hand and restores each reader has read each entry once,
/// or was told.
async fn whatever_happens(to: SocketAddr, seed: u64) {
    const STEPS: u32 = 60;
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = cluster();
    let (writer, other, third) = (
        node(to, &cluster).await,
        node(to, &cluster).await,
        node(to, &cluster).await,
    );
    let mut readers = Vec::new();
    for log in [&writer, &other, &third] {
        readers.push(Watched {
            reader: Reader::cold(log).await,
            missing: Vec::new(),
            gaps: 0,
        });
    }
    let (mut steps, mut dumps) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        let what = random.random_range(0..100);
        let done = match what {
            0..50 => {
                let texts: Vec<_> = (0..random.random_range(1..4))
                    .map(|part| format!("{step}/{part}"))
                    .collect();
                let entries: Vec<_> = texts.iter().map(key).collect();
                let log = [&writer, &other][random.random_range(0..2)];
                log.append(&entries).await.unwrap();
                for watched in &mut readers {
                    watched.missing.extend(texts.iter().cloned());
                }
                format!("append {texts:?}")
            }
            50..60 => {
                let purged = writer.purge(std::time::Duration::ZERO).await.unwrap();
                format!("{purged:?}")
            }
            60..66 => {
                let keep = random.random_range(0..4).to_string();
                let _: u64 = run(to, &["XTRIM", writer.key(), "MAXLEN", &keep]).await;
                format!("trim to {keep}")
            }
            66..76 => delete_one(to, &writer, &mut random).await,
            76..80 => {
                let dump: Option<Vec<u8>> = run(to, &["DUMP", writer.key()]).await;
                dumps.extend(dump);
                "dump".to_owned()
            }
            80..86 if !dumps.is_empty() => {
                let dump = &dumps[random.random_range(0..dumps.len())];
                let mut command = redis::cmd("RESTORE");
                command.arg(writer.key()).arg(0).arg(dump).arg("REPLACE");
                let () = command
                    .query_async(&mut connection(to).await)
                    .await
                    .unwrap();
                // Who wrote or read what is gone tells the others, once it asks.
                for log in [&writer, &other, &third] {
                    log.head().await.unwrap();
                }
                format!("restore one of {}", dumps.len())
            }
            86..89 => {
                let _: u64 = run(to, &["DEL", writer.key()]).await;
                "delete".to_owned()
            }
            89..91 => {
                let () = run(to, &["SCRIPT", "FLUSH"]).await;
                "forget scripts".to_owned()
            }
            _ => "nothing".to_owned(),
        };
        steps.push(done);
        for watched in &mut readers {
            if random.random_range(0..3) == 0 {
                watched.read(seed, &steps).await;
            }
        }
    }
    for watched in &mut readers {
        watched.read(seed, &steps).await;
        // A gap is told once.
        watched.read(seed, &steps).await;
        assert!(
            watched.gaps < STEPS / 2,
            "P20: seed {seed}: {} gaps in {steps:#?}",
            watched.gaps
        );
    }
}

/// Deletes a row of any place, often the newest.
async fn delete_one(to: SocketAddr, log: &RedisLog, random: &mut StdRng) -> String {
    let rows: Vec<(String, Vec<String>)> = run(to, &["XRANGE", log.key(), "-", "+"]).await;
    let at = match random.random_range(0..3) {
        0 => rows.len().checked_sub(1),
        _ => (!rows.is_empty()).then(|| random.random_range(0..rows.len())),
    };
    let Some(at) = at else {
        return "nothing to delete".to_owned();
    };
    let _: u64 = run(to, &["XDEL", log.key(), &rows[at].0]).await;
    format!("delete {}", rows[at].0)
}
