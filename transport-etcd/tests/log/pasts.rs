//! Pasts that changed: states that came back, by the disk and by the keys.

use etcd_client::{Client, ConnectOptions, DeleteOptions, GetOptions, Permission, Txn, TxnOp};
use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _, JoinsLog as _};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_etcd::{EtcdLog, EtcdTransaction};
use libtest_mimic::Trial;

use super::bed::{
    PATIENCE, Reader, append, blocking, builder, client, found_again, fresh, installed, key,
    next_page, prefix, restore, snapshot, trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("p10_a_restore_below_what_others_wrote_skips_nothing", below),
        trial("p10_a_restore_that_grew_beyond_a_reader_is_told", beyond),
        trial("p10_a_restore_is_told_to_who_had_read_less", behind),
        trial("p10_a_restore_is_told_by_who_appended", appended),
        trial("who_may_not_write_is_told_himself", without_rights),
        trial("p10_an_empty_disk_is_told", emptied),
        trial("p10_keys_that_were_put_back_are_told", put_back),
        trial("p10_a_token_of_before_a_restore_is_left", stale_token),
    ]
}

async fn own(arguments: &'static [&'static str]) -> Server {
    blocking(move || Server::start_with(Backend::Etcd, arguments).unwrap()).await
}

/// P1: a reader stands at a revision that other keys had brought about; the store comes back below that, and is appended to
/// there. No revision tells, and nothing is skipped.
async fn below(_shared: &'static Server) {
    let server = own(&[]).await;
    let log = installed(builder(server.address(), &fresh())).await;
    append(&log, "read").await;
    snapshot(&server);
    found_again(&log).await;
    let mut business = client(&server).await;
    for _ in 0..20 {
        business.put("business", "1", None).await.unwrap();
    }
    let mut reader = Reader::cold(&log).await;
    restore(&server);
    found_again(&log).await;
    append(&log, "new").await;
    let read = reader.read().await;
    assert_eq!(read.unwrap(), ["new"]);
}

/// P10: as many appends, at the same revisions and with the same number of entries, are told from those that were read, and
/// so are more.
async fn beyond(_shared: &'static Server) {
    let server = own(&[]).await;
    let clusters = [fresh(), fresh()];
    let builders = clusters.map(|cluster| builder(server.address(), &cluster).rings(1));
    for builder in &builders {
        append(&installed(builder.clone()).await, "kept").await;
    }
    snapshot(&server);
    let mut logs = Vec::new();
    let mut marks = Vec::new();
    for builder in &builders {
        // Who appended it is gone.
        append(&installed(builder.clone()).await, "lost").await;
        let log = installed(builder.clone()).await;
        marks.push(Reader::cold(&log).await.cursor);
        logs.push(log);
    }
    restore(&server);
    for ((log, cursor), appended) in logs.iter().zip(marks).zip([1, 6]) {
        found_again(log).await;
        for _ in 0..appended {
            append(log, "new").await;
        }
        let mut reader = Reader {
            cursor,
            ..Reader::cold(log).await
        };
        assert_eq!(reader.read().await, Err(GapReason::WitnessLost));
    }
}

/// P1, P10: a node that had read less than what a restore brought back is told by those that had read more: by two at once,
/// which settle on one new epoch. So are those that slept meanwhile, when the same state is restored once more.
async fn behind(_shared: &'static Server) {
    let server = own(&[]).await;
    let builder = builder(server.address(), &fresh());
    let [one, other, late, idle, asleep] = [(); 5].map(|()| installed(builder.clone()));
    let (one, other, late) = (one.await, other.await, late.await);
    let (idle, asleep) = (idle.await, asleep.await);
    let mut late = Reader::cold(&late).await;
    let (mut idle, asleep) = (Reader::cold(&idle).await, Reader::cold(&asleep).await);
    append(&installed(builder.clone()).await, "kept").await;
    snapshot(&server);
    append(&installed(builder.clone()).await, "lost").await;
    found_again(&one).await;
    found_again(&other).await;
    let (mut one, mut other) = (Reader::cold(&one).await, Reader::cold(&other).await);
    restore(&server);
    // What it has read is there.
    assert_eq!(next_page(&mut late).await, Ok(vec!["kept".to_owned()]));
    let (first, second) = tokio::join!(next_page(&mut one), next_page(&mut other));
    let is_told =
        |reason: &_| [GapReason::WitnessLost, GapReason::IdentityChanged].contains(reason);
    assert!(is_told(&first.unwrap_err()) && is_told(&second.unwrap_err()));
    for reader in [&mut late, &mut idle] {
        assert_eq!(next_page(reader).await, Err(GapReason::IdentityChanged));
    }
    let mut awake = [one, other, late];
    reads_on(&mut awake).await;
    let [one, other, late] = awake;

    // The epoch that they have now is in no past of the state that comes back, and the next one comes at its revision.
    restore(&server);
    let mut all = [late, asleep, idle, one, other];
    for reader in &mut all {
        assert_eq!(next_page(reader).await, Err(GapReason::IdentityChanged));
    }
    reads_on(&mut all).await;
}

