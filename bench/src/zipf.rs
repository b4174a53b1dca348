//! Keys as real caches see them: few are hot, many are not.

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// `count` ranks below `keys`, distributed by Zipf's law with this exponent. The same seed gives the same
/// ranks.
pub(crate) fn ranks(keys: usize, exponent: f64, count: usize, seed: u64) -> Vec<u64> {
    let mut cumulative = Vec::with_capacity(keys);
    let mut sum = 0.0;
    for rank in 1..=keys {
        sum += (rank as f64).powf(-exponent);
        cumulative.push(sum);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|_| {
            let at = rng.random_range(0.0..sum);
            // Scattered, so that neighbours in rank are not neighbours in memory.
            let rank = cumulative.partition_point(|upto| *upto < at) as u64;
            rank.wrapping_mul(0x9E37_79B9) % keys as u64
        })
        .collect()
}
