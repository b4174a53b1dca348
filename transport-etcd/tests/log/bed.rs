//! Trials on real servers, and reading as a node does.

use std::{net::SocketAddr, path::Path, time::Duration};

use etcd_client::Client;
use invalidation_core::{
    CacheName, Completeness, Cursor, Entry, Error, GapReason, Invalidation, InvalidationLog as _,
    LoggedEntry, Page, Payload, ReadRequest, ReadStart, Scope, Tick,
};
use invalidation_testbed::{Backend, Offer, Required, Server, shared};
use invalidation_transport_etcd::{EtcdLog, EtcdLogBuilder};
use libtest_mimic::{Completion, Failed, Trial};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A trial on the shared server. What it expects and does not get is a panic.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let server = match Required::from_env()?.decide(shared(Backend::Etcd))? {
            Offer::Ignored(absent) => return Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => server,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(body(server));
        Ok::<_, Failed>(Completion::Completed)
    })
}

/// What the testbed does blocks its thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A name that no other test has.
pub(crate) fn fresh() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn prefix(cluster: &str) -> String {
    format!("/cache-invalidation/{cluster}/log/")
}

pub(crate) fn builder(address: SocketAddr, cluster: &str) -> EtcdLogBuilder {
    EtcdLog::builder(&format!("etcd://{address}"))
        .cluster(cluster)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
}

pub(crate) async fn installed(builder: EtcdLogBuilder) -> EtcdLog {
    let log = builder.connect().await.unwrap();
    log.install().await.unwrap();
    log
}

pub(crate) async fn client(server: &Server) -> Client {
    Client::connect([server.url()], None).await.unwrap()
}

pub(crate) fn key(text: &str) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: CacheName::new("users").unwrap(),
        scope: Scope::keys([text]),
    })
}

pub(crate) async fn append(log: &EtcdLog, text: &str) {
    log.append(&[key(text)]).await.unwrap();
}

/// A reader: a cursor, and what it asks for.
pub(crate) struct Reader<'a> {
    pub(crate) log: &'a EtcdLog,
    pub(crate) cursor: Cursor,
    pub(crate) most: usize,
}

impl<'a> Reader<'a> {
    pub(crate) async fn cold(log: &'a EtcdLog) -> Self {
        Self {
            log,
            cursor: log.head().await.unwrap(),
            most: 1_000,
        }
    }

    /// One page: its entries in words, and whether it is complete; or the reason of a gap.
    pub(crate) async fn page(&mut self) -> Result<Result<(Vec<String>, bool), GapReason>, Error> {
        let started = ReadStart::new(Tick::from_nanos(1), 1);
        let mut request = ReadRequest::new(&self.cursor, started);
        request.max_entries = self.most;
        match self.log.read(request).await? {
            Page::Entries {
                entries,
                next,
                complete,
            } => {
                self.cursor = next;
                let entries = entries.iter().map(word).collect();
                Ok(Ok((entries, complete == Completeness::AsOf(started))))
            }
            Page::Expired { next, reason, .. } => {
                self.cursor = next;
                Ok(Err(reason))
            }
            other => panic!("{other:?}"),
        }
    }

    /// All there is, or the reason of a gap.
    pub(crate) async fn read(&mut self) -> Result<Vec<String>, GapReason> {
        let mut all = Vec::new();
        loop {
            let (entries, is_complete) = self.page().await.unwrap()?;
            all.extend(entries);
            if is_complete {
                return Ok(all);
            }
        }
    }
}

/// The next page, once the server answers again.
pub(crate) async fn next_page(reader: &mut Reader<'_>) -> Result<Vec<String>, GapReason> {
    let answered = async {
        loop {
            match reader.page().await {
                Ok(page) => break page.map(|(entries, _)| entries),
                Err(e) => assert_eq!(e.retry, invalidation_core::Retry::Temporary, "{e}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

/// The key of an entry, or what could not be read.
fn word(logged: &LoggedEntry) -> String {
    match &logged.payload {
        Payload::Entry(entry) => match &entry.invalidation {
            Invalidation::Cache {
                scope: Scope::Keys(keys),
                ..
            } => keys.join(","),
            other => format!("{other:?}"),
        },
        Payload::Undecodable { cache, .. } => format!("?{cache:?}"),
    }
}

/// Changes what a server has on its disk, and where a copy of that is, while it is stopped.
pub(crate) fn with_data(server: &Server, change: impl FnOnce(&Path, &Path)) {
    server.stop().unwrap();
    let folder = server.folder();
    change(&folder.join("data"), &folder.join("snapshot"));
    server.restart().unwrap();
}

pub(crate) fn snapshot(server: &Server) {
    with_data(server, copy);
}

pub(crate) fn restore(server: &Server) {
    with_data(server, |data, snapshot| {
        std::fs::remove_dir_all(data).unwrap();
        copy(snapshot, data);
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Until the handle has found its server again.
pub(crate) async fn found_again(log: &EtcdLog) {
    let found = async {
        while let Err(e) = log.head().await {
            assert_eq!(e.retry, invalidation_core::Retry::Temporary, "{e}");
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}
