//! Invalidations inside of transactions on the business database.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use invalidation_core::{BoxError, Cursor, Page, ReadRequest, ReadStart, Tick};

use super::{
    NodeHarness,
    rows::tag_of,
    scopes::of_key,
    stage::{Space, Stage},
    under_test::{
        Ending,
        Freshness::{self, Eventual, Strict},
        Loader, Row,
    },
};
use crate::{
    BusinessTransaction, Unable,
    wait::{self, eventually},
};

/// P2, P6: an invalidation in a transaction takes effect with the commit: once it returned, this node reads the new
/// row in every cache, and every other one strictly.
pub(crate) async fn committed_transaction_invalidates(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    has_rows(&stage).await?;
    for version in 1..=5 {
        for place in [0, 1] {
            read(&stage, place, Eventual).await;
        }
        let transaction = begin(&stage, version).await?;
        for place in [0, 1] {
            let old = read(&stage, place, Eventual).await;
            assert_eq!(old, version - 1, "a read before the commit");
        }
        end(&stage, transaction, Ending::Commit).await;
        assert_eq!(read(&stage, 0, Eventual).await, version, "P6");
        assert_eq!(read(&stage, 1, Strict).await, version, "P3");
        eventually!("every node has heard of it", {
            (read(&stage, 1, Eventual).await == version).then_some(())
        });
    }
    Ok(())
}

/// P2: a transaction that was rolled back invalidates nothing on other nodes, and leaves no row of its own behind.
pub(crate) async fn rolled_back_transaction_changes_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    has_rows(&stage).await?;
    read(&stage, 1, Eventual).await;
    let head = stage.log.head().await.expect("a head");
    let transaction = begin(&stage, 1).await?;
    read(&stage, 0, Eventual).await;
    end(&stage, transaction, Ending::RollBack).await;
    for freshness in Freshness::ALL {
        assert_eq!(read(&stage, 0, freshness).await, 0);
        assert_eq!(read(&stage, 1, freshness).await, 0);
    }
    stage.caught_up(1).await;
    // The log first: what a node dropped may have been loaded again since.
    assert_empty_after(&stage, &head).await;
    assert!(
        stage.holds(1, Eventual, "1"),
        "it was invalidated elsewhere"
    );
    Ok(())
}

/// The log holds nothing after this cursor.
async fn assert_empty_after(stage: &Stage, head: &Cursor) {
    let start = ReadStart::new(Tick::from_nanos(1), 1);
    match stage.log.read(ReadRequest::new(head, start)).await {
        Ok(Page::Entries { entries, .. }) => assert!(
            entries.is_empty(),
            "a transaction that did not commit left {entries:?} in the log"
        ),
        other => panic!("a page was expected, and came {other:?}"),
    }
}

/// P2: one whose node was told of no end at all leaves nothing stale, and nothing of it in the log.
pub(crate) async fn forgotten_transaction_leaves_nothing_stale(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    for version in 1..=3 {
        let head = stage.log.head().await.expect("a head");
        let forgotten = begin(&stage, 1_000).await?;
        end(&stage, forgotten, Ending::Drop).await;
        for place in [0, 1] {
            assert_eq!(
                read(&stage, place, Strict).await,
                version - 1,
                "what was forgotten must not have happened"
            );
        }
        assert_empty_after(&stage, &head).await;
        let transaction = begin(&stage, version).await?;
        end(&stage, transaction, Ending::Commit).await;
        for place in [0, 1] {
            assert_eq!(read(&stage, place, Strict).await, version);
        }
    }
    Ok(())
}

/// Unless the harness has none to read.
async fn has_rows(stage: &Stage) -> Result<(), Unable> {
    stage.space.log.row("1").await.map(|_| ())
}

/// A transaction that has written row 1, once the database lets it.
pub(crate) async fn begin(
    stage: &Stage,
    version: u64,
) -> Result<Box<dyn BusinessTransaction>, Unable> {
    // A transaction that was dropped may still be rolling back.
    let deadline = tokio::time::Instant::now() + wait::PATIENCE;
    loop {
        let mut transaction = stage.space.log.begin().await?;
        match transaction.write_row("1", &version.to_string()).await {
            Ok(()) => return Ok(transaction),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        drop(transaction);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn end(stage: &Stage, transaction: Box<dyn BusinessTransaction>, ending: Ending) {
    let node = stage.places[0].node();
    let ended = node.end(transaction, of_key("1"), ending);
    wait::within("the end of a transaction", wait::PATIENCE, ended)
        .await
        .expect("the transaction ends");
}

async fn read(stage: &Stage, place: usize, freshness: Freshness) -> u64 {
    let loader = stored(&stage.space, "1");
    let read = stage.places[place].read(freshness, "1", loader);
    wait::within("a read", wait::PATIENCE, read).await
}

/// Loads a row of the business database.
pub(crate) fn stored(space: &Arc<Space>, key: &str) -> Loader {
    let (space, key) = (Arc::clone(space), key.to_owned());
    Arc::new(move || {
        let (space, key) = (Arc::clone(&space), key.clone());
        async move {
            let row = space
                .log
                .row(&key)
                .await
                .map_err(|unable| unable.to_string())?;
            let version = row.map_or(Ok(0), |row| row.parse())?;
            let tags = vec![tag_of(&key)];
            Ok::<_, BoxError>(Row { version, tags })
        }
        .boxed()
    })
}
