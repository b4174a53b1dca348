//! Who does not belong is told so: by the right kind of error, at once, whatever it calls first.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{Delivery, Error, ErrorKind, Outgoing, Subscription};
use tokio::time::Instant;

use super::{Member, Stranger, TransportCluster, TransportHarness, listening::Listener};
use crate::{Unable, wait::within};

/// The time-out of a stranger's calls.
const TIMEOUT: Duration = Duration::from_secs(40);
/// A call that takes longer waits for that, and not for a machine that stalls.
const WAITS: Duration = Duration::from_secs(10);
/// At once, on a machine that does not stall just then.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How many strangers call, one after another, until one is refused at once.
const STRANGERS: usize = 5;

/// Wrong credentials are `Denied`, at once.
pub(crate) async fn wrong_credentials_are_denied(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    is_refused(harness, Stranger::WrongSecret, &[ErrorKind::Denied]).await
}

/// An address where nobody listens is `Unavailable`, at once.
pub(crate) async fn a_wrong_host_is_unavailable(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    is_refused(harness, Stranger::WrongHost, &[ErrorKind::Unavailable]).await
}

/// TLS that does not fit is an error that retrying does not hide, at once.
pub(crate) async fn wrong_tls_is_refused(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const KINDS: &[ErrorKind] = &[
        ErrorKind::Denied,
        ErrorKind::Unavailable,
        ErrorKind::Invalid,
    ];
    is_refused(harness, Stranger::WrongTls, KINDS).await
}

async fn is_refused(
    harness: Arc<dyn TransportHarness>,
    stranger: Stranger,
    kinds: &'static [ErrorKind],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let _listeners = Listener::at_all(cluster.members()).await;
    let trial = Trial {
        cluster: &*cluster,
        stranger,
        kinds,
    };
    trial.is_refused(Call::Probe).await?;
    let (member, refusal) = trial.is_refused(Call::Publish).await?;
    // Also what is answered from memory says why.
    trial.call(Call::Publish, &member).await;
    match refusal {
        Refusal::Whole => drop(trial.is_refused(Call::Subscribe).await?),
        // It listens by itself, where others come: nobody is there to refuse that.
        Refusal::ByPeers => {
            let what = format!("subscribe of {stranger:?}");
            let subscribed = within(&what, WAITS, member.transport.subscribe()).await;
            drop(subscribed.map_err(|error| trial.check(Call::Subscribe, &error)));
        }
    }
    Ok(())
}

/// Strangers of one sort, and how they are to be refused.
struct Trial<'a> {
    cluster: &'a dyn TransportCluster,
    stranger: Stranger,
    kinds: &'static [ErrorKind],
}

/// What a stranger does.
#[derive(Debug, Clone, Copy)]
enum Call {
    Probe,
    Publish,
    Subscribe,
}

/// Who refused.
enum Refusal {
    /// The backend: the call failed.
    Whole,
    /// Each of the peers, in the outcomes.
    ByPeers,
}

impl Trial<'_> {
    /// The first call of a fresh stranger is refused, and at once.
    ///
    /// By what is quickest, so that a machine that stalls does not fail it: a transport that waits, or tries again for a
    /// while, does so each time.
    async fn is_refused(&self, call: Call) -> Result<(Member, Refusal), Unable> {
        let mut took = Vec::new();
        for _ in 0..STRANGERS {
            let member = self.cluster.stranger(self.stranger, TIMEOUT).await?;
            let began = Instant::now();
            let refusal = self.call(call, &member).await;
            took.push(began.elapsed());
            if began.elapsed() < AT_ONCE {
                return Ok((member, refusal));
            }
        }
        panic!(
            "expected {call} of {:?} to be refused at once, and it took {took:?} of one after another",
            self.stranger
        );
    }

    /// It is refused, with the right kind, before its time-out.
    async fn call(&self, call: Call, member: &Member) -> Refusal {
        let what = format!(
            "{call} of {:?} is refused, whatever its time-out ({TIMEOUT:?})",
            self.stranger
        );
        let transport = &member.transport;
        within(&what, WAITS, async {
            match call {
                Call::Probe => match transport.probe().await {
                    Ok(()) => self.let_in(call),
                    Err(error) => self.check(call, &error),
                },
                Call::Publish => {
                    let frame = Outgoing::to_all(Bytes::from_static(b"of a stranger"));
                    match transport.publish(frame).await {
                        Ok(delivery) => return self.by_peers(&delivery),
                        Err(error) => self.check(call, &error),
                    }
                }
                Call::Subscribe => match transport.subscribe().await {
                    Ok(subscription) => self.ends(subscription).await,
                    Err(error) => self.check(call, &error),
                },
            }
            Refusal::Whole
        })
        .await
    }

    fn by_peers(&self, delivery: &Delivery) -> Refusal {
        if delivery.peers.is_empty() {
            self.let_in(Call::Publish);
        }
        for peer in &delivery.peers {
            match &peer.result {
                Ok(_) => self.let_in(Call::Publish),
                Err(error) => self.check(Call::Publish, error),
            }
        }
        Refusal::ByPeers
    }

    /// Past gaps, a subscription that should not be ends with the refusal.
    async fn ends(&self, mut subscription: Subscription) {
        while let Some(told) = subscription.next().await {
            if let Err(error) = told {
                return self.check(Call::Subscribe, &error);
            }
        }
        panic!(
            "expected subscribe of {:?} to fail as one of {:?}, and its subscription ended without an error",
            self.stranger, self.kinds
        );
    }

    fn let_in(&self, call: Call) -> ! {
        panic!(
            "expected {call} of {:?} to fail, and it was well",
            self.stranger
        );
    }

    fn check(&self, call: Call, error: &Error) {
        assert!(
            self.kinds.contains(&error.kind),
            "expected {call} of {:?} to fail as one of {:?}, and it failed as {:?}: {error}",
            self.stranger,
            self.kinds,
            error.kind
        );
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "a probe",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        })
    }
}
