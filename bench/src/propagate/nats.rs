//! Core subjects of NATS.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use cache_invalidation::{
    SharedLog, SharedTransport,
    nats::{NatsLog, NatsTransport},
};
use futures_util::StreamExt as _;
use invalidation_testbed::{Backend, Server};
use tokio::task::spawn_blocking;

use super::{
    Report,
    beside::{self, Bare},
};
use crate::setup::CLUSTER;

const SUBJECT: &str = "bare";

pub(super) async fn measure() -> anyhow::Result<Report> {
    let server = spawn_blocking(|| Server::start(Backend::Nats)).await??;
    let url = server.url();
    let log = async || anyhow::Ok(Arc::new(NatsLog::connect(&url, CLUSTER).await?) as SharedLog);
    let logs = [log().await?, log().await?];
    let transport = |cluster: &str| {
        let transport = NatsTransport::builder(cluster).url(&url).build()?;
        Ok(Arc::new(transport) as SharedTransport)
    };
    beside::measure("nats", transport, logs, BareNats::start(&url).await?).await
}

/// A connection that publishes, and one that is subscribed.
struct BareNats {
    sender: Client,
    messages: Subscriber,
    _receiver: Client,
}

impl BareNats {
    async fn start(url: &str) -> anyhow::Result<Self> {
        let sender = async_nats::connect(url).await?;
        let receiver = async_nats::connect(url).await?;
        let mut messages = receiver.subscribe(SUBJECT).await?;
        // The subscription is known to the server once a message came over it.
        receiver.publish(SUBJECT, Bytes::new()).await?;
        messages.next().await.context("cut off")?;
        Ok(Self {
            sender,
            messages,
            _receiver: receiver,
        })
    }
}

impl Bare for BareNats {
    async fn send_and_hear(&mut self, payload: &Bytes) -> anyhow::Result<Instant> {
        self.sender.publish(SUBJECT, payload.clone()).await?;
        let message = self.messages.next().await.context("cut off")?;
        let heard = Instant::now();
        anyhow::ensure!(message.payload == *payload, "another payload");
        Ok(heard)
    }

    /// The library has no confirmation of a publish; a flush at the end stands for all.
    async fn flood(&mut self, payload: &Bytes, frames: u64) -> anyhow::Result<()> {
        let sending = async {
            for _ in 0..frames {
                self.sender.publish(SUBJECT, payload.clone()).await?;
            }
            anyhow::Ok(self.sender.flush().await?)
        };
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
