//! Put and watch of etcd.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use bytes::Bytes;
use cache_invalidation::{
    SharedLog, SharedTransport,
    etcd::{EtcdLog, EtcdTransport},
};
use etcd_client::{Client, WatchStream};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use invalidation_testbed::{Backend, Server};
use tokio::task::spawn_blocking;

use super::{
    Report,
    beside::{self, Bare, IN_FLIGHT},
};
use crate::setup::CLUSTER;

const KEY: &str = "bare";

pub(super) async fn measure() -> anyhow::Result<Report> {
    let server = spawn_blocking(|| Server::start(Backend::Etcd)).await??;
    let url = format!("etcd://{}", server.address());
    let log = async || {
        let log = EtcdLog::builder(&url).cluster(CLUSTER).connect().await?;
        anyhow::Ok(Arc::new(log) as SharedLog)
    };
    let logs = [log().await?, log().await?];
    let transport = |cluster: &str| {
        let transport = EtcdTransport::builder(cluster).url(&url).build()?;
        Ok(Arc::new(transport) as SharedTransport)
    };
    let bare = Box::pin(BareEtcd::start(&server.address().to_string())).await?;
    beside::measure("etcd", transport, logs, bare).await
}

/// A client that puts, and one that watches.
struct BareEtcd {
    sender: Client,
    events: WatchStream,
}

impl BareEtcd {
    async fn start(address: &str) -> anyhow::Result<Self> {
        let sender = Client::connect([address], None).await?;
        let mut receiver = Client::connect([address], None).await?;
        Ok(Self {
            sender,
            events: receiver.watch(KEY, None).await?,
        })
    }

    /// How many events came at once.
    async fn hear(events: &mut WatchStream) -> anyhow::Result<u64> {
        let response = events.message().await?.context("cut off")?;
        Ok(response.events().len() as u64)
    }
}

impl Bare for BareEtcd {
    async fn send_and_hear(&mut self, payload: &Bytes) -> anyhow::Result<Instant> {
        let events = &mut self.events;
        let hearing = async {
            while Self::hear(events).await? == 0 {}
            anyhow::Ok(Instant::now())
        };
        let sending = self.sender.put(KEY, payload.to_vec(), None);
        let (sent, heard) = tokio::join!(sending, hearing);
        sent?;
        heard
    }

    async fn flood(&mut self, payload: &Bytes, frames: u64) -> anyhow::Result<()> {
        let sender = &self.sender;
        let sending = stream::iter(0..frames)
            .map(async |_| {
                let mut sender = sender.clone();
                sender.put(KEY, payload.to_vec(), None).await.map(drop)
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>();
        let events = &mut self.events;
        let hearing = async {
            let mut heard = 0;
            while heard < frames {
                heard += Self::hear(events).await?;
            }
            anyhow::Ok(())
        };
        let (sent, heard) = tokio::join!(sending, hearing);
        sent?;
        heard
    }
}
