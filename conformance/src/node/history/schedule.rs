//! What is done when, and by whom: all of it follows from the seed.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

use super::super::{gate::Gate, under_test::Freshness, wire::Line};
use crate::seed;

/// How many rows there are.
pub(super) const KEYS: usize = 5;
const READERS: usize = 5;

/// The steps of every actor. Each waits before each of its steps, and they run beside each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    /// One for each node, and one for another program.
    pub(super) writers: Vec<Vec<WriteStep>>,
    /// Some for each node.
    pub(super) readers: Vec<(usize, Vec<ReadStep>)>,
    /// One for each node.
    pub(super) disruptors: Vec<Vec<DisruptStep>>,
    /// Of the server behind the log.
    pub(super) log_outages: Vec<OutageStep>,
    /// Of the server behind the transport, or of a link of it.
    pub(super) transport_outages: Vec<OutageStep>,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breaks {
    /// The log and the transport of single nodes, by the suite itself.
    pub(super) nodes: bool,
    /// The log, by the harness.
    pub(super) log: bool,
    /// The transport, by the harness.
    pub(super) transport: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct WriteStep {
    pub(super) after: Duration,
    pub(super) key: usize,
    pub(super) scope: WriteScope,
    /// In a schedule of transactions: rolled back, or forgotten.
    pub(super) fails: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteScope {
    Key,
    Tag,
    Caches,
    Everything,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadStep {
    pub(super) after: Duration,
    pub(super) key: usize,
    pub(super) freshness: Freshness,
    /// How long a load takes, once it has read its row.
    pub(super) load: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct DisruptStep {
    pub(super) after: Duration,
    pub(super) what: Trouble,
    /// For so long.
    pub(super) lasts: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trouble {
    Log(Gate),
    Wire(Line),
    /// Neither log nor transport reach it, and then its clock has leapt so far.
    Pause(Duration),
    Restart,
    Purge,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutageStep {
    pub(super) after: Duration,
    /// Which of the outages that the harness offers comes first; the others follow until one is offered.
    pub(super) which: usize,
    /// Which node's link, where each has its own.
    pub(super) place: usize,
    /// For so long.
    pub(super) lasts: Duration,
}

impl Schedule {
    /// Some `length` of steps for this many nodes. `reads` says from which caches.
    pub(super) fn new(
        seed: u64,
        nodes: usize,
        length: Duration,
        reads: &[Freshness],
        breaks: Breaks,
    ) -> Self {
        let mut random = seed::random(seed);
        Self {
            writers: (0..=nodes)
                .map(|_| steps(&mut random, length, write_step))
                .collect(),
            readers: (0..nodes * READERS)
                .map(|reader| {
                    let step = |random: &mut StdRng| read_step(random, reads);
                    (reader % nodes, steps(&mut random, length, step))
                })
                .collect(),
            disruptors: (0..if breaks.nodes { nodes } else { 0 })
                .map(|_| steps(&mut random, length, disrupt_step))
                .collect(),
            log_outages: outages(&mut random, nodes, length, breaks.log),
            transport_outages: outages(&mut random, nodes, length, breaks.transport),
        }
    }
}

/// Of as many kinds as there are steps.
fn outages(random: &mut StdRng, nodes: usize, length: Duration, wanted: bool) -> Vec<OutageStep> {
    let length = if wanted { length } else { Duration::ZERO };
    let first = random.random_range(0..100);
    let mut outages = steps(random, length, |random| outage_step(random, nodes));
    for (number, step) in outages.iter_mut().enumerate() {
        step.which = first + number;
    }
    outages
}

fn steps<S>(
    random: &mut StdRng,
    length: Duration,
    step: impl Fn(&mut StdRng) -> (Duration, S),
) -> Vec<S> {
    let (mut at, mut steps) = (Duration::ZERO, Vec::new());
    while at < length {
        let (takes, next) = step(random);
        at += takes;
        steps.push(next);
    }
    steps
}

fn up_to(random: &mut StdRng, millis: u64) -> Duration {
    Duration::from_micros(random.random_range(0..=millis * 1_000))
}

fn write_step(random: &mut StdRng) -> (Duration, WriteStep) {
    let after = up_to(random, 30);
    let scope = match random.random_range(0..10) {
        0 => WriteScope::Everything,
        1 => WriteScope::Caches,
        2 | 3 => WriteScope::Tag,
        _ => WriteScope::Key,
    };
    let step = WriteStep {
        after,
        key: random.random_range(0..KEYS),
        scope,
        fails: random.random_ratio(1, 4),
    };
    (after, step)
}

fn read_step(random: &mut StdRng, reads: &[Freshness]) -> (Duration, ReadStep) {
    let after = up_to(random, 6);
    let slow = random.random_ratio(1, 8);
    let step = ReadStep {
        after,
        key: random.random_range(0..KEYS),
        freshness: reads[random.random_range(0..reads.len())],
        load: up_to(random, if slow { 60 } else { 2 }),
    };
    (after, step)
}

fn disrupt_step(random: &mut StdRng) -> (Duration, DisruptStep) {
    let (after, lasts) = (up_to(random, 150), up_to(random, 150));
    let what = match random.random_range(0..12) {
        0 => Trouble::Log(Gate::Fails),
        1 => Trouble::Log(Gate::Hangs),
        2 => Trouble::Log(Gate::AnswersHang),
        3 => Trouble::Log(Gate::Partial),
        4 => Trouble::Log(Gate::Pages(random.random_range(0..8))),
        5 => Trouble::Wire(Line::Swallows),
        6 => Trouble::Wire(Line::Doubles),
        7 => Trouble::Wire(Line::Holds),
        8 | 9 => Trouble::Pause(up_to(random, 400)),
        10 => Trouble::Restart,
        _ => Trouble::Purge,
    };
    (after + lasts, DisruptStep { after, what, lasts })
}

fn outage_step(random: &mut StdRng, nodes: usize) -> (Duration, OutageStep) {
    let (after, lasts) = (up_to(random, 500), up_to(random, 200));
    let step = OutageStep {
        after,
        which: 0,
        place: random.random_range(0..nodes),
        lasts,
    };
    (after + lasts, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One seed is one schedule, and another seed another one.
    #[test]
    fn a_seed_replays_its_schedule() {
        let everything = Breaks {
            nodes: true,
            log: true,
            transport: true,
        };
        let length = Duration::from_secs(1);
        let schedule = |seed| Schedule::new(seed, 3, length, &Freshness::ALL, everything);
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
        let full = schedule(7);
        assert!(full.readers.iter().all(|(_, steps)| steps.len() > 100));
        assert!(!full.log_outages.is_empty() && !full.transport_outages.is_empty());
    }
}
