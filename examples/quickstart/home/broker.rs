//! A Redis, NATS or etcd that holds the log, or carries frames.

use std::fmt;

use anyhow::{Context, bail};
use cache_invalidation::NodeBuilder;
use serde::{Deserialize, Serialize};

use super::Home;
use crate::proxy::Way;

/// A name of this program's own on a broker.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Broker {
    pub(crate) kind: Kind,
    url: String,
    cluster: String,
}

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Redis,
    Nats,
    Etcd,
}

impl Kind {
    /// Of the cargo feature, and of the URL's scheme.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Etcd => "etcd",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Redis => 6_379,
            Self::Nats => 4_222,
            Self::Etcd => 2_379,
        }
    }

    const fn is_compiled_in(self) -> bool {
        match self {
            Self::Redis => cfg!(feature = "redis"),
            Self::Nats => cfg!(feature = "nats"),
            Self::Etcd => cfg!(feature = "etcd"),
        }
    }
}

impl Broker {
    /// The one at this URL; `None` when it is of another scheme.
    pub(crate) fn of(url: &str) -> anyhow::Result<Option<Self>> {
        let kind = match url.split("://").next() {
            Some("redis") => Kind::Redis,
            Some("nats") => Kind::Nats,
            Some("etcd") => Kind::Etcd,
            _ => return Ok(None),
        };
        if !kind.is_compiled_in() {
            let name = kind.name();
            bail!("{name} is not compiled in: run it with `--features {name}`");
        }
        let broker = Self {
            kind,
            url: url.into(),
            cluster: Home::fresh_name(),
        };
        broker.server()?;
        Ok(Some(broker))
    }

    /// What comes before and behind the address in the URL, and the address.
    fn parts(&self) -> Option<(&str, &str, &str)> {
        let start = self.url.find("://")? + 3;
        let end = self.url[start..]
            .find(['/', '?'])
            .map_or(self.url.len(), |at| start + at);
        let start = self.url[start..end]
            .rfind('@')
            .map_or(start, |at| start + at + 1);
        Some((&self.url[..start], &self.url[start..end], &self.url[end..]))
    }

    /// The user and the password.
    #[cfg(feature = "etcd")]
    fn user(&self) -> Option<(&str, &str)> {
        let (before, _, _) = self.parts()?;
        let (_, user) = before.strip_suffix('@')?.split_once("://")?;
        user.split_once(':')
    }

    /// The host and the port.
    pub(crate) fn server(&self) -> anyhow::Result<(String, u16)> {
        let (_, address, _) = self
            .parts()
            .context("the URL of the broker cannot be used")?;
        if address.is_empty() || address.contains(',') {
            bail!("the broker's URL needs one host, and a port: links to it are cut");
        }
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (address, Some(self.kind.port())),
        };
        let port = port.context("the port in the broker's URL is no number")?;
        Ok((host.trim_matches(['[', ']']).to_owned(), port))
    }

    /// The URL, over another way.
    #[cfg(any(feature = "redis", feature = "nats", feature = "etcd"))]
    fn through(&self, way: Option<&Way>) -> String {
        match (way, self.parts()) {
            (Some(Way::Proxy(proxy)), Some((before, _, behind))) => {
                format!("{before}{proxy}{behind}")
            }
            _ => self.url.clone(),
        }
    }

    pub(super) async fn with_log(
        &self,
        node: NodeBuilder,
        way: Option<&Way>,
    ) -> anyhow::Result<NodeBuilder> {
        let _ = way;
        match self.kind {
            #[cfg(feature = "redis")]
            Kind::Redis => {
                let log = cache_invalidation::redis::RedisLog::builder(&self.through(way));
                Ok(node.log(log.cluster(&self.cluster).connect().await?))
            }
            #[cfg(feature = "nats")]
            Kind::Nats => {
                let log = cache_invalidation::nats::NatsLog::builder(&self.through(way));
                Ok(node.log(log.cluster(&self.cluster).connect().await?))
            }
            #[cfg(feature = "etcd")]
            Kind::Etcd => {
                let log = cache_invalidation::etcd::EtcdLog::builder(&self.through(way));
                Ok(node.log(log.cluster(&self.cluster).connect().await?))
            }
            #[allow(unreachable_patterns, reason = "with every feature there is none left")]
            _ => {
                drop(node);
                bail!("{self} is not compiled in")
            }
        }
    }

    /// A node whose frames it carries, over the way that can be taken from it.
    pub(crate) fn with_transport(
        &self,
        node: NodeBuilder,
        way: Option<&Way>,
    ) -> anyhow::Result<NodeBuilder> {
        let _ = way;
        match self.kind {
            #[cfg(feature = "redis")]
            Kind::Redis => {
                let frames = cache_invalidation::redis::RedisTransport::builder(&self.cluster);
                Ok(node.transport(frames.url(&self.through(way)).build()?))
            }
            #[cfg(feature = "nats")]
            Kind::Nats => {
                let frames = cache_invalidation::nats::NatsTransport::builder(&self.cluster);
                Ok(node.transport(frames.url(&self.through(way)).build()?))
            }
            #[cfg(feature = "etcd")]
            Kind::Etcd => {
                let frames = cache_invalidation::etcd::EtcdTransport::builder(&self.cluster);
                Ok(node.transport(frames.url(&self.through(way)).build()?))
            }
            #[allow(unreachable_patterns, reason = "with every feature there is none left")]
            _ => {
                drop(node);
                bail!("{self} is not compiled in")
            }
        }
    }

    /// Takes out what the log made there. Frames leave nothing, but for etcd's one key.
    pub(crate) async fn raze(&self) -> anyhow::Result<()> {
        match self.kind {
            #[cfg(feature = "redis")]
            Kind::Redis => {
                let log = cache_invalidation::redis::RedisLog::builder(&self.url);
                let log = log.cluster(&self.cluster).connect_later()?;
                let client = redis::Client::open(self.url.as_str())?;
                let mut connection = client.get_multiplexed_async_connection().await?;
                Ok(redis::AsyncCommands::del(&mut connection, log.key()).await?)
            }
            #[cfg(feature = "nats")]
            Kind::Nats => {
                let client = async_nats::connect(&self.url).await?;
                let streams = async_nats::jetstream::new(client);
                let name = format!("cache_invalidation_log-{}", self.cluster);
                // Where it carries frames alone there is none.
                match streams.delete_stream(name).await {
                    Ok(_) => Ok(()),
                    Err(error) if error.to_string().contains("not found") => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            #[cfg(feature = "etcd")]
            Kind::Etcd => {
                let (host, port) = self.server()?;
                let user = self.user().map(|(name, password)| {
                    etcd_client::ConnectOptions::new().with_user(name, password)
                });
                let mut client =
                    etcd_client::Client::connect([format!("{host}:{port}")], user).await?;
                let all = format!("/cache-invalidation/{}/", self.cluster);
                let prefix = etcd_client::DeleteOptions::new().with_prefix();
                client.delete(all, Some(prefix)).await?;
                Ok(())
            }
            #[allow(unreachable_patterns, reason = "with every feature there is none left")]
            _ => bail!("{self} is not compiled in"),
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Redis => "Redis",
            Kind::Nats => "NATS",
            Kind::Etcd => "etcd",
        })
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("kind", &self.kind)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
