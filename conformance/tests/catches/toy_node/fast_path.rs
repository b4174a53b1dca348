//! Frames: what it hears, and what it tells.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::StreamExt;
use invalidation_conformance::CLUSTER;
use invalidation_core::{
    Entry, Error, ErrorKind, Frame, NodeId, Sender, Signal, Subscription,
    frame::{Carried, Envelope, Message, Standing, decode},
};
use tokio::time::sleep;

use super::{
    Mistake, Shared,
    counting::{DROPPED, GAPS},
};

impl Shared {
    pub(super) async fn listen(self: Arc<Self>, mut signals: Subscription) {
        loop {
            while let Some(Ok(signal)) = signals.next().await {
                match signal {
                    Signal::Frame(frame) => {
                        let heard = self.hear(frame).await;
                        if heard.is_break() {
                            return;
                        }
                    }
                    Signal::Gap(reason) => {
                        self.count(GAPS, reason.as_str());
                        self.wanted.notify_one();
                    }
                    Signal::Nudge => self.wanted.notify_one(),
                    _ => {}
                }
            }
            if self.makes(Mistake::NeverSubscribesAgain) {
                return;
            }
            signals = loop {
                if let Ok(signals) = self.setup.transport.subscribe().await {
                    break signals;
                }
                sleep(Duration::from_millis(20)).await;
            };
            self.wanted.notify_one();
        }
    }

    async fn hear(&self, frame: Frame) -> ControlFlow<()> {
        let Ok(envelope) = decode(&frame.bytes) else {
            self.count(GAPS, "a frame that nobody can read");
            self.wanted.notify_one();
            return match self.mistake {
                Mistake::StopsAtNonsense => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
        };
        if envelope.cluster.as_str() != CLUSTER && !self.makes(Mistake::HearsOtherClusters) {
            self.count(DROPPED, "of another cluster");
            return ControlFlow::Continue(());
        }
        let mut ack = frame.ack;
        match self.mistake {
            Mistake::AcknowledgesNothing => ack = None,
            Mistake::AcknowledgesBeforeApplying => {
                if let Some(ack) = ack.take() {
                    ack.applied();
                    sleep(Duration::from_millis(15)).await;
                }
            }
            _ => {}
        }
        let is_late = self.is_late(&envelope);
        let Message::Invalidations(carried) = envelope.message else {
            return ControlFlow::Continue(());
        };
        for Carried { entry, standing } in carried {
            let is_known = frame.sender == Sender::Authenticated;
            let is_proven = match standing {
                Standing::Proven(_) => is_known || self.makes(Mistake::BelievesStrangers),
                Standing::Claimed => self.makes(Mistake::BelievesClaims),
            };
            if is_late {
                self.applying.lock().await.insert(entry.hash());
            } else if is_proven {
                self.apply_once(&entry, false).await;
            } else {
                self.apply(&entry.invalidation, true);
            }
        }
        if let Some(ack) = ack {
            ack.applied();
        }
        ControlFlow::Continue(())
    }

    /// For a node that thinks that it has applied whatever is not newer than the newest.
    fn is_late(&self, envelope: &Envelope) -> bool {
        let origin = match self.mistake {
            Mistake::LateIsDuplicate => envelope.origin,
            Mistake::OneSequenceForAll => NodeId::from_bytes([0; 16]),
            _ => return false,
        };
        let mut state = self.state.lock();
        let newest = state.newest.entry(origin).or_default();
        let is_late = envelope.sequence <= *newest;
        *newest = envelope.sequence.max(*newest);
        is_late
    }

    /// What is known to be committed.
    pub(super) async fn spread(self: &Arc<Self>, entries: Vec<Entry>) -> Result<(), Error> {
        if !self.makes(Mistake::OwnWritesWait) {
            for entry in &entries {
                self.apply_once(entry, false).await;
            }
        }
        let identity = self.setup.log.identity();
        let standing = identity.map_or(Standing::Claimed, |identity| {
            Standing::Proven(Some(identity))
        });
        let told = self.tell(entries, &standing).await;
        told.map_err(|error| Error::new(ErrorKind::Other, "toy", "publish", error.to_string()))
    }

    /// What may or may not be.
    pub(super) async fn claim(self: &Arc<Self>, entries: Vec<Entry>) {
        for entry in &entries {
            self.apply(&entry.invalidation, true);
        }
        // Its writer hears of another error.
        let _ = self.tell(entries, &Standing::Claimed).await;
    }
}
