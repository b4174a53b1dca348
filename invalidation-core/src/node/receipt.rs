//! What became of an invalidation on the fast path.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    error::Error,
    transport::Delivery,
    words::{Nonce, Position},
};

/// An invalidation that is in the log and applied on this node; publishing goes on in the background.
///
/// Dropping it changes nothing: peers that the fast path does not reach hear from the log (`P1`).
#[derive(Debug)]
pub struct Receipt {
    nonces: Vec<Nonce>,
    positions: Vec<Position>,
    lanes: Vec<(&'static str, oneshot::Receiver<LaneReport>)>,
}

/// What one transport answered to the frames of one batch.
pub(super) type LaneReport = Vec<Result<Delivery, Arc<Error>>>;

/// What one transport answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Published {
    /// The transport's name.
    pub transport: &'static str,
    /// One result for each frame that carried part of the invalidation: which peers took it and which did
    /// not. Empty when the node ended first.
    pub frames: Vec<Result<Delivery, Arc<Error>>>,
}

impl Published {
    /// Whether every peer took every frame.
    pub fn is_complete(&self) -> bool {
        let taken = |delivery: &Delivery| delivery.peers.iter().all(|peer| peer.result.is_ok());
        !self.frames.is_empty()
            && self
                .frames
                .iter()
                .all(|frame| frame.as_ref().is_ok_and(taken))
    }
}

impl Receipt {
    pub(super) const fn new(
        nonces: Vec<Nonce>,
        positions: Vec<Position>,
        lanes: Vec<(&'static str, oneshot::Receiver<LaneReport>)>,
    ) -> Self {
        Self {
            nonces,
            positions,
            lanes,
        }
    }

    /// The nonce of each entry.
    pub fn nonces(&self) -> &[Nonce] {
        &self.nonces
    }

    /// Where each entry stands in the log; empty without a log.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Waits until every transport has answered: at most the publish timeout and the time spent in the
    /// queue. Cancel-safe: dropping it stops nothing.
    pub async fn published(self) -> Vec<Published> {
        let mut published = Vec::with_capacity(self.lanes.len());
        for (transport, heard) in self.lanes {
            let frames = heard.await.unwrap_or_default();
            published.push(Published { transport, frames });
        }
        published
    }
}
