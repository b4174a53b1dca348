//! Two servers that are not one cluster, in one URL.

use std::time::Duration;

use invalidation_core::{
    Error, ErrorKind, GapReason, InvalidationLog as _, Page, ReadRequest, ReadStart, Retry, Tick,
};
use invalidation_testbed::{Backend, Proxy, Server};
use invalidation_transport_nats::{NatsLog, NatsLogBuilder};
use libtest_mimic::Trial;

use crate::{
    jetstream::{PASSWORD, USER},
    stage::{CLUSTER, Reader, append, eventually, key, node, operator, trial_of},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_of("servers_apart_are_refused", two, servers_apart_are_refused),
        trial_of(
            "who_writes_elsewhere_than_it_reads_is_told",
            two,
            who_writes_elsewhere_than_it_reads_is_told,
        ),
        trial_of(
            "a_server_that_is_away_is_no_server_apart",
            two,
            a_server_that_is_away_is_no_server_apart,
        ),
    ]
}

fn two() -> Result<[Server; 2], invalidation_testbed::Error> {
    let start = || Server::start_with(Backend::Nats, &["--user", USER, "--pass", PASSWORD]);
    Ok([start()?, start()?])
}

fn builder(hosts: &str) -> NatsLogBuilder {
    NatsLog::builder(&format!("nats://{USER}:{PASSWORD}@{hosts}"))
        .cluster(CLUSTER)
        .read_timeout(Duration::from_secs(6))
        .write_timeout(Duration::from_secs(20))
}

fn is_told(refused: &Error) {
    assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
    assert_eq!(refused.retry, Retry::Permanent, "{refused}");
    assert!(refused.message.contains("not one cluster"), "{refused}");
    assert!(!refused.to_string().contains(PASSWORD), "{refused}");
}

/// P1: else half of the nodes would hear nothing of the other half.
async fn servers_apart_are_refused(servers: [Server; 2]) {
    let hosts = servers
        .each_ref()
        .map(|server| server.address().to_string());
    let log = builder(&hosts.join(",")).connect().await.unwrap();
    is_told(&log.install().await.unwrap_err());
    // Also once both have a stream.
    for server in &servers {
        node(server).await;
    }
    is_told(&log.install().await.unwrap_err());
    let again = builder(&hosts.join(",")).connect().await.unwrap();
    is_told(&again.install().await.unwrap_err());
    // One server under two names is one.
    let twice = format!("{0},localhost:{1}", hosts[0], servers[0].address().port());
    builder(&twice)
        .connect()
        .await
        .unwrap()
        .install()
        .await
        .unwrap();
}

/// P1, P4: neither an append nor a read says what it seems to when they are of two streams.
async fn who_writes_elsewhere_than_it_reads_is_told([one, other]: [Server; 2]) {
    for server in [&one, &other] {
        node(server).await;
    }
    let proxy = Proxy::to(one.address()).unwrap();
    let log = builder(&proxy.address().to_string())
        .connect()
        .await
        .unwrap();
    let mut reader = Reader::at_head(&log).await;
    proxy.lead_to(other.address());
    let before = operator(&other).await.number("last_seq").await;
    is_told(&log.append(&[key("1")]).await.unwrap_err());
    assert_eq!(operator(&other).await.number("last_seq").await, before);
    is_told(&read(&log, &reader).await.unwrap_err());
    is_told(&log.head().await.unwrap_err());

    let both_to = async |server: &Server| {
        proxy.cut();
        proxy.lead_to(server.address());
        proxy.heal();
        eventually("both connect again", async || {
            log.head().await.ok()?;
            log.purge(Duration::from_secs(3_600)).await.ok()
        })
        .await;
    };
    both_to(&one).await;
    let entries = append(&log, &["2"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
    // When both go elsewhere, a cursor tells.
    both_to(&other).await;
    append(&log, &["3"]).await;
    assert_eq!(reader.catch_up(&log).await, Err(GapReason::IdentityChanged));
    let entries = append(&log, &["4"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}

/// P16: a server that cannot be asked holds nobody up.
async fn a_server_that_is_away_is_no_server_apart([one, other]: [Server; 2]) {
    let hosts = format!("{},{}", one.address(), other.address());
    other.stop().unwrap();
    let log = builder(&hosts).connect().await.unwrap();
    log.install().await.unwrap();
    let mut reader = Reader::at_head(&log).await;
    let entries = append(&log, &["1"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
    // The next purge finds it apart, and from then on nothing is taken for whole.
    other.restart().unwrap();
    let hour = Duration::from_secs(3_600);
    is_told(&log.purge(hour).await.unwrap_err());
    is_told(&read(&log, &reader).await.unwrap_err());
    is_told(&log.head().await.unwrap_err());
    is_told(&log.append(&[key("2")]).await.unwrap_err());
    // Until one finds it mended.
    other.stop().unwrap();
    log.purge(hour).await.unwrap();
    let entries = append(&log, &["3"]).await;
    assert_eq!(reader.catch_up(&log).await, Ok(entries));
}

async fn read(log: &NatsLog, reader: &Reader) -> Result<Page, Error> {
    let start = ReadStart::new(Tick::from_nanos(9), 9);
    log.read(ReadRequest::new(&reader.cursor, start)).await
}
