//! Transports: fast when they work, harmless when they do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use invalidation_core::{
    CacheName, ClusterName, Entry, ErrorKind, Invalidation, InvalidationLog, MemoryHub, MemoryLog,
    Node, NodeId, Scope, Sender,
    frame::{Carried, Envelope, Message, Standing, encode},
};
use support::{Table, eventually, holds, never, on, read, users, via};

fn user(key: i64) -> Entry {
    let cache = CacheName::new("users").unwrap();
    Entry::new(Invalidation::Cache {
        cache,
        scope: Scope::keys([key.to_string()]),
    })
}

fn frame(origin: NodeId, sequence: u64, entry: Entry, standing: Standing) -> Bytes {
    encode(&Envelope {
        cluster: ClusterName::new("test").unwrap(),
        origin,
        sequence,
        message: Message::Invalidations(vec![Carried { entry, standing }]),
    })
}

/// A poll interval so long that only the fast path can have done it.
const NEVER: Duration = Duration::from_secs(300);

/// The fast path delivers without the log, and the log then skips what it delivered (P8).
#[tokio::test(start_paused = true)]
async fn p8_what_the_fast_path_proved_costs_no_second_miss() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let a = on(&log).transport(via(&hub)).start().await.unwrap();
    let b = on(&log).transport(via(&hub)).start().await.unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_b, &table, 1).await;
    table.write(1, 2);
    let receipt = at_a.invalidate(&1).await.unwrap();
    assert!(
        receipt
            .published()
            .await
            .iter()
            .all(|published| published.is_complete())
    );
    eventually("gone", async || !holds(&at_b, 1)).await;
    assert_eq!(read(&at_b, &table, 1).await, 2);
    never(
        "dropped again by the log",
        Duration::from_secs(3),
        async || !holds(&at_b, 1),
    )
    .await;
}

/// P8: the same frame twice costs one miss, however much later it comes again.
#[tokio::test(start_paused = true)]
async fn p8_a_duplicate_frame_costs_no_second_miss() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = on(&log).transport(inbound.clone()).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    let entry = user(1);
    let identity = log.append(std::slice::from_ref(&entry)).await.unwrap()[0]
        .identity
        .clone();
    let bytes = frame(NodeId::random(), 1, entry, Standing::Proven(Some(identity)));
    inbound
        .faults()
        .inject(bytes.clone(), Sender::Authenticated);
    eventually("gone", async || !holds(&cache, 1)).await;
    read(&cache, &table, 1).await;
    inbound.faults().inject(bytes, Sender::Authenticated);
    never("dropped again", Duration::from_secs(3), async || {
        !holds(&cache, 1)
    })
    .await;
}

/// P8: a frame that overtakes its commit lets a node reload the old row; the log entry mends it, since a
/// claimed frame never makes the log be skipped.
#[tokio::test(start_paused = true)]
async fn p8_an_early_claim_is_mended_by_the_log() {
    early_frame(&MemoryLog::new(), Standing::Claimed, Sender::Authenticated).await;
}

/// P18: nor does a frame of nobody knows whom, even if it says that it is proven.
#[tokio::test(start_paused = true)]
async fn p18_a_forged_proof_is_mended_by_the_log() {
    let log = MemoryLog::new();
    let identity = log.append(&[user(99)]).await.unwrap()[0].identity.clone();
    early_frame(&log, Standing::Proven(Some(identity)), Sender::Unknown).await;
}

async fn early_frame(log: &MemoryLog, standing: Standing, sender: Sender) {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = on(log).transport(inbound.clone()).start().await.unwrap();
    let cache = users(&node);
    let entry = user(1);
    table.write(1, 1);
    read(&cache, &table, 1).await;
    inbound
        .faults()
        .inject(frame(NodeId::random(), 1, entry.clone(), standing), sender);
    eventually("the early frame is applied", async || !holds(&cache, 1)).await;
    assert_eq!(
        read(&cache, &table, 1).await,
        1,
        "the old row, from before the commit"
    );
    table.write(1, 2);
    log.append(&[entry]).await.unwrap();
    eventually("mended", async || read(&cache, &table, 1).await == 2).await;
}

