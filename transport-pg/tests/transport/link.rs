//! The connection that listens.

use std::time::Duration;

use futures_util::poll;
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Backend, Proxy, Server};
use libtest_mimic::Trial;
use tokio::{runtime::Handle, time::Instant};

use crate::stage::{
    PATIENCE, end_sessions, fresh_cluster, hear, node, publish, subscribe, through, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_lost_link_ends_the_subscription",
            Backend::Postgres,
            a_lost_link_ends_the_subscription,
        ),
        trial(
            "a_silent_link_is_left_at_once",
            Backend::Postgres,
            a_silent_link_is_left_at_once,
        ),
        trial(
            "a_standby_is_refused",
            Backend::Postgres,
            a_standby_is_refused,
        ),
        trial(
            "an_idle_subscription_lives_on",
            Backend::Postgres,
            an_idle_subscription_lives_on,
        ),
    ]
}

/// An administrator ends the node's sessions: that is the end of the subscription. The next one is live, and what it
/// was tested with sends what comes after.
async fn a_lost_link_ends_the_subscription(postgres: &'static Server) {
    let cluster = fresh_cluster();
    let url = postgres.url();
    let node = node(&cluster, &format!("{url}?application_name={cluster}"));
    for _ in 0..3 {
        let mut subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        end_sessions(&url, &cluster).await;
        assert_eq!(hear(&mut subscription).await, "end: Unavailable");
        assert_eq!(hear(&mut subscription).await, "end");
    }
}

/// A subscription and a transport that are dropped over a silent link leave no task that waits for an answer.
async fn a_silent_link_is_left_at_once(postgres: &'static Server) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let proxy = Proxy::to(postgres.address()).unwrap();
    for closes in [true, false] {
        proxy.heal();
        let node = node(&fresh_cluster(), &through(&proxy));
        let subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        proxy.black_hole();
        assert!(poll!(Box::pin(node.subscribe())).is_pending());
        if closes {
            within("close", node.close()).await.unwrap();
        }
        drop((subscription, node));
        let deadline = Instant::now() + PATIENCE;
        while tasks() > before {
            assert!(
                Instant::now() < deadline,
                "expected {before} tasks, and {} are alive",
                tasks()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A standby takes neither LISTEN nor NOTIFY, and both say so: it is not the network.
async fn a_standby_is_refused(postgres: &'static Server) {
    let starting = tokio::task::spawn_blocking(|| Server::standby(postgres.address()));
    let standby = starting.await.unwrap().unwrap();
    let node = node(&fresh_cluster(), &standby.url());
    let published = publish(&node, "x").await.unwrap_err();
    let subscribed = within("subscribe", node.subscribe()).await.err().unwrap();
    for error in [published, subscribed] {
        assert_eq!(error.kind, ErrorKind::ReadOnly, "{error}");
        assert!(error.message.contains("connect to the primary"), "{error}");
    }
}

/// A link over which nothing comes for longer than a loss is noticed in stays, since the server gives signs of life.
async fn an_idle_subscription_lives_on(postgres: &'static Server) {
    let node = node(&fresh_cluster(), &postgres.url());
    let mut subscription = subscribe(&node).await;
    let longer = node.capabilities().notices_loss_within + Duration::from_millis(500);
    if let Ok(heard) = tokio::time::timeout(longer, hear(&mut subscription)).await {
        panic!("expected nothing on an idle link, and got {heard}");
    }
    publish(&node, "after a pause").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after a pause");
}
