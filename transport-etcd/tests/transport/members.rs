//! Several members.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Proxy, Server};
use invalidation_transport_etcd::EtcdTransport;
use libtest_mimic::Trial;

use crate::stage::{
    blocking, builder, client, end, fresh_cluster, hear, hears_again, publish, refusal, subscribe,
    trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_next_member_serves", the_next_member_serves),
        trial("a_silent_member_is_left", a_silent_member_is_left),
        trial(
            "a_killed_leader_is_a_lost_link",
            a_killed_leader_is_a_lost_link,
        ),
        trial(
            "without_a_majority_it_says_so",
            without_a_majority_it_says_so,
        ),
    ]
}

fn of(cluster: &str, members: &[SocketAddr]) -> EtcdTransport {
    let members: Vec<_> = members.iter().map(SocketAddr::to_string).collect();
    builder(cluster, &format!("etcd://{}", members.join(",")))
        .build()
        .unwrap()
}

/// Who is down, or silent, is passed over within the same call, whichever is asked first.
async fn the_next_member_serves(etcd: &'static Server) {
    let silent = Proxy::to(etcd.address()).unwrap();
    silent.black_hole();
    let down = Proxy::to(etcd.address()).unwrap();
    down.cut();
    let members = [silent.address(), down.address(), etcd.address()];
    for _ in 0..6 {
        let cluster = fresh_cluster();
        let node = of(&cluster, &members);
        let mut subscription = subscribe(&node).await;
        publish(&of(&cluster, &members), "x").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "x");
        within("probe", of(&cluster, &members).probe())
            .await
            .unwrap();
    }
}

/// After a frame that waited in vain for a member, the next one goes to another.
async fn a_silent_member_is_left(etcd: &'static Server) {
    let silent = Proxy::to(etcd.address()).unwrap();
    let cluster = fresh_cluster();
    let members = format!("etcd://{},{}", silent.address(), etcd.address());
    let node = within("a node that begins with this member", async {
        loop {
            let node = builder(&cluster, &members)
                .publish_timeout(Duration::from_secs(2))
                .build()
                .unwrap();
            publish(&node, "before").await.unwrap();
            if silent.connections() > 0 {
                return node;
            }
        }
    })
    .await;
    silent.black_hole();
    let error = refusal("publish", publish(&node, "lost")).await;
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    publish(&node, "after").await.unwrap();
}

async fn three() -> Vec<Server> {
    blocking(|| Server::etcd_cluster(3)).await.unwrap()
}

/// The leader is killed, again and again: who watched it is told, frames come again by the others, and none is lost
/// silently at who watches another member.
async fn a_killed_leader_is_a_lost_link(_etcd: &'static Server) {
    let servers = three().await;
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    let cluster = fresh_cluster();
    let leader = leader(&servers).await;
    let (at_leader, elsewhere) = (addresses[leader], addresses[(leader + 1) % 3]);
    let (one, other) = (of(&cluster, &[at_leader]), of(&cluster, &[elsewhere]));
    let all = of(&cluster, &addresses);
    let mut lost = subscribe(&one).await;
    let mut kept = subscribe(&other).await;
    publish(&all, "before").await.unwrap();
    assert_eq!(hear(&mut lost).await, "before");
    assert_eq!(hear(&mut kept).await, "before");
    servers[leader].kill().unwrap();
    let error = end(&mut lost).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    within("a frame is put by those who are left", async {
        while publish(&all, "after").await.is_err() {}
    })
    .await;
    // It comes, unless the end of the watch was told: a member without a leader ends it.
    match hear(&mut kept).await.as_str() {
        "after" | "end: Unavailable" => {}
        heard => panic!("expected the frame or an end, and got {heard}"),
    }
    hears_again(&all, &other).await;
    servers[leader].restart().unwrap();
    hears_again(&all, &one).await;
}

/// Which of them leads.
async fn leader(servers: &[Server]) -> usize {
    for (at, server) in servers.iter().enumerate() {
        let status = client(server).await.status().await.unwrap();
        if status.header().unwrap().member_id() == status.leader() {
            return at;
        }
    }
    panic!("expected a leader");
}

/// One of three alone ends its watches, and refuses frames and probes, with the reason; it serves again with another.
async fn without_a_majority_it_says_so(_etcd: &'static Server) {
    let servers = three().await;
    let cluster = fresh_cluster();
    let node = of(&cluster, &[servers[0].address()]);
    let mut subscription = subscribe(&node).await;
    for server in &servers[1..] {
        server.kill().unwrap();
    }
    let error = end(&mut subscription).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("no leader"), "{error}");
    for error in [
        refusal("publish", publish(&node, "x")).await,
        refusal("probe", node.probe()).await,
        refusal("subscribe", node.subscribe()).await,
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("no leader"), "{error}");
    }
    servers[1].restart().unwrap();
    hears_again(&of(&cluster, &[servers[1].address()]), &node).await;
}
