//! One connection to one server.

use std::{fmt, sync::Arc};

use invalidation_core::Error;
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, RedisConnectionInfo, RedisError, Value,
    aio::{AsyncPushSender, MultiplexedConnection},
};
use tokio::task::JoinHandle;

use super::{
    greeting::{self, Greeting},
    place::Address,
    stream::Stream,
};
use crate::error::from_redis;

/// How many requests may wait for the task that writes them.
const QUEUE: usize = 1_024;

/// Whom a connection is for.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

impl Credentials {
    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.database)
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password);
        }
        info
    }
}

/// One connection to one server, over which many may ask at once; it speaks RESP3. It never connects again: once it
/// [is lost](Self::is_lost), it stays so. Dropping the last clone ends the connection, and its task.
#[derive(Clone)]
pub(crate) struct Link {
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
    address: Arc<Address>,
}

/// The task that reads and writes.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Logs in over the stream, and asks who is there. What the server pushes is given to `pushes`, if any, from the task
    /// that reads.
    pub(super) async fn open(
        operation: &'static str,
        address: &Address,
        stream: Stream,
        credentials: &Credentials,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<(Self, Greeting), Error> {
        let mut config = AsyncConnectionConfig::new()
            // Who asks has a time of his own.
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(pushes);
        }
        let info = credentials.info();
        let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = opened.map_err(|source| from_redis(operation, source))?;
        let driver = Arc::new(Driver(tokio::spawn(driver)));
        let link = Self {
            connection,
            driver,
            address: Arc::new(address.clone()),
        };
        let greeting = link.greeting(operation).await?;
        Ok((link, greeting))
    }

    /// What the server says of itself now.
    pub(crate) async fn greeting(&self, operation: &'static str) -> Result<Greeting, Error> {
        match self.ask(greeting::ask()).await {
            Ok(answer) => Greeting::read(operation, &answer),
            Err(source) => Err(from_redis(operation, source)),
        }
    }

    /// The server's.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is known to be of no more use.
    pub(crate) fn is_lost(&self) -> bool {
        self.driver.0.is_finished()
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }

    /// Asks one thing, without a time limit. An error that the server answers is an error. Cancel-safe: an answer that
    /// nobody waits for is dropped.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        let answer = self.connection.clone().send_packed_command(command).await?;
        match answer {
            Value::ServerError(refused) => Err(refused.into()),
            answer => Ok(answer),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}
