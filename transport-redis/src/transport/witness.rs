//! Whether a server that took frames is the primary: a replica takes them as well, for its own subscribers alone.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use invalidation_core::Error;
use tokio::{sync::Mutex, time::sleep};

use crate::server::Link;

/// How long those who are to apply a frame go before the question.
const MOMENT: Duration = Duration::from_millis(1);

/// Asks the server over one link, once for all frames that it took before the question was put.
///
/// The question goes out a moment after the frame's answer has come, and not with the frame: before that it would take the
/// processor, here and at the server, from those who are to apply the frame. It serves all frames of that moment.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// How many questions were put.
    put: AtomicU64,
    /// The number of the last one that was answered well. Held while one is under way.
    answered: Mutex<u64>,
}

impl Witness {
    /// Returns when the server, asked after this was called, has said that it is the primary.
    pub(super) async fn confirm(&self, operation: &'static str, link: &Link) -> Result<(), Error> {
        let before = self.put.load(Ordering::SeqCst);
        sleep(MOMENT).await;
        let mut answered = self.answered.lock().await;
        if *answered > before {
            return Ok(());
        }
        let number = self.put.fetch_add(1, Ordering::SeqCst) + 1;
        link.greeting(operation).await?.is_primary(operation)?;
        *answered = number;
        Ok(())
    }
}
