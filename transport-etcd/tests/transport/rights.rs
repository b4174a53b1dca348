//! Users, and what they may do.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Permission};
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::Server;
use invalidation_transport_etcd::EtcdTransport;
use libtest_mimic::Trial;

use crate::stage::{
    builder, fresh_cluster, hear, key, node, own, publish, refusal, subscribe, trial, url, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("each_right_is_asked_for", each_right_is_asked_for),
        trial("an_expired_token_is_replaced", an_expired_token_is_replaced),
        trial(
            "an_idle_session_keeps_its_token",
            an_idle_session_keeps_its_token,
        ),
        trial(
            "needless_credentials_do_no_harm",
            needless_credentials_do_no_harm,
        ),
    ]
}

const CLUSTER: &str = "billing";

/// A server that asks for passwords, with users of different rights to the cluster's key.
async fn guarded() -> (Server, Client) {
    guarded_with(&["--bcrypt-cost", "4"]).await
}

async fn guarded_with(arguments: &'static [&'static str]) -> (Server, Client) {
    let server = own(arguments).await;
    let mut admin = Client::connect([server.url()], None).await.unwrap();
    admin.user_add("root", "root", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    for (user, right) in [
        ("node", Some(Permission::read_write(key(CLUSTER)))),
        ("reader", Some(Permission::read(key(CLUSTER)))),
        ("writer", Some(Permission::write(key(CLUSTER)))),
        ("nobody", None),
    ] {
        admin.role_add(user).await.unwrap();
        if let Some(right) = right {
            admin.role_grant_permission(user, right).await.unwrap();
        }
        admin.user_add(user, PASSWORD, None).await.unwrap();
        admin.user_grant_role(user, user).await.unwrap();
    }
    admin.auth_enable().await.unwrap();
    let root = ConnectOptions::new().with_user("root", "root");
    let admin = Client::connect([server.url()], Some(root)).await.unwrap();
    (server, admin)
}

const PASSWORD: &str = "p@ss:word/100%";

fn user(server: &Server, name: &str) -> EtcdTransport {
    builder(CLUSTER, &url(server.address()))
        .user(name)
        .password(PASSWORD)
        .build()
        .unwrap()
}

/// Who lacks a right is told which, by the call that needs it, and nobody else is disturbed.
async fn each_right_is_asked_for(_etcd: &'static Server) {
    let (server, _admin) = guarded().await;
    let in_url = format!("etcd://node:p%40ss%3Aword%2F100%25@{}", server.address());
    let to = builder(CLUSTER, &in_url).build().unwrap();
    let mut subscription = subscribe(&to).await;
    publish(&user(&server, "writer"), "of a writer")
        .await
        .unwrap();
    assert_eq!(hear(&mut subscription).await, "of a writer");
    let reader = user(&server, "reader");
    within("probe", reader.probe()).await.unwrap();
    let mut heard = subscribe(&reader).await;
    publish(&user(&server, "node"), "of a node").await.unwrap();
    assert_eq!(hear(&mut heard).await, "of a node");
    assert_eq!(hear(&mut subscription).await, "of a node");
    let anonymous = node(CLUSTER, server.address());
    let (writer, nobody) = (user(&server, "writer"), user(&server, "nobody"));
    let foreign = builder("others", &in_url).build().unwrap();
    for (what, error) in [
        ("publish", refusal("publish", publish(&reader, "x")).await),
        ("probe", refusal("probe", writer.probe()).await),
        ("subscribe", refusal("subscribe", writer.subscribe()).await),
        ("publish", refusal("publish", publish(&nobody, "x")).await),
        ("subscribe", refusal("subscribe", nobody.subscribe()).await),
        ("publish", refusal("publish", publish(&foreign, "x")).await),
        ("subscribe", refusal("subscribe", foreign.subscribe()).await),
        (
            "publish",
            refusal("publish", publish(&anonymous, "x")).await,
        ),
        ("probe", refusal("probe", anonymous.probe()).await),
        (
            "subscribe",
            refusal("subscribe", anonymous.subscribe()).await,
        ),
    ] {
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert_eq!(error.operation, what, "{error}");
        assert!(!format!("{error:?}").contains("p@ss"), "{error:?}");
    }
    // A refused frame costs no login.
    publish(&writer, "again").await.unwrap();
}

/// A token that the server forgot fails one frame, and the next one goes with another.
async fn an_expired_token_is_replaced(_etcd: &'static Server) {
    let (server, mut admin) = guarded().await;
    let (from, to) = (user(&server, "node"), user(&server, "reader"));
    let mut subscription = subscribe(&to).await;
    for _ in 0..2 {
        publish(&from, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        // To the same one: that ends the user's tokens.
        admin.user_change_password("node", PASSWORD).await.unwrap();
        let error = refusal("publish", publish(&from, "lost")).await;
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("logs in again"), "{error}");
        publish(&from, "after").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "after");
        // A probe loses nothing by trying another.
        admin.user_change_password("node", PASSWORD).await.unwrap();
        within("probe", from.probe()).await.unwrap();
    }
}

/// Tokens that the server forgets after a while without use are used now and then: after a long pause the first frame goes,
/// of who only listened as well.
async fn an_idle_session_keeps_its_token(_etcd: &'static Server) {
    let (server, _admin) = guarded_with(&["--bcrypt-cost", "4", "--auth-token-ttl", "5"]).await;
    let of = || {
        builder(CLUSTER, &url(server.address()))
            .user("node")
            .password(PASSWORD)
            .notices_loss_within(Duration::from_millis(500))
            .build()
            .unwrap()
    };
    let (listens, sends) = (of(), of());
    // A busy machine may end it, which is another matter.
    let _listening = subscribe(&listens).await;
    publish(&sends, "before").await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    publish(&sends, "after").await.unwrap();
    publish(&listens, "of who listens").await.unwrap();
}

/// Where authentication is not switched on yet, credentials are not used.
async fn needless_credentials_do_no_harm(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let with = builder(&cluster, &url(etcd.address()))
        .user("node")
        .password(PASSWORD)
        .build()
        .unwrap();
    let mut subscription = subscribe(&with).await;
    publish(&node(&cluster, etcd.address()), "x").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "x");
    publish(&with, "y").await.unwrap();
}
