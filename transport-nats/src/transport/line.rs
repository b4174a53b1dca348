//! A link that was seen to carry frames, and what is done over it.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use invalidation_core::Error;
use metrics::counter;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    builder::Settings,
    desk::Reader,
    failure::{closed, from_publish, link_lost, link_silent},
    state::{Answer, End, State},
};
use crate::{
    error::timed_out,
    server::{Link, Wish},
};

/// How long those who are to apply a frame go before the fence behind it, which would take the processor from them, here and
/// at the server. One serves all frames of that moment.
const MOMENT: Duration = Duration::from_millis(1);

/// A link over which this user may send and receive frames. Dropping it ends all that uses it.
pub(super) struct Line {
    link: Link,
    state: Arc<State>,
    settings: Arc<Settings>,
    /// Where fences go, and come back.
    fences: Subject,
}

impl Line {
    /// Opens one, with a subscription that is live on it.
    pub(super) async fn open(
        settings: Arc<Settings>,
        operation: &'static str,
        tasks: &TaskTracker,
    ) -> Result<(Self, Subscriber), Error> {
        let state = Arc::new(State::new(settings.subjects.clone()));
        let wish = Wish {
            within: settings.publish_timeout,
            notices_loss_within: settings.notices_loss_within,
            capacity: settings.buffered,
        };
        let heard = {
            let state = Arc::clone(&state);
            move |what| state.heard(what)
        };
        let deadline = Instant::now() + settings.publish_timeout;
        let link = settings.server.connect(operation, wish, heard).await?;
        let fences = settings.subjects.private();
        let inbox = match link.client().subscribe(fences.clone()).await {
            Ok(inbox) => inbox,
            Err(_) => return Err(state.why(operation)),
        };
        let line = Self {
            fences,
            settings,
            state,
            link,
        };
        tasks.spawn(tend(line.tender(), inbox));
        let subscriber = line.listen(operation, deadline).await?;
        // The fences' subject is tried as well.
        line.answered(operation, deadline, line.confirmation())
            .await?;
        let taken = line.link.client().max_payload();
        if taken < line.settings.max_frame {
            tracing::warn!(
                max_payload = taken,
                max_frame = line.settings.max_frame,
                "the server takes no frames as large as this transport declares: they will fail; build it with \
                 max_frame {taken}, or raise the server's max_payload",
            );
        }
        Ok((line, subscriber))
    }

    /// Sends a frame. `Ok` once the server has taken it.
    pub(super) async fn publish(&self, frame: Bytes, deadline: Instant) -> Result<(), Error> {
        const OPERATION: &str = "publish";
        let size = frame.len();
        let client = self.link.client();
        let sending = client.publish(self.settings.subjects.frames.clone(), frame);
        match timeout_at(deadline, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(from_publish(error, size, client.max_payload())),
            Err(_) => return Err(timed_out(OPERATION, self.settings.publish_timeout)),
        }
        sleep(MOMENT).await;
        self.answered(OPERATION, deadline, self.confirmation())
            .await
    }

