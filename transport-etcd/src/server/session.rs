//! One connection to one member, logged in.

use std::{future::Future, pin::Pin};

use etcd_client::{
    Channel, Client, Error as ClientError, KvClient, MaintenanceClient, WatchClient,
};
use invalidation_core::{Error, ErrorKind, Retry};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::settings::{Login, Servers};
use crate::error::{Failure, error, from_client, from_failure};

/// The largest answer that is taken, in bytes: fragments of a watch are as large as the server's largest request.
const MAX_ANSWER: usize = 32 << 20;

/// A connection to one member. Its last owner ends it with all its tasks, and so does the token of who closes.
pub(crate) struct Session {
    kv: KvClient,
    watch: WatchClient,
    maintenance: MaintenanceClient,
    /// `HOST:PORT`.
    host: String,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Session {
    /// Connects to one member, logs in, and sees that it answers and is of a version that serves.
    pub(super) async fn open(
        servers: &Servers,
        at: usize,
        tasks: &TaskTracker,
        closing: &CancellationToken,
        operation: &'static str,
    ) -> Result<Self, Error> {
        let stop = closing.child_token();
        let guard = stop.clone().drop_guard();
        let tasks = Tasks {
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let endpoint = servers.endpoint(at, operation)?.executor(tasks);
        let failed = |source| from_client(operation, source);
        // By TLS 1.3 a server refuses a client's certificate after the client's handshake, and the driver keeps to itself
        // what it said.
        let refused = |source| match Failure::of(&source) {
            Failure::Link if servers.is_encrypted() => {
                let told = "the server ended the link right after the handshake";
                from_failure(operation, Failure::Certificate, told)
                    .with_retry(Retry::Temporary)
                    .with_source(source)
            }
            _ => failed(source),
        };
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| failed(ClientError::TransportError(source)))?;
        let with = |login| {
            let options = servers.options(login);
            Client::from_channel(Channel::Tonic(channel.clone()), Some(options))
        };
        let mut client = match with(Login::AsConfigured).await {
            Err(source) if Failure::of(&source) == Failure::AuthNotEnabled => {
                tracing::warn!(
                    host = servers.host(at),
                    "etcd has authentication switched off: anybody may write what the nodes believe"
                );
                with(Login::Never).await
            }
            connected => connected,
        }
        .map_err(refused)?;
        match client.status().await {
            Ok(status) => check_version(status.version(), operation)?,
            // A version that tells its state to few.
            Err(source)
                if servers.has_credentials()
                    && Failure::of(&source) == Failure::PermissionDenied => {}
            Err(source) => return Err(refused(source)),
        }
        Ok(Self {
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
            maintenance: client.maintenance_client(),
            host: servers.host(at).to_owned(),
            stop,
            _guard: guard,
        })
    }

    /// Reads and writes.
    pub(crate) fn kv(&self) -> KvClient {
        self.kv.clone()
    }

    /// Watches.
    pub(crate) fn watch(&self) -> WatchClient {
        self.watch.clone()
    }

    /// The member's state.
    #[allow(dead_code, reason = "for the log")]
    pub(crate) fn maintenance(&self) -> MaintenanceClient {
        self.maintenance.clone()
    }

    /// Ends the connection, and so what is under way on it.
    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    /// The member's `HOST:PORT`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// The oldest version with `WatchProgressRequest` and fragments.
const OLDEST: (u32, u32) = (3, 4);

fn check_version(version: &str, operation: &'static str) -> Result<(), Error> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let is_old = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        // An odd name is no reason to refuse.
        _ => false,
    };
    if is_old {
        return Err(error(
            ErrorKind::Incompatible,
            operation,
            format!("the server is etcd {version}: 3.4 or later is needed"),
        ));
    }
    Ok(())
}

/// Where the connection's own tasks run: they end with it.
struct Tasks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl hyper::rt::Executor<Task> for Tasks {
    fn execute(&self, task: Task) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too old is told so, and nothing else is.
    #[test]
    fn versions_are_told_apart() {
        for version in ["3.3.27", "2.3.8", "3.0"] {
            assert!(check_version(version, "connect").is_err(), "{version}");
        }
        for version in ["3.4.0", "3.4.23", "3.6.1-rc.0", "4.0.0", "", "next"] {
            assert!(check_version(version, "connect").is_ok(), "{version}");
        }
    }
}
