//! The limit on concurrent loads: it spreads the herd after a `clear`.

use std::{future::Future, time::Duration};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::LoadError;

tokio::task_local! {
    /// Set while a loader runs. A load inside it would wait for a place that its own parent holds.
    static LOADING: ();
}

/// Runs a load so that loads nested in it are known as such.
pub(super) async fn as_loader<F: Future>(load: F) -> F::Output {
    LOADING.scope((), load).await
}

#[derive(Debug)]
pub(super) struct Limiter {
    places: Semaphore,
    pub(super) patience: Duration,
}

/// A place to load in. Nested loads need none.
pub(super) struct Place<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Limiter {
    pub(super) fn new(places: usize, patience: Duration) -> Self {
        Self {
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            patience,
        }
    }

    /// A place, if there is one at once.
    pub(super) fn try_enter(&self) -> Option<Place<'_>> {
        if LOADING.try_with(|()| ()).is_ok() {
            return Some(Place { _permit: None });
        }
        let permit = self.places.try_acquire().ok()?;
        Some(Place {
            _permit: Some(permit),
        })
    }

    /// A place, when one is free.
    pub(super) async fn enter(&self) -> Result<Place<'_>, LoadError> {
        match tokio::time::timeout(self.patience, self.places.acquire()).await {
            Ok(Ok(permit)) => Ok(Place {
                _permit: Some(permit),
            }),
            _ => Err(LoadError::Overloaded),
        }
    }
}
