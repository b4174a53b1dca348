//! The server's timestamps, to the nanosecond. They tell messages and streams apart, and how far two messages of one server
//! are apart; they are never compared with a clock of this process (`P17`).

use serde::{Deserialize, Deserializer, de::Error as _};

/// Nanoseconds since 1970, in UTC. The server writes `0001-01-01T00:00:00Z` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// Of `2006-01-02T15:04:05.999999999Z`, as the server writes it, or with an offset.
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        let zone = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at(zone);
        let offset = match zone.split_at(1) {
            ("Z", "") => 0,
            (sign, offset) => {
                let (hours, minutes) = offset.split_once(':')?;
                let seconds =
                    hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60;
                if sign == "-" { -seconds } else { seconds }
            }
        };
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut parts = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        if fraction.len() > 9 || !(1..=12).contains(&month) {
            return None;
        }
        let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
        let seconds =
            days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        // That of year 1 is out of range: it stands for none.
        Some(Self(
            seconds
                .checked_mul(1_000_000_000)
                .map_or(0, |base| base + nanos),
        ))
    }
}

/// Days since 1970-01-01 in the Gregorian calendar (<https://howardhinnant.github.io/date_algorithms.html>).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// Each nanosecond counts: two messages may be that near to one another.
    #[test]
    fn times_are_read_to_the_nanosecond() {
        let nanos = |text: &str| Moment::parse(text).unwrap().0;
        assert_eq!(nanos("1970-01-01T00:00:00Z"), 0);
        assert_eq!(nanos("1970-01-02T00:00:01.5Z"), 86_401_500_000_000);
        assert_eq!(
            nanos("2026-11-21T19:03:49.436782802Z"),
            1_795_287_829_436_782_802
        );
        assert_eq!(
            nanos("2026-11-21T21:03:49.000000001+02:00"),
            nanos("2026-11-21T19:03:49.000000001Z")
        );
        assert_eq!(nanos("0001-01-01T00:00:00Z"), 0);
        for nonsense in [
            "",
            "2026",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-11-21T00:00:00",
        ] {
            assert_eq!(Moment::parse(nonsense), None, "{nonsense}");
        }
    }
}
