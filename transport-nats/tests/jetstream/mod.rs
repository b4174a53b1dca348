//! JetStream by hand: what an operator does to the log's stream.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{net::SocketAddr, time::Duration};

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

pub(crate) const USER: &str = "app";
pub(crate) const WEAK: &str = "weak";
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// A server's configuration with a user who may do all and one who may only read.
pub(crate) fn configuration() -> String {
    format!(
        "authorization {{ users = [
            {{ user: {USER}, password: \"{PASSWORD}\" }}
            {{ user: {WEAK}, password: \"{PASSWORD}\", permissions: {{
                publish: [\"$JS.API.STREAM.INFO.>\", \"$JS.API.STREAM.MSG.GET.>\"], subscribe: [\"_INBOX.>\"]
            }} }}
        ] }}"
    )
}

pub(crate) fn url(address: SocketAddr, user: &str, password: &str) -> String {
    format!("nats://{user}:{password}@{address}")
}

/// An operator's connection.
pub(crate) struct Operator {
    client: Client,
    stream: String,
}

/// What `nats stream backup` takes away.
pub(crate) struct Backup {
    about: Value,
    chunks: Vec<Vec<u8>>,
}

impl Operator {
    /// At work on the stream of this cluster.
    pub(crate) async fn at(address: SocketAddr, cluster: &str) -> Self {
        let client = ConnectOptions::new()
            .user_and_password(USER.into(), PASSWORD.into())
            .connect(address.to_string())
            .await
            .expect("the operator connects");
        Self {
            client,
            stream: format!("cache_invalidation_log-{cluster}"),
        }
    }

    /// One request to the API on this stream; its answer, which may be an error.
    pub(crate) async fn ask(&self, what: &str, request: Value) -> Value {
        let subject = format!("$JS.API.STREAM.{what}.{}", self.stream);
        self.request(subject, request.to_string().into_bytes())
            .await
    }

    async fn request(&self, subject: String, payload: Vec<u8>) -> Value {
        let answer = self.client.request(subject.clone(), payload.into()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{subject}: {e}"));
        serde_json::from_slice(&answer.payload).unwrap_or(Value::Null)
    }

    /// The same, which must succeed.
    pub(crate) async fn run(&self, what: &str, request: Value) -> Value {
        let answer = self.ask(what, request.clone()).await;
        assert!(answer["error"].is_null(), "{what} {request}: {answer}");
        answer
    }

    pub(crate) async fn info(&self) -> Value {
        self.run("INFO", json!({})).await
    }

    pub(crate) async fn number(&self, of: &str) -> u64 {
        let info = self.info().await;
        info["state"][of]
            .as_u64()
            .unwrap_or_else(|| panic!("no {of} in {info}"))
    }

    /// Changes the stream's configuration.
    pub(crate) async fn edit(&self, changes: &[(&str, Value)]) {
        let mut config = self.info().await["config"].take();
        for (name, value) in changes {
            config[*name] = value.clone();
        }
        self.run("UPDATE", config).await;
    }

    /// Publishes a message to the log's subject.
    pub(crate) async fn publish(&self, payload: &[u8]) {
        let info = self.info().await;
        let subject = info["config"]["subjects"][0].as_str().expect("a subject");
        let answer = self.request(subject.into(), payload.into()).await;
        assert!(answer["seq"].is_u64(), "{answer}");
    }

    pub(crate) async fn delete_newest(&self) {
        let seq = self.number("last_seq").await;
        self.run("MSG.DELETE", json!({ "seq": seq })).await;
    }

    pub(crate) async fn delete_all(&self) {
        self.run("PURGE", json!({})).await;
    }

    pub(crate) async fn recreate(&self) {
        let config = self.info().await["config"].take();
        self.run("DELETE", json!({})).await;
        self.run("CREATE", config).await;
    }

    /// Lets the server forget all but the newest messages by itself.
    pub(crate) async fn trim(&self, keep: usize) {
        if keep > 0 {
            self.edit(&[("max_msgs", json!(keep))]).await;
            self.edit(&[("max_msgs", json!(-1))]).await;
            return;
        }
        let age = |age: u64| [("max_age", json!(age)), ("duplicate_window", json!(age))];
        self.edit(&age(100_000_000)).await;
        let mut waits = tokio::time::interval(Duration::from_millis(10));
        while self.number("messages").await > 0 {
            waits.tick().await;
        }
        let for_ever = [("max_age", json!(0)), ("duplicate_window", json!(0))];
        self.edit(&for_ever).await;
    }

    pub(crate) async fn back_up(&self) -> Backup {
        let inbox = self.client.new_inbox();
        let mut chunks = self
            .client
            .subscribe(inbox.clone())
            .await
            .expect("subscribes");
        let request =
            json!({ "deliver_subject": inbox, "no_consumers": true, "chunk_size": 65_536 });
        let about = self.run("SNAPSHOT", request).await;
        let mut backup = Backup {
            about,
            chunks: Vec::new(),
        };
        while let Some(chunk) = chunks.next().await {
            if chunk.payload.is_empty() {
                break;
            }
            backup.chunks.push(chunk.payload.to_vec());
            if let Some(reply) = chunk.reply {
                let acknowledged = self.client.publish(reply, Default::default()).await;
                acknowledged.expect("a chunk is acknowledged");
            }
        }
        backup
    }

    /// In place of the stream as it is.
    pub(crate) async fn restore(&self, backup: &Backup) {
        self.run("DELETE", json!({})).await;
        let about = &backup.about;
        let request = json!({ "config": about["config"], "state": about["state"] });
        let answer = self.run("RESTORE", request).await;
        let subject = answer["deliver_subject"].as_str().expect("a subject");
        for chunk in &backup.chunks {
            self.request(subject.into(), chunk.clone()).await;
        }
        let done = self.request(subject.into(), Vec::new()).await;
        assert!(done["error"].is_null(), "{done}");
    }

    /// What the server tells of this account.
    pub(crate) async fn account(&self) -> Value {
        self.request("$JS.API.INFO".into(), Vec::new()).await
    }
}
