//! Connecting to the server that is meant.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use invalidation_core::{Error, ErrorKind};
use redis::{Cmd, Value, aio::AsyncPushSender};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Servers,
    greeting::{Greeting, Mode, text},
    link::{Credentials, Link},
    place::{Address, Arrangement},
    slot,
    stream::Stream,
};
use crate::error::{error, from_redis, timed_out};

impl Servers {
    /// A connection to the primary, or in a cluster to the owner of `key`, within `limit`: found, logged in, and seen not
    /// to be a replica. One attempt.
    pub(crate) async fn connect(
        &self,
        operation: &'static str,
        key: &[u8],
        limit: Duration,
    ) -> Result<Link, Error> {
        let deaf = || (None, ());
        let found = self.connect_listening(operation, key, limit, deaf).await;
        found.map(|(link, ())| link)
    }

    /// As [`connect`](Self::connect). For each connection that is tried `listen` gives who is told, from the task that
    /// reads it, what the server pushes, and a last [`Disconnection`](redis::PushKind::Disconnection); and whatever
    /// belongs to that, which is returned with the connection that was found.
    pub(crate) async fn connect_listening<T>(
        &self,
        operation: &'static str,
        key: &[u8],
        limit: Duration,
        listen: impl Fn() -> (Option<Arc<dyn AsyncPushSender>>, T),
    ) -> Result<(Link, T), Error> {
        let search = Search {
            servers: self,
            operation,
            key,
            deadline: Instant::now() + limit,
            listen,
        };
        match timeout(limit, search.run()).await {
            Ok(found) => found,
            Err(_) => Err(timed_out(operation, limit)),
        }
    }
}

struct Search<'a, L> {
    servers: &'a Servers,
    operation: &'static str,
    key: &'a [u8],
    deadline: Instant,
    listen: L,
}

impl<L, T> Search<'_, L>
where
    L: Fn() -> (Option<Arc<dyn AsyncPushSender>>, T),
{
    async fn run(&self) -> Result<(Link, T), Error> {
        match &self.servers.inner.arrangement {
            Arrangement::Alone(address) => self.primary(address, Mode::Standalone).await,
            Arrangement::Sentinel { sentinels, service } => {
                let mut refusal = None;
                for address in self.named_by_sentinels(sentinels, service).await? {
                    match self.primary(&address, Mode::Standalone).await {
                        Err(error) => drop(refusal.get_or_insert(error)),
                        found => return found,
                    }
                }
                Err(refusal.unwrap_or_else(|| self.unknown_service(service)))
            }
            Arrangement::Cluster(nodes) => {
                let owner = self.owner(nodes).await?;
                self.primary(&owner, Mode::Cluster).await
            }
        }
    }

    /// A connection to the server at this address, which is to be a primary of that mode.
    async fn primary(&self, address: &Address, mode: Mode) -> Result<(Link, T), Error> {
        let credentials = &self.servers.inner.credentials;
        let (pushes, told) = (self.listen)();
        let (link, greeting) = self.open(address, credentials, pushes).await?;
        self.runs_as(greeting, mode)?;
        greeting.is_primary(self.operation)?;
        Ok((link, told))
    }

    async fn open(
        &self,
        address: &Address,
        credentials: &Credentials,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<(Link, Greeting), Error> {
        let tls = self.servers.inner.tls.as_ref();
        let stream = Stream::open(self.operation, address, tls).await?;
        Link::open(self.operation, address, stream, credentials, pushes).await
    }

    fn runs_as(&self, greeting: Greeting, wanted: Mode) -> Result<(), Error> {
        if greeting.mode == wanted {
            return Ok(());
        }
        let instead = match greeting.mode {
            Mode::Standalone => "no cluster and no Sentinel: write redis://HOST:PORT",
            Mode::Cluster => "a node of a cluster: write redis-cluster://HOST:PORT,HOST:PORT",
            Mode::Sentinel => "a Sentinel: write redis-sentinel://HOST:PORT,HOST:PORT/SERVICE",
        };
        let message = format!("the server is {instead}");
        Err(error(ErrorKind::Invalid, self.operation, message))
    }

    /// Whom the Sentinels say to be the primary, beginning with whom most of them name: all are asked at once, until a
    /// majority agrees. One that is silent is waited for only for half of the time.
    async fn named_by_sentinels(
        &self,
        sentinels: &[Address],
        service: &str,
    ) -> Result<Vec<Address>, Error> {
        let now = Instant::now();
        let patience = now + self.deadline.saturating_duration_since(now) / 2;
        let mut asked: FuturesUnordered<_> = sentinels
            .iter()
            .map(|sentinel| self.named_by(sentinel, service))
            .collect();
        let mut votes: Vec<(Address, usize)> = Vec::new();
        let mut refusal = None;
        while let Ok(Some(answer)) = timeout_at(patience, asked.next()).await {
            match answer {
                Ok(Some(address)) => {
                    match votes.iter_mut().find(|(known, _)| *known == address) {
                        Some((_, votes)) => *votes += 1,
                        None => votes.push((address, 1)),
                    }
                    if votes.iter().any(|(_, votes)| votes * 2 > sentinels.len()) {
                        break;
                    }
                }
                Ok(None) => {}
                Err(error) => drop(refusal.get_or_insert(error)),
            }
        }
        votes.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
        match refusal {
            Some(error) if votes.is_empty() => Err(error),
            _ => Ok(votes.into_iter().map(|(address, _)| address).collect()),
        }
    }

    /// Whom this Sentinel says to be the primary, if it knows the service.
    async fn named_by(&self, sentinel: &Address, service: &str) -> Result<Option<Address>, Error> {
        let credentials = &self.servers.inner.sentinel;
        let (link, greeting) = self.open(sentinel, credentials, None).await?;
        self.runs_as(greeting, Mode::Sentinel)?;
        let mut ask = Cmd::new();
        ask.arg("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(service);
        let answer = link.ask(&ask).await;
        let answer = answer.map_err(|source| from_redis(self.operation, source))?;
        let Value::Array(parts) = answer else {
            return Ok(None);
        };
        let [host, port] = &parts[..] else {
            return Ok(None);
        };
        let (host, port) = (text(host), text(port).and_then(|port| port.parse().ok()));
        Ok(host.zip(port).map(|(host, port)| Address {
            host: host.to_owned(),
            port,
        }))
    }

    fn unknown_service(&self, service: &str) -> Error {
        error(
            ErrorKind::Unavailable,
            self.operation,
            format!(
                "no Sentinel that answered in time knows a service {service:?}: check its name, the first word behind \
                 `sentinel monitor`"
            ),
        )
    }

    /// The owner of the key, by the first node that knows.
    async fn owner(&self, nodes: &[Address]) -> Result<Address, Error> {
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|node| self.known_by(node)).collect();
        let mut refusal = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(owner) => return Ok(owner),
                Err(error) => drop(refusal.get_or_insert(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| self.nobody_serves()))
    }

    async fn known_by(&self, node: &Address) -> Result<Address, Error> {
        let credentials = &self.servers.inner.credentials;
        let (link, greeting) = self.open(node, credentials, None).await?;
        self.runs_as(greeting, Mode::Cluster)?;
        let answer = link.ask(slot::ask()).await;
        let answer = answer.map_err(|source| from_redis(self.operation, source))?;
        slot::owner(&answer, slot::of(self.key), node).ok_or_else(|| self.nobody_serves())
    }

    fn nobody_serves(&self) -> Error {
        error(
            ErrorKind::Unavailable,
            self.operation,
            "no node of the cluster serves the slot now: see CLUSTER INFO",
        )
    }
}