    /// A round trip.
    pub(super) async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        self.answered("probe", deadline, self.confirmation()).await
    }

    /// One more subscription, which is live: what this link itself sent to the cluster has come over it. So both are
    /// allowed, too; the server says what it refuses to a message in no order with what else comes.
    pub(super) async fn listen(
        &self,
        operation: &'static str,
        deadline: Instant,
    ) -> Result<Subscriber, Error> {
        let subjects = &self.settings.subjects;
        let test = subjects.private();
        let client = self.link.client();
        let testing = async {
            let mut subscriber = client.subscribe(subjects.all.clone()).await.ok()?;
            let frames = subjects.frames.clone();
            let testing = client.publish_with_reply(frames, test.clone(), Bytes::new());
            testing.await.ok()?;
            while let Some(message) = subscriber.next().await {
                if message.reply.as_ref() == Some(&test) {
                    return Some(subscriber);
                }
            }
            None
        };
        let ended = self.state.ended();
        tokio::select! {
            biased;
            () = ended.cancelled() => Err(self.state.why(operation)),
            tested = timeout_at(deadline, testing) => match tested {
                Ok(Some(subscriber)) => Ok(subscriber),
                Ok(None) => Err(self.state.why(operation)),
                Err(_) => {
                    self.state.end(link_silent(), End::AtOnce);
                    Err(timed_out(operation, self.settings.publish_timeout))
                }
            },
        }
    }

    /// A subscription as the node reads it.
    pub(super) fn reader(&self, subscriber: Subscriber) -> Reader {
        let is_one_of_several = self.link.client().server_info().cluster.is_some();
        let settles = self.settings.notices_loss_within;
        Reader {
            desk: self.state.attend(subscriber),
            state: Arc::clone(&self.state),
            subjects: self.settings.subjects.clone(),
            sender: self.settings.sender,
            settling: is_one_of_several.then(|| Box::pin(sleep(settles)) as _),
            is_over: false,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.state.ended().is_cancelled() && !self.link.is_lost()
    }

    /// Ends all that uses it. What is given is cancelled when its connection has ended.
    pub(super) fn close(&self) -> CancellationToken {
        self.state.end(closed("link"), End::AtOnce);
        self.link.lost().clone()
    }

    /// What is answered when the server has taken all that was sent before.
    fn confirmation(&self) -> Answer {
        let (answer, fence) = self.state.wait();
        if let Some(fence) = fence {
            // At once, so that whoever is cancelled has sent it.
            let sending = self.link.client().publish(self.fences.clone(), fence);
            if !matches!(sending.now_or_never(), Some(Ok(()))) {
                self.state.held_up.notify_one();
            }
        }
        answer
    }

    async fn answered(
        &self,
        operation: &'static str,
        deadline: Instant,
        answer: Answer,
    ) -> Result<(), Error> {
        match timeout_at(deadline, answer).await {
            Ok(Ok(answered)) => answered.map_err(|mut error| {
                error.operation = operation;
                error
            }),
            Ok(Err(_)) => Err(self.state.why(operation)),
            Err(_) => Err(timed_out(operation, self.settings.publish_timeout)),
        }
    }

    fn tender(&self) -> Tender {
        Tender {
            state: Arc::clone(&self.state),
            client: self.link.client().clone(),
            lost: self.link.lost().clone(),
            fences: self.fences.clone(),
            patience: self.settings.notices_loss_within,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.state.end(closed("link"), End::AtOnce);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// What the link's task needs.
struct Tender {
    state: Arc<State>,
    client: Client,
    lost: CancellationToken,
    fences: Subject,
    patience: Duration,
}

/// Takes fences that come back, sends those that wait, and sees the end.
async fn tend(tender: Tender, mut inbox: Subscriber) {
    let state = &*tender.state;
    let mut ended = std::pin::pin!(state.ended().cancelled());
    let mut lost = std::pin::pin!(tender.lost.cancelled());
    // The client finds a link that is silent by itself. One on which something still comes, and nothing goes, it does not.
    let mut looking = interval(tender.patience / 4);
    looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut to_send: Option<Bytes> = None;
    loop {
        let sending = async {
            match &to_send {
                Some(fence) => {
                    tender
                        .client
                        .publish(tender.fences.clone(), fence.clone())
                        .await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut ended => return,
            () = &mut lost => break,
            message = inbox.next() => match message {
                Some(message) => if let Some(next) = state.came(&message.payload) {
                    to_send = Some(next);
                },
                None => break,
            },
            sent = sending => match sent {
                Ok(()) => to_send = None,
                Err(_) => break,
            },
            () = state.held_up.notified() => to_send = state.fence(),
            _ = looking.tick() => if state.waits_for(tender.patience) {
                counter!("cache_invalidation_nats_links_lost_total").increment(1);
                state.end(link_silent(), End::AtOnce);
                return;
            },
        }
    }
    counter!("cache_invalidation_nats_links_lost_total").increment(1);
    state.end(link_lost(), End::AfterWhatCame);
}
