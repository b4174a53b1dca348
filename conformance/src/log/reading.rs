//! Reading on from a cursor.

use std::sync::Arc;

use invalidation_core::{
    Completeness, Entry, Invalidation, Page, Payload, ReadRequest, ReadStart, Scope, Tick,
};

use super::LogHarness;
use crate::Unable;

/// What was appended is read, once and in order, and the page says that this was all.
pub(crate) async fn append_then_read(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let space = harness.fresh().await?;
    let log = space.connect().await?;
    log.install().await.expect("installs");
    let head = log.head().await.expect("has a head");
    let entries = [entry("1"), entry("2")];
    log.append(&entries).await.expect("appends");
    let request = ReadRequest::new(&head, ReadStart::new(Tick::from_nanos(1), 1));
    let started = request.started;
    match log.read(request).await.expect("reads") {
        Page::Entries {
            entries: read,
            complete: Completeness::AsOf(as_of),
            ..
        } => {
            let read: Vec<_> = read.into_iter().map(|logged| logged.payload).collect();
            assert_eq!(read, entries.map(Payload::Entry));
            assert_eq!(as_of, started);
        }
        other => panic!("expected two entries and a complete page, and got {other:?}"),
    }
    Ok(())
}

fn entry(key: &str) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: "users".parse().expect("a good name"),
        scope: Scope::keys([key]),
    })
}
