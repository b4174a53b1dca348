//! Who may not publish or subscribe is told so, though the server says it in a message of its own, in no order with others.

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use libtest_mimic::Trial;

use crate::stage::{
    Bed, PATIENCE, Setup, builder, fresh_cluster, hear, is_refused, node, publish, subscribe,
    trial_on, works,
};

const SECRET: &str = "the-password-of-the-members";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_on(
            "what_is_to_be_allowed_suffices",
            || Setup::new(&config(&["\"cache_invalidation.x.>\""; 2])),
            what_is_to_be_allowed_suffices,
        ),
        trial_on(
            "who_may_not_publish_is_told",
            || Setup::new(&config(&["\"cache_invalidation.x.link.>\"", "\">\""])),
            is_denied,
        ),
        trial_on(
            "who_may_not_confirm_is_told",
            || Setup::new(&config(&["\"cache_invalidation.x.frame\"", "\">\""])),
            is_denied,
        ),
        trial_on(
            "who_may_not_subscribe_is_told",
            || Setup::new(&config(&["\">\"", "\"cache_invalidation.x.link.>\""])),
            is_denied,
        ),
        trial_on(
            "a_right_that_is_taken_away_is_told",
            || Setup::new(&config(&["\">\""; 2])),
            a_right_that_is_taken_away_is_told,
        ),
    ]
}

/// One user, who may publish and subscribe to this.
fn config([publish, subscribe]: &[&str; 2]) -> String {
    format!(
        "authorization {{ users: [ {{ user: app, password: {SECRET}, permissions: {{ publish: {publish}, \
         subscribe: {subscribe} }} }} ] }}"
    )
}

fn url(bed: &Bed) -> String {
    bed.server
        .url()
        .replace("://", &format!("://app:{SECRET}@"))
}

/// One line of permissions is enough, and no more than the cluster's own subjects.
async fn what_is_to_be_allowed_suffices(bed: Bed) {
    works(&node("x", &url(&bed))).await;
    is_refused(builder("y", &url(&bed)), ErrorKind::Denied, &[SECRET]).await;
}

/// The first call of each kind says so, and the server goes on talking to the client meanwhile.
async fn is_denied(bed: Bed) {
    is_refused(builder("x", &url(&bed)), ErrorKind::Denied, &[SECRET]).await;
    let error = publish(&node("x", &url(&bed)), "x").await.unwrap_err();
    assert!(error.message.contains("cache_invalidation.x.>"), "{error}");
}

/// A subscription ends, and a publish fails, when the server takes the rights to them back from one who is connected.
async fn a_right_that_is_taken_away_is_told(bed: Bed) {
    let node = node(&fresh_cluster(), &url(&bed));
    let mut subscription = subscribe(&node).await;
    publish(&node, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    bed.reload(&config(&["\">\"", "\"other\""]));
    // However the server goes about it: an error, or the end of the connection first.
    let told = hear(&mut subscription).await;
    assert!(told.starts_with("end: "), "{told}");
    refuses(&node).await;
    bed.reload(&config(&["\">\""; 2]));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while node.probe().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "never again");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    works(&node).await;
    bed.reload(&config(&["\"other\"", "\">\""]));
    refuses(&node).await;
}

/// In the end a frame is refused as `Denied`, and from then on each is.
async fn refuses(node: &invalidation_transport_nats::NatsTransport) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match publish(node, "x").await {
            Err(error) if error.kind == ErrorKind::Denied => break,
            _ => assert!(
                tokio::time::Instant::now() < deadline,
                "expected a frame to be refused"
            ),
        }
    }
    for _ in 0..5 {
        let error = publish(node, "x").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
}
