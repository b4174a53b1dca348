//! What the server keeps, and no longer keeps.

use std::{path::Path, time::Duration};

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions};
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;

use crate::stage::{
    builder, client, end, fresh_cluster, hear, hears_again, key, node, own, publish, refusal,
    subscribe, trial, url,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_compaction_disturbs_nobody", a_compaction_disturbs_nobody),
        trial(
            "a_compacted_watch_ends_by_name",
            a_compacted_watch_ends_by_name,
        ),
        trial("a_long_backlog_comes_whole", a_long_backlog_comes_whole),
        trial(
            "a_restored_store_does_not_silence",
            a_restored_store_does_not_silence,
        ),
        trial("a_full_store_is_read_only", a_full_store_is_read_only),
    ]
}

/// Who keeps up does not hear of a compaction, and who comes after it hears what comes.
async fn a_compaction_disturbs_nobody(_etcd: &'static Server) {
    let server = own(&[]).await;
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, server.address()),
        node(&cluster, server.address()),
    );
    let mut subscription = subscribe(&to).await;
    let mut any = client(&server).await;
    for n in 0..3 {
        for m in 0..5 {
            publish(&from, &format!("{n}.{m}")).await.unwrap();
            assert_eq!(hear(&mut subscription).await, format!("{n}.{m}"));
        }
        let now = any.get("x", None).await.unwrap();
        let now = now.header().unwrap().revision();
        any.compact(now, None).await.unwrap();
    }
    let late = node(&cluster, server.address());
    let mut late = (subscribe(&late).await, late);
    publish(&from, "after").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after");
    assert_eq!(hear(&mut late.0).await, "after");
}

/// A watch that could not be sent what happened, until that was compacted, ends, and says why.
async fn a_compacted_watch_ends_by_name(_etcd: &'static Server) {
    let server = own(&[]).await;
    let cluster = fresh_cluster();
    let proxy = Proxy::to(server.address()).unwrap();
    let to = builder(&cluster, &url(proxy.address()))
        .notices_loss_within(Duration::from_secs(3_000))
        .build()
        .unwrap();
    let mut subscription = subscribe(&to).await;
    proxy.black_hole();
    let mut any = client(&server).await;
    // More than the sockets on the way hold, and after it more events than the server keeps for a watcher that is slow.
    let mut now = 0;
    for _ in 0..40 {
        let put = any
            .put(key(&cluster), vec![0; 1 << 20], None)
            .await
            .unwrap();
        now = put.header().unwrap().revision();
    }
    for _ in 0..2_000 {
        let put = any.put(key(&cluster), "", None).await.unwrap();
        now = put.header().unwrap().revision();
    }
    any.compact(now, None).await.unwrap();
    proxy.heal();
    let error = end(&mut subscription).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("compacted"), "{error}");
    let from = node(&cluster, server.address());
    hears_again(&from, &to).await;
}

/// What happened while a watch could not be sent anything comes afterwards, whole and in order, also where it is far more
/// than one answer may hold.
async fn a_long_backlog_comes_whole(_etcd: &'static Server) {
    const FRAMES: usize = 60;
    let server = own(&[]).await;
    let cluster = fresh_cluster();
    let proxy = Proxy::to(server.address()).unwrap();
    let to = builder(&cluster, &url(proxy.address()))
        .notices_loss_within(Duration::from_secs(3_000))
        .build()
        .unwrap();
    let mut subscription = subscribe(&to).await;
    proxy.black_hole();
    let from = node(&cluster, server.address());
    let texts: Vec<_> = (0..FRAMES)
        .map(|n| format!("{n:02}").repeat(1 << 19))
        .collect();
    for text in &texts {
        publish(&from, text).await.unwrap();
    }
    proxy.heal();
    for text in &texts {
        let heard = hear(&mut subscription).await;
        assert!(&heard == text, "expected {:.10}, and got {heard:.30}", text);
    }
}

/// An older state is restored, whose revisions lie below those that were seen: the subscription ends, and the next one
/// hears the first frame that comes.
async fn a_restored_store_does_not_silence(_etcd: &'static Server) {
    let server = own(&[]).await;
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, server.address()),
        node(&cluster, server.address()),
    );
    let mut subscription = subscribe(&to).await;
    publish(&from, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    server.stop().unwrap();
    let (data, copy) = (server.folder().join("data"), server.folder().join("copy"));
    copy_all(&data, &copy);
    server.restart().unwrap();
    drop(end(&mut subscription).await);
    let mut subscription = subscribe(&to).await;
    hears_again(&from, &node(&cluster, server.address())).await;
    for _ in 0..50 {
        publish(&from, "of the future").await.unwrap();
    }
    server.kill().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy_all(&copy, &data);
    server.restart().unwrap();
    drop(end(&mut subscription).await);
    let mut subscription = subscribe(&to).await;
    drop(publish(&from, "meets the old link").await);
    publish(&from, "after").await.unwrap();
    let heard = match hear(&mut subscription).await {
        heard if heard == "meets the old link" => hear(&mut subscription).await,
        heard => heard,
    };
    assert_eq!(heard, "after");
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Above its quota the cluster refuses frames, which is told by name; it reads, and so listens, on. Once there is room, and
/// the alarm is disarmed, frames go.
async fn a_full_store_is_read_only(_etcd: &'static Server) {
    let server = own(&["--quota-backend-bytes", "8000000"]).await;
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, server.address()),
        node(&cluster, server.address()),
    );
    let mut subscription = subscribe(&to).await;
    let mut any = client(&server).await;
    while any.put("filler", vec![0; 1 << 20], None).await.is_ok() {}
    let error = refusal("publish", publish(&from, "no room")).await;
    assert_eq!(error.kind, ErrorKind::ReadOnly, "{error}");
    assert!(error.message.contains("auto-compaction"), "{error}");
    from.probe().await.unwrap();
    let another = node(&cluster, server.address());
    let mut another = (subscribe(&another).await, another);
    let now = any.get("filler", None).await.unwrap();
    let now = now.header().unwrap().revision();
    let physical = CompactionOptions::new().with_physical();
    any.compact(now, Some(physical)).await.unwrap();
    any.defragment().await.unwrap();
    let raised = any.alarm(AlarmAction::Get, AlarmType::Nospace, None).await;
    for alarm in raised.unwrap().alarms() {
        let mut member = AlarmOptions::new();
        member.with_member(alarm.member_id());
        any.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(member))
            .await
            .unwrap();
    }
    publish(&from, "there is room").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "there is room");
    assert_eq!(hear(&mut another.0).await, "there is room");
}
