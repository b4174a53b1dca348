//! What carries the frames.

use std::{fmt, str::FromStr};

use anyhow::{Context, bail};

use crate::home::{Broker, Home, Kind, Rows};

/// What carries the frames.
#[derive(Debug, Clone)]
pub(crate) enum Carrier {
    /// HTTP fan-out on loopback.
    Http,
    /// LISTEN and NOTIFY of the log's database.
    Postgres,
    /// A broker: that of the log, or another.
    Broker(Broker),
}

/// What `--transport` says.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    Http,
    Postgres,
    /// That of the log.
    Same(Kind),
    /// The one at a URL.
    At(Broker),
}

impl FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "http" => Self::Http,
            "postgres" => Self::Postgres,
            "redis" => Self::Same(Kind::Redis),
            "nats" => Self::Same(Kind::Nats),
            "etcd" => Self::Same(Kind::Etcd),
            url => Self::At(Broker::of(url)?.context(
                "--transport is http, postgres, redis, nats or etcd, or the URL of a broker such as redis://HOST:PORT",
            )?),
        })
    }
}

impl Choice {
    pub(crate) fn at(self, home: &Home) -> anyhow::Result<Carrier> {
        Ok(match self {
            Self::Http => Carrier::Http,
            Self::Postgres if matches!(home.rows, Rows::Postgres(_)) => Carrier::Postgres,
            Self::Postgres => bail!("--transport postgres needs --log postgres://…"),
            Self::At(broker) => Carrier::Broker(broker),
            Self::Same(kind) => match &home.broker {
                Some(broker) if broker.kind == kind => Carrier::Broker(broker.clone()),
                _ => {
                    let name = kind.name();
                    bail!(
                        "--transport {name} needs --log {name}://…, or its URL: --transport {name}://HOST:PORT"
                    )
                }
            },
        })
    }
}

impl Carrier {
    /// The host and the port of the server that carries.
    pub(crate) fn server(&self, home: &Home) -> anyhow::Result<Option<(String, u16)>> {
        match (self, &home.rows) {
            (Self::Broker(broker), _) => broker.server().map(Some),
            (Self::Postgres, Rows::Postgres(home)) => home.server().map(Some),
            _ => Ok(None),
        }
    }
}

impl Carrier {
    /// Takes out what frames left on a broker of their own.
    pub(crate) async fn raze(&self, home: &Home) -> anyhow::Result<()> {
        match self {
            Self::Broker(broker) if home.broker.is_none() => broker.raze().await,
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("HTTP fan-out on loopback"),
            Self::Postgres => f.write_str("LISTEN and NOTIFY"),
            Self::Broker(broker) => write!(f, "frames by {broker}"),
        }
    }
}
