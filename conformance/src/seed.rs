//! The seed of what is random, printed with each failure and taken from the environment to play it again.

use std::iter;

use rand::{RngExt as _, SeedableRng, rngs::StdRng};

/// The variable that gives the seed.
pub(crate) const VARIABLE: &str = "CONFORMANCE_SEED";

/// From [`VARIABLE`], or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{VARIABLE} is {text:?}: give a number below 2^64")),
        Err(_) => rand::random(),
    }
}

/// That of each round of a soak: the first is played as given, and each later one follows from it.
pub(crate) fn rounds(first: u64) -> impl Iterator<Item = u64> {
    let later = random(first).random_iter();
    iter::once(first).chain(later)
}

/// The numbers of this seed.
pub(crate) fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each round of a soak has another schedule, and the same seed gives the same ones.
    #[test]
    fn each_round_has_a_seed_of_its_own() {
        let rounds = |first| rounds(first).take(3).collect::<Vec<_>>();
        let seven = rounds(7);
        assert_eq!(seven[0], 7);
        assert!(seven[1] != 7 && seven[2] != 7 && seven[1] != seven[2]);
        assert_eq!(seven, rounds(7));
        assert!(rounds(8)[1..] != seven[1..]);
    }
}