/// P8: half of a split entry proves only its half: the log entry is applied all the same.
#[tokio::test(start_paused = true)]
async fn p8_half_an_entry_proves_only_its_half() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = on(&log).transport(inbound.clone()).start().await.unwrap();
    let cache = users(&node);
    let name = CacheName::new("users").unwrap();
    let whole = Entry::new(Invalidation::Cache {
        cache: name,
        scope: Scope::keys(["1", "2"]),
    });
    let half = Entry {
        nonce: whole.nonce,
        ..user(1)
    };
    read(&cache, &table, 2).await;
    let identity = log.append(&[whole]).await.unwrap()[0].identity.clone();
    let proven = Standing::Proven(Some(identity));
    inbound.faults().inject(
        frame(NodeId::random(), 1, half, proven),
        Sender::Authenticated,
    );
    eventually("the other half is applied from the log", async || {
        !holds(&cache, 2)
    })
    .await;
}

/// P15: with transports that lose, double, mix up and cut, every node converges through the log.
#[tokio::test(start_paused = true)]
async fn p15_confused_transports_change_nothing() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let (out, inbound) = (via(&hub), via(&hub));
    let a = on(&log).transport(out.clone()).start().await.unwrap();
    let b = on(&log).transport(inbound.clone()).start().await.unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    for round in 1..60_u64 {
        match round % 6 {
            0 => out.faults().lose_sent(1),
            1 => out.faults().duplicate_sent(true),
            2 => out.faults().hold_sent(),
            3 => inbound.faults().cut(),
            4 => inbound
                .faults()
                .inject(Bytes::from_static(b"\x07nonsense"), Sender::Authenticated),
            _ => {
                while out.faults().release(out.faults().held().saturating_sub(1)) {}
                out.faults().heal();
                out.faults().duplicate_sent(false);
                inbound.faults().heal();
            }
        }
        let key = (round % 5) as i64;
        table.write(key, round);
        drop(at_a.invalidate(&key).await.unwrap());
        eventually("b converges", async || {
            read(&at_b, &table, key).await == round
        })
        .await;
    }
}

/// P16: a transport that never answers delays no one who invalidates, and an ended one neither.
#[tokio::test(start_paused = true)]
async fn p16_a_hanging_transport_delays_nobody() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let out = via(&hub);
    let node = on(&log).transport(out.clone()).start().await.unwrap();
    let cache = users(&node);
    out.faults().publishes().hang();
    let began = tokio::time::Instant::now();
    let mut receipts = Vec::new();
    for key in 0..5_000 {
        read(&cache, &table, key).await;
        receipts.push(cache.invalidate(&key).await.unwrap());
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "virtual time stands still unless somebody waits"
    );
    let published = receipts.remove(0).published().await;
    assert_eq!(
        published[0].frames[0].as_ref().unwrap_err().kind,
        ErrorKind::TimedOut
    );
}

/// P10: after a cut link is subscribed again, the log is read at once: not a poll interval later.
#[tokio::test(start_paused = true)]
async fn p10_a_lost_link_is_a_gap_once_it_is_back() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = on(&log)
        .poll_interval(NEVER)
        .transport(inbound.clone())
        .start()
        .await
        .unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    inbound.faults().cut();
    log.append(&[user(1)]).await.unwrap();
    never(
        "gone while the link is down",
        Duration::from_secs(5),
        async || !holds(&cache, 1),
    )
    .await;
    inbound.faults().heal();
    eventually("gone", async || !holds(&cache, 1)).await;
}

