//! Several servers: lists of which some are away, and a cluster.

use std::{net::TcpListener, time::Duration};

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;

use crate::stage::{
    Bed, PATIENCE, Setup, builder, fresh_cluster, hear, node, publish, subscribe, trial, trial_of,
    trial_on, within, works,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("one_of_the_list_is_enough", one_of_the_list_is_enough),
        trial(
            "a_silent_one_of_the_list_takes_its_share",
            a_silent_one_of_the_list_takes_its_share,
        ),
        trial_on(
            "who_refuses_is_told_before_who_is_away",
            || Setup::new("authorization { token: right }"),
            who_refuses_is_told_before_who_is_away,
        ),
        trial_of(
            "a_cluster_carries_on_when_one_is_killed",
            || Server::nats_cluster(2, &[]),
            a_cluster_carries_on_when_one_is_killed,
        ),
    ]
}

/// Where nobody listens.
fn nowhere() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

async fn one_of_the_list_is_enough(nats: &'static Server) {
    let url = format!("nats://{},{},{}", nowhere(), nats.address(), nowhere());
    for _ in 0..5 {
        works(&node(&fresh_cluster(), &url)).await;
    }
}

async fn a_silent_one_of_the_list_takes_its_share(nats: &'static Server) {
    let proxy = Proxy::to(nats.address()).unwrap();
    proxy.black_hole();
    let url = format!("nats://{},{}", proxy.address(), nats.address());
    for _ in 0..5 {
        let node = builder(&fresh_cluster(), &url)
            .publish_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        works(&node).await;
    }
}

/// An operator must mend it, whatever else is wrong.
async fn who_refuses_is_told_before_who_is_away(bed: Bed) {
    let url = format!("nats://wrong@{},{}", bed.server.address(), nowhere());
    for _ in 0..5 {
        let error = node("x", &url).probe().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
}

/// Nodes at different servers hear each other, and go to the one that is left. A subscription at one of several tells a
/// gap when the others must know of it.
async fn a_cluster_carries_on_when_one_is_killed(servers: Vec<Server>) {
    let [one, two] = &servers[..] else {
        panic!("expected two servers")
    };
    let cluster = fresh_cluster();
    let urls = format!("nats://{},{}", one.address(), two.address());
    let to = builder(&cluster, &urls)
        .notices_loss_within(Duration::from_secs(2))
        .build()
        .unwrap();
    let (at_one, at_two) = (node(&cluster, &one.url()), node(&cluster, &two.url()));
    let mut subscription = subscribe(&to).await;
    // When both know of it, which nobody is told of, but at the latest when the gap comes.
    let mut told = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !told.contains(&"gap: link_lost".to_owned()) {
        assert!(tokio::time::Instant::now() < deadline, "expected a gap");
        publish(&at_one, "of one").await.unwrap();
        publish(&at_two, "of two").await.unwrap();
        told.push(hear(&mut subscription).await);
    }
    while hear(&mut subscription).await != "of one" {}
    while hear(&mut subscription).await != "of two" {}
    one.kill().unwrap();
    // It may have been at either.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "expected a frame");
        drop(within("publish", publish(&at_two, "after")).await);
        match hear(&mut subscription).await.as_str() {
            "after" => break,
            "of one" | "of two" | "gap: overflow" => {}
            end if end.starts_with("end") => subscription = subscribe(&to).await,
            other => panic!("expected a frame or an end, and got {other}"),
        }
    }
    publish(&to, "from it").await.unwrap();
    while hear(&mut subscription).await != "from it" {}
}
