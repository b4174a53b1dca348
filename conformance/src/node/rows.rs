//! The table that the caches are of.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt;
use invalidation_core::BoxError;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::under_test::{Loader, Row};

/// Rows by key, each with a version, and with tags that never change. A row that was never written is at version 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows(Arc<Mutex<HashMap<String, u64>>>);

/// The tag that the row of `key` carries.
pub(crate) fn tag_of(key: &str) -> String {
    format!("tag of {key}")
}

impl Rows {
    pub(crate) fn write(&self, key: &str, version: u64) {
        self.0.lock().insert(key.to_owned(), version);
    }

    fn row(&self, key: &str) -> Row {
        Row {
            version: self.0.lock().get(key).copied().unwrap_or_default(),
            tags: vec![tag_of(key)],
        }
    }

    /// Loads the row as it is when the load begins.
    pub(crate) fn loader(&self, key: &str) -> Loader {
        let (rows, key) = (self.clone(), key.to_owned());
        Arc::new(move || {
            let row = rows.row(&key);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(row)
            }
            .boxed()
        })
    }

    /// The same, but the load ends only when it is told to.
    pub(crate) fn held_loader(&self, key: &str) -> (Loader, HeldLoad) {
        let (rows, key) = (self.clone(), key.to_owned());
        let stage = watch::Sender::new(LoadStage::Waiting);
        let begun = Arc::new(AtomicBool::new(false));
        let held = HeldLoad(stage.clone(), Arc::clone(&begun));
        let loader: Loader = Arc::new(move || {
            let (row, stage) = (rows.row(&key), stage.clone());
            begun.store(true, Ordering::SeqCst);
            async move {
                stage.send_if_modified(|stage| {
                    let first = *stage == LoadStage::Waiting;
                    if first {
                        *stage = LoadStage::Begun;
                    }
                    first
                });
                let mut told = stage.subscribe();
                // The sender is held by this very loader.
                let _ = told.wait_for(|stage| *stage == LoadStage::Released).await;
                Ok::<_, BoxError>(row)
            }
            .boxed()
        });
        (loader, held)
    }
}

/// A load that ends when it is told to.
#[derive(Debug)]
pub(crate) struct HeldLoad(watch::Sender<LoadStage>, Arc<AtomicBool>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadStage {
    Waiting,
    Begun,
    Released,
}

impl HeldLoad {
    /// Waits until it has read its row.
    pub(crate) async fn begun(&self) {
        let mut told = self.0.subscribe();
        let begun = told.wait_for(|stage| *stage != LoadStage::Waiting);
        crate::wait::within("the load begins", crate::wait::PATIENCE, begun)
            .await
            .expect("its sender lives");
    }

    /// Whether it has read its row: whether there was a load at all.
    pub(crate) fn was_begun(&self) -> bool {
        self.1.load(Ordering::SeqCst)
    }

    pub(crate) fn release(&self) {
        self.0.send_replace(LoadStage::Released);
    }
}
