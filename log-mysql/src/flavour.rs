//! What MySQL and MariaDB call by different names.

use std::time::Duration;

use invalidation_core::{Error, ErrorKind};

use crate::error::error;

/// Which of the two servers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    MySql,
    MariaDb,
}

impl Flavour {
    /// Of what `VERSION()` says.
    pub(crate) fn of(operation: &'static str, version: &str) -> Result<Self, Error> {
        let is_mariadb = version.contains("MariaDB");
        // Behind an old replication prefix.
        let plain = version.strip_prefix("5.5.5-").unwrap_or(version);
        let mut numbers = plain
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let found: (u32, u32, u32) = (next(), next(), next());
        let (flavour, oldest) = if is_mariadb {
            (Self::MariaDb, (10, 6, 0))
        } else {
            (Self::MySql, (8, 0, 13))
        };
        if found >= oldest {
            return Ok(flavour);
        }
        Err(error(
            ErrorKind::Incompatible,
            operation,
            format!("the server is {version}: the log needs MySQL 8.0.13, MariaDB 10.6, or newer"),
        ))
    }

    /// SQL for what tells this server from a copy of its data elsewhere. MariaDB has nothing better: two servers that
    /// replicate have different ids.
    pub(crate) const fn server(self) -> &'static str {
        match self {
            Self::MySql => "CONVERT(@@global.server_uuid USING utf8mb4)",
            Self::MariaDb => {
                "CONVERT(CONCAT_WS('/', @@global.server_id, @@global.port, @@global.hostname) USING utf8mb4)"
            }
        }
    }

    /// SQL for when this server was started, in seconds: what it counts from that is exact, whatever was done to the
    /// clock since.
    pub(crate) const fn started(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED) - CAST(VARIABLE_VALUE AS SIGNED) \
                 FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime'"
            }
            Self::MariaDb => {
                "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED) - CAST(VARIABLE_VALUE AS SIGNED) \
                 FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'"
            }
        }
    }

    /// An assignment after which the server gives a statement up. MySQL does so with reads alone.
    pub(crate) fn statement_timeout(self, timeout: Duration) -> String {
        // Zero would mean without end.
        let milliseconds = timeout.as_millis().clamp(1, 1 << 30);
        match self {
            Self::MySql => format!("max_execution_time = {milliseconds}"),
            Self::MariaDb => format!(
                "max_statement_time = {}.{:03}",
                milliseconds / 1_000,
                milliseconds % 1_000
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: a server that is too old is refused by its version, a newer one is told by it.
    #[test]
    fn servers_are_told_by_their_version() {
        let of = |version| Flavour::of("connect", version).map_err(|e| e.kind);
        assert_eq!(of("10.11.19-MariaDB-0+deb12u1-log"), Ok(Flavour::MariaDb));
        assert_eq!(of("5.5.5-10.6.1-MariaDB"), Ok(Flavour::MariaDb));
        assert_eq!(of("11.4.2-MariaDB"), Ok(Flavour::MariaDb));
        assert_eq!(of("8.0.36"), Ok(Flavour::MySql));
        assert_eq!(of("8.4.0-1.el9"), Ok(Flavour::MySql));
        for old in [
            "5.7.44-log",
            "8.0.12",
            "10.5.9-MariaDB",
            "5.5.5-10.4.1-MariaDB",
            "",
        ] {
            assert_eq!(of(old), Err(ErrorKind::Incompatible), "{old}");
        }
    }
}
