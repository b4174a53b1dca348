//! The harness of the log: keys of its own for each case, on servers that no other case uses meanwhile. Three ask for a
//! password; one asks for none, since a token outlives a restore: see the crate's own tests.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::{Client, ConnectOptions, GetOptions, Permission};
use invalidation_conformance::{
    BusinessTransaction, Disruption, LogHarness, LogSpace, Stranger, Unable,
};
use invalidation_core::{
    CacheName, Entry, Error, Invalidation, InvalidationLog as _, Nonce, Retry, Scope, SharedLog,
};
use invalidation_testbed::{Backend, Offer, Proxy, Required, Server};
use invalidation_transport_etcd::{EtcdLog, EtcdLogBuilder};
use parking_lot::Mutex;

use crate::{disruptions, stored::Stored, transaction::Transaction};

const PASSWORD: &str = "correct-horse-battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a server takes before it is full.
const QUOTA: &str = "67108864";

/// Makes logs, each below keys of its own.
pub(crate) struct EtcdLogs {
    members: usize,
    /// Servers that a case left as they were.
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl EtcdLogs {
    pub(crate) fn of(members: usize) -> Self {
        Self {
            members,
            idle: Arc::default(),
        }
    }
}

/// The members, and the way to each.
pub(crate) struct Rig {
    fronts: Vec<Proxy>,
    pub(crate) servers: Vec<Server>,
}

impl Rig {
    fn start(members: usize) -> Result<Self, invalidation_testbed::Error> {
        let servers = match members {
            1 => {
                let arguments = ["--quota-backend-bytes", QUOTA];
                vec![Server::start_with(Backend::Etcd, &arguments)?]
            }
            _ => Server::etcd_cluster(members)?,
        };
        let fronts = servers.iter().map(|server| Proxy::to(server.address()));
        Ok(Self {
            fronts: fronts.collect::<Result<_, _>>()?,
            servers,
        })
    }

    /// Who may what.
    async fn prepare(&self) {
        if !self.has_users() {
            return;
        }
        let mut admin = Client::connect([self.servers[0].url()], None)
            .await
            .expect("connects");
        let keys = |prefix: &str| Permission::read_write(prefix).with_prefix();
        let reads = Permission::read("/cache-invalidation/").with_prefix();
        for role in ["app", "weak"] {
            admin.role_add(role).await.expect("a role");
        }
        for (role, right) in [
            ("app", keys("/cache-invalidation/")),
            ("app", keys("/business/")),
            ("weak", reads),
        ] {
            let granted = admin.role_grant_permission(role, right).await;
            granted.expect("its right");
        }
        for user in ["root", "app", "weak"] {
            admin.user_add(user, PASSWORD, None).await.expect("a user");
            admin.user_grant_role(user, user).await.expect("its role");
        }
        admin.auth_enable().await.expect("authentication");
    }

    fn has_users(&self) -> bool {
        self.servers.len() > 1
    }

    pub(crate) fn ways(&self, change: impl Fn(&Proxy)) {
        self.fronts.iter().for_each(change);
    }

    /// Where the log reaches them.
    fn hosts(&self) -> String {
        let hosts = self.fronts.iter().map(|front| front.address().to_string());
        hosts.collect::<Vec<_>>().join(",")
    }

    fn builder(&self, user: &str, password: &str, cluster: &str) -> EtcdLogBuilder {
        log(
            &format!("etcd://{user}:{password}@{}", self.hosts()),
            cluster,
        )
    }

    /// A client of its own, on the same way as the log's.
    pub(crate) async fn client(&self, user: &str) -> Client {
        let fronts = self.fronts.iter().map(|front| front.address().to_string());
        self.connect(fronts.collect(), user).await
    }

    /// One of the administrator, straight to the members that run.
    pub(crate) async fn admin(&self) -> Client {
        let alive = self
            .servers
            .iter()
            .filter(|server| !server.processes().is_empty());
        self.connect(alive.map(Server::url).collect(), "root").await
    }

    async fn connect(&self, hosts: Vec<String>, user: &str) -> Client {
        let options = self
            .has_users()
            .then(|| ConnectOptions::new().with_user(user, PASSWORD));
        let client = Client::connect(hosts, options).await;
        client.expect("a client of the service")
    }
}

fn log(url: &str, cluster: &str) -> EtcdLogBuilder {
    EtcdLog::builder(url)
        .cluster(cluster)
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
}

fn opened(builder: EtcdLogBuilder) -> EtcdLog {
    builder.connect_later().expect("good settings")
}

#[async_trait]
impl LogHarness for EtcdLogs {
    fn name(&self) -> &'static str {
        match self.members {
            1 => "etcd",
            _ => "etcd of three",
        }
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let idle = self.idle.lock().pop();
        let rig = match idle {
            Some(rig) => rig,
            None => {
                let started = Required::from_env()
                    .and_then(|required| required.decide(Rig::start(self.members)));
                match started.expect("the servers start") {
                    Offer::Here(rig) => {
                        rig.prepare().await;
                        rig
                    }
                    Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
                }
            }
        };
        let cluster = format!("case-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Ok(Box::new(Space {
            joined: Arc::new(opened(rig.builder("app", PASSWORD, &cluster))),
            handles: Mutex::default(),
            rig: Some(rig),
            cluster,
            spoilt: AtomicBool::new(false),
            idle: Arc::clone(&self.idle),
        }))
    }
}

