//! Latencies, and how they are written.

use std::fmt;

/// Nanoseconds from a commit to the moment when another node had dropped the old row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn add(&mut self, latencies: impl IntoIterator<Item = u64>) {
        self.0.extend(latencies);
        self.0.sort_unstable();
    }

    /// The smallest latency that this part of all does not exceed; `None` without any.
    pub(crate) fn quantile(&self, part: f64) -> Option<Millis> {
        let rank = (part * self.0.len() as f64).ceil() as usize;
        let nanos = self.0.get(rank.saturating_sub(1))?;
        Some(Millis::of_nanos(*nanos))
    }

    pub(crate) fn max(&self) -> Option<Millis> {
        self.0.last().map(|nanos| Millis::of_nanos(*nanos))
    }
}

/// Milliseconds, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, serde::Serialize)]
pub(crate) struct Millis(f64);

impl Millis {
    pub(crate) fn of_nanos(nanos: u64) -> Self {
        Self((nanos / 1_000) as f64 / 1_000.0)
    }
}

impl From<std::time::Duration> for Millis {
    fn from(duration: std::time::Duration) -> Self {
        Self::of_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Three digits say enough.
        let digits = match self.0 {
            small if small < 10.0 => 2,
            medium if medium < 100.0 => 1,
            _ => 0,
        };
        f.pad(&format!("{:.digits$} ms", self.0))
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles are latencies that were measured, of the right rank.
    #[test]
    fn quantiles_have_their_rank() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.quantile(0.5), latencies.max()), (None, None));
        latencies.add((1..=200).rev().map(|ms| ms * 1_000_000));
        assert_eq!(latencies.quantile(0.5), Some(Millis(100.0)));
        assert_eq!(latencies.quantile(0.99), Some(Millis(198.0)));
        assert_eq!(latencies.max(), Some(Millis(200.0)));
    }

    /// Numbers are grouped from the right.
    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1_000, 1_234_567].map(grouped).as_slice()
        );
    }
}
