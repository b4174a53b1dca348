//! Which server is taken for the primary: the one that was found last, by whoever looked.

use tokio::sync::watch;

use crate::server::{Address, Link};

/// What subscriptions and frames know in common: each leaves a server when the other finds another one. An old primary
/// that was away, and is back before anybody told it of its successor, holds neither of them.
#[derive(Debug)]
pub(super) struct Primary(watch::Sender<Option<Address>>);

impl Primary {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Says that the server of this link is the primary.
    pub(super) fn found(&self, link: &Link) {
        self.0.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(link.address());
            if is_news {
                *known = Some(link.address().clone());
            }
            is_news
        });
    }

    /// Whether no other server was found since this link.
    pub(super) fn is_at(&self, link: &Link) -> bool {
        self.0.borrow().as_ref() == Some(link.address())
    }

    /// Waits until another server than that of this link is found.
    pub(super) async fn leaves(&self, link: &Link) {
        let mut news = self.0.subscribe();
        let left = |known: &Option<Address>| known.as_ref() != Some(link.address());
        // It lives as long as what waits here.
        let _ = news.wait_for(left).await;
    }
}
