//! Trials on servers of every kind, and reading with deadlines.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport as _, Error, NodeId, Outgoing, Signal, Subscription,
};
use invalidation_testbed::{
    Backend, Error as TestbedError, Offer, Proxy, Required, Server, shared,
};
use invalidation_transport_nats::{NatsTransport, NatsTransportBuilder};
use libtest_mimic::{Completion, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for what should not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A trial on the server that all share, which lets everybody in. What it expects and does not get is a panic.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        decided(shared(Backend::Nats), |server| {
            runtime()?.block_on(body(server));
            Ok(())
        })
    })
}

/// A trial on a server of its own, which is configured like this.
pub(crate) fn trial_on<F: Future<Output = ()>>(
    name: &'static str,
    setup: impl FnOnce() -> Setup + Send + 'static,
    body: impl FnOnce(Bed) -> F + Send + 'static,
) -> Trial {
    let start = move || {
        let setup = setup();
        Ok(Bed {
            server: setup.start()?,
            setup,
        })
    };
    trial_of(name, start, body)
}

/// A trial on what is started like this.
pub(crate) fn trial_of<S, F: Future<Output = ()>>(
    name: &'static str,
    start: impl FnOnce() -> Result<S, TestbedError> + Send + 'static,
    body: impl FnOnce(S) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        decided(start(), |started| {
            runtime()?.block_on(body(started));
            Ok(())
        })
    })
}

fn decided<S>(
    started: Result<S, TestbedError>,
    go: impl FnOnce(S) -> Result<(), Failed>,
) -> Result<Completion, Failed> {
    match Required::from_env()?.decide(started)? {
        Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
        Offer::Here(server) => go(server).map(|()| Completion::Completed),
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// How a server is configured: the text of its file, and other files beside it.
pub(crate) struct Setup {
    folder: TempDir,
}

impl Setup {
    pub(crate) fn new(config: &str) -> Self {
        let setup = Self {
            folder: TempDir::new().unwrap(),
        };
        setup.write("nats.conf", config);
        setup
    }

    /// A file beside the configuration, which finds it by its name alone.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Result<Server, TestbedError> {
        let config = self.path("nats.conf");
        Server::start_with(Backend::Nats, &["-c", config.to_str().unwrap()])
    }
}

/// A server and its configuration.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) setup: Setup,
}

impl Bed {
    /// Configures it anew, without a restart.
    pub(crate) fn reload(&self, config: &str) {
        self.setup.write("nats.conf", config);
        signal(&self.server, "reload");
    }
}

/// Sends the server one of its signals: `reload`, `ldm`.
pub(crate) fn signal(server: &Server, what: &str) {
    let [process] = server.processes()[..] else {
        panic!("expected one process")
    };
    let told = std::process::Command::new(Backend::Nats.program("nats-server").unwrap())
        .arg(format!("--signal={what}={}", process.id()))
        .status();
    assert!(told.unwrap().success());
}

/// A name that no other test has.
pub(crate) fn fresh_cluster() -> String {
    NodeId::random().to_string()
}

pub(crate) fn builder(cluster: &str, url: &str) -> NatsTransportBuilder {
    NatsTransport::builder(cluster)
        .url(url)
        .publish_timeout(Duration::from_secs(5))
        .notices_loss_within(Duration::from_secs(6))
        .reconnect_wait(Duration::from_millis(1), Duration::from_millis(1))
}

pub(crate) fn node(cluster: &str, url: &str) -> NatsTransport {
    builder(cluster, url).build().unwrap()
}

/// The URL through a proxy.
pub(crate) fn through(proxy: &Proxy) -> String {
    Backend::Nats.url(proxy.address())
}

pub(crate) async fn publish(node: &NatsTransport, text: &'static str) -> Result<(), Error> {
    let frame = Outgoing::to_all(Bytes::from_static(text.as_bytes()));
    within("publish", node.publish(frame)).await.map(drop)
}

pub(crate) async fn subscribe(node: &NatsTransport) -> Subscription {
    within("subscribe", node.subscribe()).await.unwrap()
}

/// What a subscription tells next, in words: a frame's text, or what else it is.
pub(crate) async fn hear(subscription: &mut Subscription) -> String {
    match within("something is told", subscription.next()).await {
        Some(Ok(Signal::Frame(frame))) => String::from_utf8(frame.bytes.to_vec()).unwrap(),
        Some(Ok(Signal::Gap(reason))) => format!("gap: {reason}"),
        Some(Ok(Signal::Nudge)) => "nudge".to_owned(),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(error)) => format!("end: {:?}", error.kind),
        None => "end".to_owned(),
    }
}

/// Sends and receives a frame of its own.
pub(crate) async fn works(node: &NatsTransport) {
    let mut subscription = subscribe(node).await;
    publish(node, "it works").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "it works");
    within("probe", node.probe()).await.unwrap();
}

/// Whatever this node does is refused, with this kind; none of it shows a secret.
pub(crate) async fn is_refused(
    builder: NatsTransportBuilder,
    kind: invalidation_core::ErrorKind,
    secrets: &[&str],
) {
    let mut shown = format!("{builder:?}");
    for call in 0..3 {
        let node = builder.clone().build().unwrap();
        let error = match call {
            0 => within("probe", node.probe()).await.err(),
            1 => publish(&node, "of a stranger").await.err(),
            _ => within("subscribe", node.subscribe()).await.err(),
        };
        let error = error.unwrap_or_else(|| panic!("expected call {call} to be refused"));
        assert_eq!(error.kind, kind, "{error:?}");
        shown.push_str(&format!("{node:?} {error} {error:?}"));
    }
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("expected within {PATIENCE:?}: {what}"))
}
