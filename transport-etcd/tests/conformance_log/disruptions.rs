//! What can be done to an etcd.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, DeleteOptions, Error, PutOptions};
use invalidation_conformance::{Disruption, Unable};
use invalidation_testbed::{Proxy, Server};

use crate::{
    harness::{Rig, Space},
    stored::Stored,
};

pub(crate) async fn disrupt(space: &Space, disruption: Disruption) -> Result<(), Unable> {
    let rig = space.rig();
    match disruption {
        Disruption::Stop => servers(space, Server::stop),
        Disruption::Kill => servers(space, Server::kill),
        Disruption::Restart => restart(rig),
        Disruption::Pause => servers(space, Server::pause),
        Disruption::Resume => servers(space, Server::resume),
        Disruption::Cut => rig.ways(Proxy::cut),
        Disruption::BlackHole => rig.ways(Proxy::black_hole),
        Disruption::Delay(by) => rig.ways(|way| way.delay(by)),
        Disruption::Heal => rig.ways(Proxy::heal),
        Disruption::Fill => {
            only_one(rig, "a case that fills one member would fill all")?;
            spoil(space);
            fill(&mut rig.admin().await).await;
        }
        Disruption::Empty => empty(&mut rig.admin().await).await,
        Disruption::Snapshot => {
            only_one(rig, "members are restored together, as one is")?;
            spoil(space);
            copy_data(&rig.servers[0], "data", "snapshot");
            space.settle().await;
        }
        Disruption::Restore => {
            copy_data(&rig.servers[0], "snapshot", "data");
            space.settle().await;
        }
        Disruption::Recreate => delete(rig, space.prefix(), true).await,
        Disruption::DeleteAll => delete(rig, format!("{}ring/", space.prefix()), true).await,
        Disruption::DeleteNewest => {
            let mut admin = rig.admin().await;
            let stored = Stored::read(&mut admin, &space.prefix()).await;
            delete(rig, stored.newest().to_owned(), false).await;
        }
        Disruption::FailOver => fail_over(space).await?,
        Disruption::Trim { .. } => {
            return Err(Unable::because(
                "a ring forgets whole appends when newer ones need their room, and no exact number: tests of the crate \
                 show that it is told",
            ));
        }
        Disruption::ReadOnly => {
            return Err(Unable::because(
                "etcd refuses to write for want of room alone, which is another case",
            ));
        }
        _ => {
            return Err(Unable::because(format!(
                "the harness cannot {disruption:?}"
            )));
        }
    }
    Ok(())
}

fn spoil(space: &Space) {
    space.spoilt.store(true, Ordering::Relaxed);
}

fn only_one(rig: &Rig, because: &str) -> Result<(), Unable> {
    match rig.servers.len() {
        1 => Ok(()),
        _ => Err(Unable::because(because.to_owned())),
    }
}

fn servers(space: &Space, change: fn(&Server) -> Result<(), invalidation_testbed::Error>) {
    spoil(space);
    for server in &space.rig().servers {
        change(server).expect("does as it is told");
    }
}

/// None is ready before a majority is.
fn restart(rig: &Rig) {
    std::thread::scope(|scope| {
        for server in &rig.servers {
            scope.spawn(|| server.restart().expect("starts again"));
        }
    });
}

/// As whoever keeps backups by copying what a member that does not run has on its disk.
fn copy_data(server: &Server, from: &str, to: &str) {
    server.stop().expect("stops");
    let folder = server.folder();
    let to = folder.join(to);
    let _none = std::fs::remove_dir_all(&to);
    copy(&folder.join(from), &to).expect("copies");
    server.restart().expect("starts again");
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

async fn delete(rig: &Rig, key: String, is_prefix: bool) {
    let options = is_prefix.then(|| DeleteOptions::new().with_prefix());
    let deleted = rig.admin().await.delete(key, options).await;
    assert!(deleted.expect("deletes").deleted() > 0, "nothing was there");
}

const JUNK: &str = "/business/junk";

/// Writes over one key until the quota is used up: its history is kept.
async fn fill(admin: &mut Client) {
    for _ in 0..200 {
        let value = vec![b'x'; 1 << 20];
        match admin.put(JUNK, value, None::<PutOptions>).await {
            Ok(_) => {}
            Err(Error::GRpcStatus(status)) if status.message().contains("space exceeded") => return,
            Err(e) => panic!("expected the quota to be used up, and found {e}"),
        }
    }
    panic!("expected the quota to be used up, and it was not");
}

/// As an operator does: compact, defragment, disarm.
async fn empty(admin: &mut Client) {
    let deleted = admin.delete(JUNK, None).await.expect("deletes");
    let revision = deleted.header().expect("a header").revision();
    admin.compact(revision, None).await.expect("compacts");
    admin.defragment().await.expect("defragments");
    let mut options = AlarmOptions::new();
    options.with_member(deleted.header().expect("a header").member_id());
    let disarmed = admin.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options));
    disarmed.await.expect("disarms");
}

/// Kills the leader, and returns when another one leads.
async fn fail_over(space: &Space) -> Result<(), Unable> {
    let rig = space.rig();
    if rig.servers.len() == 1 {
        return Err(Unable::because(
            "there is one member: see the suite on three",
        ));
    }
    spoil(space);
    // Who was killed before comes back: another one less would be no majority.
    for server in &rig.servers {
        if server.processes().is_empty() {
            server.restart().expect("starts again");
        }
    }
    let (leader, at) = loop {
        if let Some(found) = leader(rig).await {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    rig.servers[at].kill().expect("dies");
    for _ in 0..1_000 {
        if leader_is_another(rig, leader).await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("expected another leader, and there is none");
}

/// Who leads, and which server that is.
async fn leader(rig: &Rig) -> Option<(u64, usize)> {
    for (at, server) in rig.servers.iter().enumerate() {
        let mut client = Client::connect([server.url()], None).await.ok()?;
        let status = client.status().await.ok()?;
        let member = status.header()?.member_id();
        if status.leader() == member {
            return Some((member, at));
        }
    }
    None
}

async fn leader_is_another(rig: &Rig, than: u64) -> bool {
    let alive = rig
        .servers
        .iter()
        .filter(|server| !server.processes().is_empty());
    for server in alive {
        let Ok(mut client) = Client::connect([server.url()], None).await else {
            return false;
        };
        let status = client.status().await;
        let leader = status.map_or(0, |status| status.leader());
        if leader == 0 || leader == than {
            return false;
        }
    }
    true
}
