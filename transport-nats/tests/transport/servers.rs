//! Several servers: lists of which some are away, and a cluster.

use std::{net::TcpListener, time::Duration};

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind, Subscription};
use invalidation_testbed::{Proxy, Server};
use invalidation_transport_nats::NatsTransport;
use libtest_mimic::Trial;

use crate::stage::{
    Bed, PATIENCE, Setup, builder, fresh_cluster, hear, node, publish, subscribe, trial, trial_of,
    trial_on, works,
};

/// Between two frames.
const PAUSE: Duration = Duration::from_millis(20);

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
    // Nobody is told when both know of it: at the latest when the gap comes, on a machine that is not busy.
    let heard = comes(&at_one, "of one", &to, &mut subscription, "gap: link_lost").await;
    assert!(
        !heard.iter().any(|told| told.starts_with("end")),
        "{heard:?}"
    );
    comes(
        &at_one,
        "once more of one",
        &to,
        &mut subscription,
        "once more of one",
    )
    .await;
    comes(&at_two, "of two", &to, &mut subscription, "of two").await;
    one.kill().unwrap();
    // It may have been at either.
    comes(&at_two, "after", &to, &mut subscription, "after").await;
    comes(&to, "from it", &to, &mut subscription, "from it").await;
}

/// Publishes this, again and again, until that is told, and subscribes anew after an end. What else was told before.
async fn comes(
    from: &NatsTransport,
    text: &'static str,
    to: &NatsTransport,
    subscription: &mut Subscription,
    awaited: &str,
) -> Vec<String> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut before = Vec::new();
    loop {
        assert!(
            tokio::time::Instant::now() < deadline,
            "expected {awaited:?}, and got {before:?}"
        );
        drop(publish(from, text).await);
        while let Ok(told) = tokio::time::timeout(PAUSE, hear(subscription)).await {
            if told == awaited {
                return before;
            }
            if told.starts_with("end") {
                *subscription = subscribe(to).await;
            }
            before.push(told);
        }
    }
}