/// P1, P10: a node remembers what it has appended until it has read it, and tells the others when it is gone.
async fn appended(_shared: &'static Server) {
    let server = own(&[]).await;
    for joins in [false, true] {
        let builder = builder(server.address(), &fresh());
        let (log, other) = (installed(builder.clone()).await, installed(builder).await);
        append(&log, "kept").await;
        let (mut own, mut behind) = (Reader::cold(&log).await, Reader::cold(&other).await);
        snapshot(&server);
        if joins {
            let client = client(&server).await;
            let mut transaction = EtcdTransaction::new();
            found_again(&log).await;
            transaction.append_in(&log, &[key("lost")]).await.unwrap();
            transaction.commit(&client).await.unwrap();
        } else {
            found_again(&log).await;
            append(&log, "lost").await;
        }
        restore(&server);
        assert_eq!(next_page(&mut behind).await, Ok(vec![]));
        assert_eq!(next_page(&mut own).await, Err(GapReason::WitnessLost));
        assert_eq!(behind.read().await, Err(GapReason::IdentityChanged));
        reads_on(&mut [own, behind]).await;
    }
}

/// P20: there is no gap any more.
async fn reads_on(readers: &mut [Reader<'_>]) {
    for number in 0..3 {
        let text = number.to_string();
        append(readers[0].log, &text).await;
        for reader in readers.iter_mut() {
            assert_eq!(reader.read().await, Ok(vec![text.clone()]));
            assert_eq!(reader.read().await, Ok(vec![]));
        }
    }
}

/// Who may not write is told himself, and reads on.
async fn without_rights(_shared: &'static Server) {
    let server = own(&["--bcrypt-cost", "4"]).await;
    let mut admin = client(&server).await;
    let cluster = fresh();
    admin.role_add("reads").await.unwrap();
    let right = Permission::read(prefix(&cluster)).with_prefix();
    admin.role_grant_permission("reads", right).await.unwrap();
    for (user, role) in [("root", "root"), ("weak", "reads")] {
        admin.user_add(user, "p", None).await.unwrap();
        admin.user_grant_role(user, role).await.unwrap();
    }
    admin.auth_enable().await.unwrap();
    let by = |user| {
        EtcdLog::builder(&format!("etcd://{user}:p@{}", server.address()))
            .cluster(&cluster)
            .rings(1)
            .read_timeout(PATIENCE)
    };
    let known = ConnectOptions::new().with_user("root", "p");
    let mut admin = Client::connect([server.url()], Some(known)).await.unwrap();

    let log = installed(by("root")).await;
    append(&log, "kept").await;
    let backup = dump(&mut admin, &cluster).await;
    append(&log, "lost").await;
    let weak = installed(by("weak")).await;
    let mut reader = Reader::cold(&weak).await;
    undump(&mut admin, &cluster, backup, true).await;
    assert_eq!(reader.read().await, Err(GapReason::WitnessLost));
    assert_eq!(reader.read().await, Ok(vec![]));
    append(&log, "next").await;
    assert_eq!(reader.read().await.unwrap(), ["next"]);

    // Nor does he make what is gone, which is said.
    let all = DeleteOptions::new().with_prefix();
    admin.delete(prefix(&cluster), Some(all)).await.unwrap();
    let e = reader.page().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    installed(by("root")).await;
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
}

/// P10, P20: a member that lost its disk has the same cluster id, since that follows from its settings. Who has installed the
/// log makes it anew, and is told; who has not says what to do.
async fn emptied(_shared: &'static Server) {
    let server = own(&[]).await;
    let builder = builder(server.address(), &fresh());
    let log = installed(builder.clone()).await;
    let idle = builder.connect().await.unwrap();
    append(&log, "1").await;
    let (mut reader, mut other) = (Reader::cold(&log).await, Reader::cold(&idle).await);
    super::bed::with_data(&server, |data, _| std::fs::remove_dir_all(data).unwrap());
    let missing = loop {
        let e = other.page().await.unwrap_err();
        if e.message.contains("run install") {
            break e;
        }
    };
    assert_eq!(missing.kind, ErrorKind::Unavailable);
    let told = next_page(&mut reader).await;
    assert_eq!(told, Err(GapReason::IdentityChanged));
    append(&log, "2").await;
    assert_eq!(reader.read().await.unwrap(), ["2"]);
    assert_eq!(other.read().await, Err(GapReason::IdentityChanged));
    append(&log, "3").await;
    assert_eq!(reader.read().await.unwrap(), ["3"]);
    assert_eq!(other.read().await.unwrap(), ["3"]);
}

/// P10: a backup of keys and values, put back one by one or in one step, on a store that goes on counting.
async fn put_back(server: &'static Server) {
    for is_at_once in [true, false] {
        for (read_before, lost, new) in [(0, 3, 0), (0, 1, 2), (1, 0, 3), (2, 2, 2), (3, 0, 0)] {
            let cluster = fresh();
            let log = installed(builder(server.address(), &cluster).rings(3)).await;
            append(&log, "kept").await;
            append(&log, "kept too").await;
            let mut client = client(server).await;
            let backup = dump(&mut client, &cluster).await;
            for number in 0..read_before {
                append(&log, &format!("read {number}")).await;
            }
            let mut reader = Reader::cold(&log).await;
            for number in 0..lost {
                append(&log, &format!("lost {number}")).await;
            }
            undump(&mut client, &cluster, backup, is_at_once).await;
            for number in 0..new {
                append(&log, &format!("new {number}")).await;
            }
            let case = format!("{is_at_once} {read_before} {lost} {new}");
            match reader.read().await {
                Err(_) => {}
                Ok(read) => {
                    let came = read.iter().filter(|text| text.starts_with("new")).count();
                    assert_eq!((lost, came), (0, new), "{case}: P1: {read:?}");
                }
            }
            // Every key looks as if it had been written since, so that it may be told again.
            let mut gaps = 0;
            loop {
                append(&log, "next").await;
                match reader.read().await {
                    Ok(read) => break assert_eq!(read.last().unwrap(), "next", "{case}"),
                    Err(_) => gaps += 1,
                }
                assert!(gaps < 3, "{case}: P20: a gap is told, and then it is over");
            }
        }
    }
}

async fn dump(client: &mut Client, cluster: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = GetOptions::new().with_prefix();
    let mut got = client.get(prefix(cluster), Some(all)).await.unwrap();
    let kvs = got.take_kvs().into_iter();
    kvs.map(|kv| kv.into_key_value()).collect()
}

async fn undump(
    client: &mut Client,
    cluster: &str,
    backup: Vec<(Vec<u8>, Vec<u8>)>,
    is_at_once: bool,
) {
    let puts: Vec<_> = backup
        .into_iter()
        .map(|(key, value)| TxnOp::put(key, value, None))
        .collect();
    if is_at_once {
        client.txn(Txn::new().and_then(puts)).await.unwrap();
        return;
    }
    let all = DeleteOptions::new().with_prefix();
    client.delete(prefix(cluster), Some(all)).await.unwrap();
    for put in puts {
        client.txn(Txn::new().and_then([put])).await.unwrap();
    }
}

/// A restored member waits for the future in which it has given a token, and answers nothing to whoever has it (etcd's
/// simple tokens name the index of their making). Such a call ends in time, and the next logs in.
async fn stale_token(_shared: &'static Server) {
    let server = own(&["--bcrypt-cost", "4"]).await;
    let mut admin = client(&server).await;
    admin.user_add("root", "p", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
    let url = format!("etcd://root:p@{}", server.address());
    let log = EtcdLog::builder(&url)
        .read_timeout(std::time::Duration::from_secs(2))
        .write_timeout(std::time::Duration::from_secs(2));
    let log = installed(log).await;
    append(&log, "kept").await;
    snapshot(&server);
    found_again(&log).await;
    for _ in 0..20 {
        append(&log, "lost").await;
    }
    let late = installed(EtcdLog::builder(&url)).await;
    let mut reader = Reader::cold(&late).await;
    restore(&server);
    let appended = async {
        while let Err(e) = log.append(&[key("new")]).await {
            assert_eq!(e.retry, invalidation_core::Retry::Temporary, "{e}");
        }
    };
    tokio::time::timeout(PATIENCE, appended).await.unwrap();
    found_again(&late).await;
    assert_eq!(reader.read().await, Err(GapReason::WitnessLost));
}
