//! Pub/Sub of Redis.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use bytes::Bytes;
use cache_invalidation::{
    SharedLog, SharedTransport,
    redis::{RedisLog, RedisTransport},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use invalidation_testbed::{Backend, Server};
use redis::{
    AsyncCommands as _,
    aio::{MultiplexedConnection, PubSubStream},
};
use tokio::task::spawn_blocking;

use super::{
    Report,
    beside::{self, Bare, IN_FLIGHT},
};
const CHANNEL: &str = "bare";

pub(super) async fn measure() -> anyhow::Result<Report> {
    let server = spawn_blocking(|| Server::start(Backend::Redis)).await??;
    let url = server.url();
    let log = async || anyhow::Ok(Arc::new(RedisLog::connect(&url).await?) as SharedLog);
    let logs = [log().await?, log().await?];
    let transport = |cluster: &str| {
        let transport = RedisTransport::builder(cluster).url(&url).build()?;
        Ok(Arc::new(transport) as SharedTransport)
    };
    beside::measure("redis", transport, logs, BareRedis::start(&url).await?).await
}

/// A connection that publishes, and one that is subscribed.
struct BareRedis {
    sender: MultiplexedConnection,
    messages: PubSubStream,
}

impl BareRedis {
    async fn start(url: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(url)?;
        let sender = client.get_multiplexed_async_connection().await?;
        let mut subscribed = client.get_async_pubsub().await?;
        subscribed.subscribe(CHANNEL).await?;
        Ok(Self {
            sender,
            messages: subscribed.into_on_message(),
        })
    }
}

impl Bare for BareRedis {
    async fn send_and_hear(&mut self, payload: &Bytes) -> anyhow::Result<Instant> {
        let hearing = async {
            let message = self.messages.next().await.context("cut off")?;
            let heard = Instant::now();
            anyhow::ensure!(message.get_payload_bytes() == payload, "another payload");
            Ok(heard)
        };
        let sending = self.sender.publish::<_, _, ()>(CHANNEL, payload.as_ref());
        let (sent, heard) = tokio::join!(sending, hearing);
        sent?;
        heard
    }

    async fn flood(&mut self, payload: &Bytes, frames: u64) -> anyhow::Result<()> {
        let sender = &self.sender;
        let sending = stream::iter(0..frames)
            .map(async |_| {
                let mut sender = sender.clone();
                sender.publish::<_, _, ()>(CHANNEL, payload.as_ref()).await
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>();
        let hearing = async {
            for _ in 0..frames {
                self.messages.next().await.context("cut off")?;
            }
            anyhow::Ok(())
        };
        let (sent, heard) = tokio::join!(sending, hearing);
        sent?;
        heard
    }
}