/// P10, P12: a frame that cannot be decoded, a hole in the sequence and a doorbell each make the node read
/// the log now.
#[tokio::test(start_paused = true)]
async fn p10_p12_gaps_and_doorbells_read_the_log_now() {
    for case in 0..4 {
        let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
        let inbound = via(&hub);
        let node = on(&log)
            .poll_interval(NEVER)
            .transport(inbound.clone())
            .start()
            .await
            .unwrap();
        let cache = users(&node);
        let origin = NodeId::random();
        let say = |sequence| {
            inbound.faults().inject(
                frame(origin, sequence, user(50), Standing::Claimed),
                Sender::Authenticated,
            )
        };
        say(1);
        read(&cache, &table, 1).await;
        log.append(&[user(1)]).await.unwrap();
        never("nobody said anything", Duration::from_secs(5), async || {
            !holds(&cache, 1)
        })
        .await;
        match case {
            0 => inbound
                .faults()
                .inject(Bytes::from_static(b"\xffwhat"), Sender::Authenticated),
            1 => say(3),
            2 => inbound.faults().inject(
                frame(NodeId::random(), 2, user(51), Standing::Claimed),
                Sender::Authenticated,
            ),
            _ => inbound.faults().inject_nudge(),
        }
        eventually("the log is read", async || !holds(&cache, 1)).await;
    }
}

/// A frame of another cluster on the same wire is none of our business.
#[tokio::test(start_paused = true)]
async fn p18_frames_of_another_cluster_change_nothing() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let node = on(&log).transport(via(&hub)).start().await.unwrap();
    let cache = users(&node);
    let other = Node::builder("other")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    read(&cache, &table, 1).await;
    other.invalidate_everything().await.unwrap();
    never("dropped", Duration::from_secs(3), async || {
        !holds(&cache, 1)
    })
    .await;
}

/// P10: without a log a gap is a flush, and a lost tail is found by the heartbeat.
#[tokio::test(start_paused = true)]
async fn p10_without_a_log_a_heartbeat_finds_the_lost_tail() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let out = via(&hub);
    let a = Node::builder("test")
        .transport(out.clone())
        .start()
        .await
        .unwrap();
    let b = Node::builder("test")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_b, &table, 1).await;
    drop(at_a.invalidate(&7).await.unwrap());
    never(
        "a hears nothing wrong",
        Duration::from_secs(3),
        async || !holds(&at_b, 1),
    )
    .await;
    out.faults().lose_sent(1);
    drop(at_a.invalidate(&1).await.unwrap());
    eventually("flushed", async || !holds(&at_b, 1)).await;
}

/// P10: without a log, an origin that dies with its last frame lost is a gap by its silence.
#[tokio::test(start_paused = true)]
async fn p10_without_a_log_silence_is_a_flush() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let out = via(&hub);
    let a = Node::builder("test")
        .transport(out.clone())
        .start()
        .await
        .unwrap();
    let b = Node::builder("test")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_b, &table, 1).await;
    never("a is heard", Duration::from_secs(5), async || {
        !holds(&at_b, 1)
    })
    .await;
    out.faults().swallow(true);
    table.write(1, 2);
    drop(at_a.invalidate(&1).await.unwrap());
    drop((at_a, a));
    eventually("flushed", async || !holds(&at_b, 1)).await;
}

/// P10: a farewell that says no more than was heard is no gap.
#[tokio::test(start_paused = true)]
async fn p10_without_a_log_a_farewell_is_no_gap() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let a = Node::builder("test")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let b = Node::builder("test")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let at_b = users(&b);
    read(&at_b, &table, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // Virtual: some heartbeats.
    a.shutdown(Duration::from_secs(5)).await.unwrap();
    never("flushed", Duration::from_secs(8), async || !holds(&at_b, 1)).await;
}

/// P8: without a log a claimed frame is refused, since nothing would mend it.
#[tokio::test(start_paused = true)]
async fn p8_without_a_log_claims_are_refused() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = Node::builder("test")
        .transport(inbound.clone())
        .start()
        .await
        .unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    let say = |sequence, standing| {
        inbound.faults().inject(
            frame(NodeId::from_bytes([7; 16]), sequence, user(1), standing),
            Sender::Authenticated,
        );
    };
    say(1, Standing::Claimed);
    never("applied", Duration::from_secs(2), async || {
        !holds(&cache, 1)
    })
    .await;
    say(2, Standing::Proven(None));
    eventually("applied", async || !holds(&cache, 1)).await;
}
