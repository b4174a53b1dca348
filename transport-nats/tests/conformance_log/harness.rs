//! The harness of the NATS log: a server for each case, and a proxy on the way to it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use invalidation_conformance::{Disruption, LogHarness, LogSpace, Stranger, Unable};
use invalidation_core::{Error, SharedLog};
use invalidation_testbed::{Backend, Error as Failure, Offer, Proxy, Required, Server};
use invalidation_transport_nats::{NatsLog, NatsLogBuilder};
use serde_json::json;
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::jetstream::{Backup, Operator, PASSWORD, USER, WEAK, configuration, url};

const CLUSTER: &str = "billing";
const ANOTHER: &str = "battery-staple";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Makes logs, each on a server of its own.
pub(crate) struct NatsLogs;

#[async_trait]
impl LogHarness for NatsLogs {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        let required = Required::from_env().expect("REQUIRE_BACKENDS");
        let server = match required.decide(blocking(start).await).expect("a server") {
            Offer::Here(server) => server,
            Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
        };
        let address = server.address();
        let proxy = blocking(move || Proxy::to(address)).await.expect("a proxy");
        Ok(Box::new(Space {
            server: Arc::new(server),
            proxy,
            backup: Mutex::new(None),
        }))
    }
}

fn start() -> Result<Server, Failure> {
    static FILE: OnceLock<String> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let name = format!("nats-log-{}.conf", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, configuration()).expect("a configuration file");
        file.to_string_lossy().into_owned()
    });
    Server::start_with(Backend::Nats, &["-c", file])
}

struct Space {
    server: Arc<Server>,
    proxy: Proxy,
    backup: Mutex<Option<Backup>>,
}

impl Space {
    async fn operator(&self) -> Operator {
        Operator::at(self.server.address(), CLUSTER).await
    }

    async fn server(&self, what: &str, act: fn(&Server) -> Result<(), Failure>) {
        let server = Arc::clone(&self.server);
        let done = blocking(move || act(&server)).await;
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

fn builder(url: &str) -> NatsLogBuilder {
    NatsLog::builder(url)
        .cluster(CLUSTER)
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
}

fn log(address: SocketAddr, user: &str) -> SharedLog {
    let builder = builder(&url(address, user, PASSWORD));
    Arc::new(builder.connect_later().expect("good settings"))
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(log(self.proxy.address(), USER))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        Ok(log(self.proxy.address(), WEAK))
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        let here = self.server.address();
        let builder = match stranger {
            Stranger::WrongSecret => builder(&url(here, USER, ANOTHER)),
            Stranger::WrongHost => {
                let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
                builder(&url(nowhere, USER, ANOTHER))
            }
            Stranger::WrongTls => {
                let plain = url(here, USER, PASSWORD);
                builder(&plain.replace("nats://", "tls://"))
            }
            other => return Err(Unable::because(format!("the harness makes no {other:?}"))),
        };
        let log = builder
            .write_timeout(Duration::from_secs(1))
            .connect()
            .await;
        Ok(log.map(|log| Arc::new(log) as SharedLog))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        // Format 1, one entry: nonce 1, cache `users`, scope 9.
        let entry = b"\x09\x01\0\0\0\0\0\0\0\x12\x05users\x18\x09";
        let mut message = vec![1, 0x0a, u8::try_from(entry.len()).expect("a short one")];
        message.extend(entry);
        self.operator().await.publish(&message).await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        Ok(self.operator().await.number("last_seq").await)
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Stop => self.server("stop", Server::stop).await,
            Disruption::Kill => self.server("kill", Server::kill).await,
            Disruption::Restart => self.server("restart", Server::restart).await,
            Disruption::Pause => self.server("pause", Server::pause).await,
            Disruption::Resume => self.server("resume", Server::resume).await,
            Disruption::Cut => self.proxy.cut(),
            Disruption::BlackHole => self.proxy.black_hole(),
            Disruption::Delay(by) => self.proxy.delay(by),
            Disruption::Heal => self.proxy.heal(),
            Disruption::Fill => {
                let operator = self.operator().await;
                let most = operator.number("bytes").await + 50_000;
                let full = [("max_bytes", json!(most)), ("discard", json!("new"))];
                operator.edit(&full).await;
            }
            Disruption::Empty => {
                self.operator()
                    .await
                    .edit(&[("max_bytes", json!(-1))])
                    .await
            }
            Disruption::Snapshot => {
                let backup = self.operator().await.back_up().await;
                *self.backup.lock().await = Some(backup);
            }
            Disruption::Restore => {
                let backup = self.backup.lock().await;
                let backup = backup.as_ref().expect("a snapshot before");
                self.operator().await.restore(backup).await;
            }
            Disruption::Recreate => self.operator().await.recreate().await,
            Disruption::DeleteAll => self.operator().await.delete_all().await,
            Disruption::DeleteNewest => self.operator().await.delete_newest().await,
            Disruption::Trim { keep } => self.operator().await.trim(keep).await,
            Disruption::ReadOnly => {
                return Err(Unable::because(
                    "JetStream has no way to be read-only for a while",
                ));
            }
            Disruption::FailOver => {
                return Err(Unable::because(
                    "the stream has one replica; several are tried by tests of their own",
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

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into(), ANOTHER.into()]
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(act).await.expect("it does not panic")
}
