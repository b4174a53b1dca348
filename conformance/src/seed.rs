//! The seed of what is random, printed with each failure and taken from the environment to play it again.

use rand::{SeedableRng, rngs::StdRng};

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

/// The numbers of this seed.
pub(crate) fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