pub(crate) struct Space {
    /// There until it is dropped.
    rig: Option<Rig>,
    pub(crate) cluster: String,
    /// The log that business transactions are joined to.
    joined: Arc<EtcdLog>,
    /// All that were given out.
    handles: Mutex<Vec<Weak<EtcdLog>>>,
    /// Whether the servers are no longer as others want them.
    pub(crate) spoilt: AtomicBool,
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take()
            && !self.spoilt.load(Ordering::Relaxed)
            && !std::thread::panicking()
        {
            rig.ways(Proxy::heal);
            self.idle.lock().push(rig);
        }
    }
}

impl Space {
    pub(crate) fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("until it is dropped")
    }

    fn users(&self) -> Result<(), Unable> {
        match self.rig().has_users() {
            true => Ok(()),
            false => Err(Unable::because(
                "this one asks for no password: see the suite on three",
            )),
        }
    }

    /// Waits until every handle has found the server again, which was started anew: that calls fail meanwhile is shown by
    /// the cases that stop it.
    pub(crate) async fn settle(&self) {
        let handles: Vec<_> = self
            .handles
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for handle in handles {
            while let Err(e) = handle.head().await {
                assert_eq!(e.retry, Retry::Temporary, "{e}");
            }
        }
    }

    /// With which the log's keys begin.
    pub(crate) fn prefix(&self) -> String {
        format!("/cache-invalidation/{}/log/", self.cluster)
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        let builder = self.rig().builder("app", PASSWORD, &self.cluster);
        let log = Arc::new(opened(builder));
        self.handles.lock().push(Arc::downgrade(&log));
        Ok(log)
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        self.users()?;
        let builder = self.rig().builder("weak", PASSWORD, &self.cluster);
        Ok(Arc::new(opened(builder)))
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        let hosts = self.rig().hosts();
        let builder = match stranger {
            Stranger::WrongSecret => self
                .users()
                .map(|()| self.rig().builder("app", WRONG_PASSWORD, &self.cluster))?,
            // The discard port, where nobody listens.
            Stranger::WrongHost => {
                log(&format!("etcd://app:{PASSWORD}@127.0.0.1:9"), &self.cluster)
            }
            // The servers have no certificates.
            Stranger::WrongTls => log(&format!("etcds://app:{PASSWORD}@{hosts}"), &self.cluster),
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot make a stranger ({stranger:?})"
                )));
            }
        };
        Ok(builder
            .connect_later()
            .map(|log| Arc::new(log) as SharedLog))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let client = self.rig().client("app").await;
        Ok(Box::new(Transaction::new(
            client,
            Arc::clone(&self.joined),
            &self.cluster,
        )))
    }

    fn purges(&self) -> Result<(), Unable> {
        Err(Unable::because(
            "etcd tells no time, and machines' clocks are not compared: a ring forgets its oldest appends when newer ones \
             need their room, and by no age",
        ))
    }

    /// An append that is larger than a ring leaves nothing else in it, and one handle writes to one ring after the other.
    async fn outgrow(&self, log: &SharedLog) -> Result<(), Unable> {
        const RINGS: usize = 16;
        const ENTRIES: usize = 64;
        for _ in 0..=RINGS {
            let others = CacheName::new("others").expect("a name");
            let entries: Vec<_> = (0..=ENTRIES)
                .map(|at| {
                    Entry::new(Invalidation::Cache {
                        cache: others.clone(),
                        scope: Scope::keys([at.to_string()]),
                    })
                })
                .collect();
            log.append(&entries).await.expect("appends");
        }
        Ok(())
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let key = Transaction::row(&self.cluster, key);
        let got = self.rig().admin().await.get(key, None).await;
        let got = got.expect("the row is read");
        let value = got.kvs().first().and_then(|kv| kv.value_str().ok());
        Ok(value.map(str::to_owned))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let mut admin = self.rig().admin().await;
        Stored::read(&mut admin, &self.prefix())
            .await
            .write_unknown(&mut admin)
            .await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        let key = format!("{}newest", self.prefix());
        let options = GetOptions::new().with_keys_only();
        let got = self.rig().admin().await.get(key, Some(options)).await;
        let got = got.expect("the key is read");
        let version = got.kvs().first().map_or(0, |kv| kv.version());
        Ok(version.unsigned_abs())
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        let mut admin = self.rig().admin().await;
        Ok(Stored::read(&mut admin, &self.prefix()).await.nonces())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        Box::pin(disruptions::disrupt(self, disruption)).await
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into(), WRONG_PASSWORD.into()]
    }
}
