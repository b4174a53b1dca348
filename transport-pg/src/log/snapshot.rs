//! A `pg_snapshot`: which transactions had completed.

use std::fmt;

/// As PostgreSQL writes it: `xmin:xmax:xip,xip`. Transactions below `xmin` had completed, those from `xmax` on had
/// not, and of those between all but `xip` had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) xmin: u64,
    pub(crate) xmax: u64,
    /// In ascending order.
    pub(crate) xip: Vec<u64>,
}

impl Snapshot {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let xip = parts.next()?;
        let mut xip = if xip.is_empty() {
            Vec::new()
        } else {
            let ids = xip.split(',').map(|x| x.parse().ok());
            ids.collect::<Option<Vec<u64>>>()?
        };
        xip.sort_unstable();
        Self::of(xmin, xmax, xip)
    }

    /// `None` for what the server never says, and would refuse.
    pub(crate) fn of(xmin: u64, xmax: u64, xip: Vec<u64>) -> Option<Self> {
        let ordered = xip.windows(2).all(|pair| pair[0] < pair[1]);
        let within = xip.iter().all(|x| (xmin..xmax).contains(x));
        (xmin >= 1 && xmin <= xmax && xmax < 1 << 63 && ordered && within).then_some(Self {
            xmin,
            xmax,
            xip,
        })
    }

    /// Whether this transaction had completed. `pg_visible_in_snapshot`
    pub(crate) fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.xip.binary_search(&xid).is_err())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (number, x) in self.xip.iter().enumerate() {
            write!(f, "{}{x}", if number == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    /// It reads and writes PostgreSQL's own form, and sees what PostgreSQL's function does.
    #[test]
    fn it_is_as_the_server_writes_it() {
        for text in ["10:10:", "10:20:10,14,15", "1:9223372036854775807:5"] {
            assert_eq!(Snapshot::parse(text).unwrap().to_string(), text);
        }
        let snapshot = Snapshot::parse("10:20:10,14,15").unwrap();
        let seen: Vec<_> = (8..22).filter(|&x| snapshot.sees(x)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
    }

    /// What the server would refuse does not become a snapshot.
    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "1", "1:2", "0:1:", "3:2:", "1:5:5", "2:5:1", "1:5:x", "1:5:3,3",
        ] {
            assert_eq!(Snapshot::parse(text), None, "{text:?}");
        }
    }
}
