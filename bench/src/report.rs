//! What a bench found, as a table and as JSON.

use std::fmt;

use serde::Serialize;

/// The rows of one bench, and how they stand to what was promised.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) targets: Vec<Target>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,
    #[serde(flatten)]
    pub(crate) figure: Figure,
}

/// A figure and its unit.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Figure {
    #[serde(rename = "ns")]
    Nanos(f64),
    #[serde(rename = "per_s")]
    PerSecond(f64),
    #[serde(rename = "bytes")]
    Bytes(f64),
    #[serde(rename = "fraction")]
    Fraction(f64),
}

/// A promise, and what was measured of it.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) value: f64,
    #[serde(flatten)]
    pub(crate) bound: Bound,
}

/// What a value has to keep to.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) const fn new(bench: &'static str) -> Self {
        Self {
            bench,
            rows: Vec::new(),
            targets: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, threads: Option<usize>, figure: Figure) {
        self.rows.push(Row {
            name: name.into(),
            threads,
            figure,
        });
    }

    pub(crate) fn target(&mut self, name: impl Into<String>, value: f64, bound: Bound) {
        self.targets.push(Target {
            name: name.into(),
            value,
            bound,
        });
    }
}

impl Target {
    fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.bench)?;
        for row in &self.rows {
            let threads = row
                .threads
                .map(|threads| format!("{threads} thread(s)"))
                .unwrap_or_default();
            writeln!(
                f,
                "  {:<44} {threads:<12} {:>16}",
                row.name,
                row.figure.to_string()
            )?;
        }
        writeln!(f)?;
        for target in &self.targets {
            let mark = if target.is_reached() { "ok  " } else { "MISS" };
            let value = format!("{:.3}", target.value);
            writeln!(
                f,
                "  {mark} {:<39} {value:>16}  {}",
                target.name, target.bound
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nanos(ns) if *ns >= 10_000.0 => write!(f, "{:.1} µs", ns / 1_000.0),
            Self::Nanos(ns) => write!(f, "{ns:.1} ns"),
            Self::PerSecond(rate) if *rate < 10_000.0 => write!(f, "{rate:.0} /s"),
            Self::PerSecond(rate) => write!(f, "{:.0} k/s", rate / 1_000.0),
            Self::Bytes(bytes) => write!(f, "{bytes:.1} B"),
            Self::Fraction(fraction) => write!(f, "{:.3} %", fraction * 100.0),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

/// The middle of `values`; they are sorted on the way.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a fraction `q` of `values` lies; they are sorted on the way.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * q).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
