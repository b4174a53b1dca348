//! The outages that a harness may offer, and playing one.

use tokio::time::sleep;

use super::{super::stage::Space, schedule::OutageStep};
use crate::{Disruption, Unable};

/// How an outage begins, and how it ends when it does not end by itself.
type Outage = (Disruption, Option<Disruption>);

const OF_LOGS: &[Outage] = &[
    (Disruption::Kill, Some(Disruption::Restart)),
    (Disruption::Stop, Some(Disruption::Restart)),
    (Disruption::Pause, Some(Disruption::Resume)),
    (Disruption::Cut, Some(Disruption::Heal)),
    (Disruption::BlackHole, Some(Disruption::Heal)),
    (SLOW, Some(Disruption::Heal)),
    (Disruption::Fill, Some(Disruption::Empty)),
    (Disruption::ReadOnly, Some(Disruption::Writable)),
    (Disruption::FailOver, None),
];

const OF_TRANSPORTS: &[Outage] = &[
    (Disruption::Kill, Some(Disruption::Restart)),
    (Disruption::Stop, Some(Disruption::Restart)),
    (Disruption::Pause, Some(Disruption::Resume)),
    (Disruption::Cut, Some(Disruption::Heal)),
    (Disruption::BlackHole, Some(Disruption::Heal)),
    (SLOW, Some(Disruption::Heal)),
    (Disruption::FailOver, None),
];

const SLOW: Disruption = Disruption::Delay(std::time::Duration::from_millis(30));

/// What the harness breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Log,
    Transport,
}

/// Plays the step's outage, or the next one of the list that the harness offers, to its end.
pub(super) async fn play(
    space: &Space,
    backend: Backend,
    step: &OutageStep,
) -> Result<Disruption, Unable> {
    let outages = match backend {
        Backend::Log => OF_LOGS,
        Backend::Transport => OF_TRANSPORTS,
    };
    let mut unable = None;
    for outage in 0..outages.len() {
        let (begins, ends) = outages[(step.which + outage) % outages.len()];
        match disrupt(space, backend, step.place, begins).await {
            Err(reason) => {
                unable.get_or_insert(reason);
            }
            Ok(()) => {
                sleep(step.lasts).await;
                if let Some(ends) = ends {
                    let ended = disrupt(space, backend, step.place, ends).await;
                    assert!(ended.is_ok(), "{begins:?} cannot be ended: {ended:?}");
                }
                return Ok(begins);
            }
        }
    }
    Err(unable.expect("the list is not empty"))
}

async fn disrupt(
    space: &Space,
    backend: Backend,
    place: usize,
    disruption: Disruption,
) -> Result<(), Unable> {
    match backend {
        Backend::Log => space.log.disrupt(disruption).await,
        Backend::Transport => space.disrupt_transport(place, disruption).await,
    }
}
