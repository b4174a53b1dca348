//! A test binary that has a subscriber of its own keeps it: what cannot be heard then is ignored, and says so.

#[path = "support/memory_log.rs"]
mod memory_log;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use invalidation_conformance::{LogHarness, LogSpace, Unable, Verdict, log_suite};
use invalidation_core::SharedLog;
use memory_log::MemoryLogs;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

static HEARD: AtomicUsize = AtomicUsize::new(0);

/// The binary's own.
struct Own;

impl Subscriber for Own {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == module_path!()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Memory logs that have a secret.
struct Guarded;

#[async_trait]
impl LogHarness for Guarded {
    fn name(&self) -> &'static str {
        "guarded"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        Ok(Box::new(Space(MemoryLogs.fresh().await?)))
    }
}

struct Space(Box<dyn LogSpace>);

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        self.0.connect().await
    }

    fn secrets(&self) -> Vec<String> {
        vec!["nobody's".to_owned()]
    }
}

#[tokio::test]
async fn a_binary_keeps_its_own_subscriber() {
    tracing::subscriber::set_global_default(Own).expect("the first one");
    let suite = log_suite(Guarded);
    tracing::info!("mine");
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    match suite.check("no_secret_is_logged").await {
        Verdict::Ignored(unable) => {
            let reason = unable.to_string();
            assert!(
                reason.contains("a tracing subscriber of its own"),
                "{reason}"
            );
        }
        other => panic!("expected it to be ignored, and found {other:?}"),
    }
    assert_eq!(suite.check("no_secret_is_shown").await, Verdict::Passed);
    tracing::info!("mine still");
    assert_eq!(HEARD.load(Ordering::SeqCst), 2);
}
