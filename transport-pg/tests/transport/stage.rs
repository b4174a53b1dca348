//! Trials on the servers that all share, and reading with deadlines.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport as _, Error, NodeId, Outgoing, Signal, Subscription,
};
use invalidation_testbed::{Backend, Offer, Proxy, Required, Server, shared};
use invalidation_transport_pg::{PgTransport, PgTransportBuilder};
use libtest_mimic::{Completion, Failed, Trial};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for what should not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A trial on the shared server of this kind. What it expects and does not get is a panic.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    backend: Backend,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let server = match Required::from_env()?.decide(shared(backend))? {
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

/// A name that no other test has.
pub(crate) fn fresh_cluster() -> String {
    NodeId::random().to_string()
}

pub(crate) fn builder(cluster: &str, url: &str) -> PgTransportBuilder {
    PgTransport::builder(cluster)
        .url(url)
        .publish_timeout(Duration::from_secs(5))
        .notices_loss_within(Duration::from_secs(6))
        .reconnect_wait(Duration::from_millis(1), Duration::from_millis(1))
}

pub(crate) fn node(cluster: &str, url: &str) -> PgTransport {
    builder(cluster, url).build().unwrap()
}

/// The URL through a proxy.
pub(crate) fn through(proxy: &Proxy) -> String {
    Backend::Postgres.url(proxy.address())
}

pub(crate) async fn publish(node: &PgTransport, text: &'static str) -> Result<(), Error> {
    let frame = Outgoing::to_all(Bytes::from_static(text.as_bytes()));
    within("publish", node.publish(frame)).await.map(drop)
}

pub(crate) async fn subscribe(node: &PgTransport) -> Subscription {
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

/// Runs statements as any other client of the database does.
pub(crate) async fn sql(url: &str, statements: impl Into<String>) {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.into()))
        .execute(&mut client)
        .await
        .unwrap();
}

/// Ends all sessions of this application, and waits until they have ended.
pub(crate) async fn end_sessions(url: &str, application: &str) {
    let end = format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
         WHERE application_name = '{application}'"
    );
    sql(url, end).await;
}

/// The URL of another database on that server.
pub(crate) fn database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("expected within {PATIENCE:?}: {what}"))
}
