//! Who may do what, by the server's ACLs.

use std::net::SocketAddr;

use invalidation_core::{CacheInvalidationTransport as _, Error, ErrorKind};
use invalidation_testbed::RedisSetup;
use invalidation_transport_redis::{RedisTransport, RedisTransportBuilder};
use libtest_mimic::Trial;

use crate::stage::{
    builder, command, common, end_of, fresh_cluster, hear, not_subscribed, publish, start,
    subscribe, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("few_rights_are_enough", few_rights_are_enough),
        trial("who_may_not_is_told_so", who_may_not_is_told_so),
        trial(
            "lost_rights_end_a_subscription",
            lost_rights_end_a_subscription,
        ),
        trial(
            "a_password_that_is_missing_is_told",
            a_password_that_is_missing_is_told,
        ),
    ]
}

/// A user of its own, with these rules.
async fn user(to: SocketAddr, name: &str, rules: &str) {
    let line = format!("ACL SETUSER {name} on >secret {rules}");
    command(to, &line).await.unwrap();
}

fn by(builder: RedisTransportBuilder, user: &str) -> RedisTransport {
    builder.user(user).password("secret").build().unwrap()
}

/// What the documentation asks for is enough.
async fn few_rights_are_enough() {
    let (redis, cluster) = (common().await, fresh_cluster());
    let rules = format!("resetchannels &cache_invalidation:{{{cluster}}} +subscribe +publish");
    user(redis.address(), &cluster, &rules).await;
    let node = by(builder(&cluster, &redis.url()), &cluster);
    within("probe", node.probe()).await.unwrap();
    let mut subscription = subscribe(&node).await;
    publish(&node, "frame").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "frame");
}

/// Wrong credentials and missing rights are `Denied`, in whatever is called, and the message says what to do.
async fn who_may_not_is_told_so() {
    let (redis, cluster) = (common().await, fresh_cluster());
    let denied = |error: Error, advice: &str| {
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.message.contains(advice), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    };
    for (rules, advice) in [
        ("resetchannels &others:* +subscribe +publish", "ACL SETUSER"),
        ("allchannels +ping", "ACL SETUSER"),
        ("resetpass >another allchannels +@all", "check the user"),
        ("off allchannels +@all", "check the user"),
    ] {
        user(
            redis.address(),
            &cluster,
            &format!("reset on >secret {rules}"),
        )
        .await;
        let node = by(builder(&cluster, &redis.url()), &cluster);
        denied(publish(&node, "x").await.unwrap_err(), advice);
        denied(publish(&node, "x").await.unwrap_err(), advice);
        denied(not_subscribed(&node).await, advice);
    }
    let nobody = by(builder(&cluster, &redis.url()), "nobody");
    let refused = within("probe", nobody.probe()).await.unwrap_err();
    denied(refused, "check the user");
    denied(not_subscribed(&nobody).await, "check the user");
}

/// A user that may no longer listen hears no more, and is told so.
async fn lost_rights_end_a_subscription() {
    let (redis, cluster) = (common().await, fresh_cluster());
    user(redis.address(), &cluster, "allchannels +subscribe +publish").await;
    let node = by(builder(&cluster, &redis.url()), &cluster);
    let mut subscription = subscribe(&node).await;
    user(redis.address(), &cluster, "resetchannels").await;
    let end = end_of(&mut subscription).await;
    assert!(end.starts_with("end: Unavailable"), "{end}");
    assert_eq!(not_subscribed(&node).await.kind, ErrorKind::Denied);
}

/// A server that asks for a password says so to who gives none.
async fn a_password_that_is_missing_is_told() {
    let redis = start(RedisSetup::new()).await;
    command(redis.address(), "ACL SETUSER default resetpass >secret")
        .await
        .unwrap();
    let cluster = fresh_cluster();
    let node = builder(&cluster, &redis.url()).build().unwrap();
    let refused = publish(&node, "x").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    assert!(refused.message.contains("give the user"), "{refused}");
    let password = builder(&cluster, &redis.url()).password("secret");
    publish(&password.build().unwrap(), "x").await.unwrap();
}
