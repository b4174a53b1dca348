//! A subscription: found to be live, then read until it is lost.

use std::{sync::Arc, time::Duration};

use invalidation_core::Error;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, Row as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    builder::Settings,
    channel::Channel,
    failure::{encoding_unknown, from_sqlx, link_lost, pooler_in_between, timed_out},
    inbox::Inbox,
    link::Link,
    payload,
};

const OPERATION: &str = "subscribe";
const ALIVE: &str = "SELECT 1";

/// A link that listens, and has been seen to: what another connection sent came over it. With it that other
/// connection, which is as good as new.
pub(super) async fn open(settings: &Settings) -> Result<(Link, PgConnection), Error> {
    let limit = settings.publish_timeout;
    let test = Channel::random();
    let connecting = async {
        let mut other = settings.options.connect().await?;
        let mut link = Link::connect(settings.options.clone(), limit).await?;
        link.run(format!("LISTEN \"{test}\"")).await?;
        let encoding = notify(&mut other, &test).await?;
        Ok::<_, sqlx::Error>((link, other, encoding))
    };
    let (mut link, mut other, encoding) = match timeout(limit, connecting).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) if came_astray(&error) => return Err(pooler_in_between()),
        Ok(Err(error)) => return Err(from_sqlx(OPERATION, error)),
        Err(_) => return Err(timed_out(OPERATION, limit)),
    };
    // The driver panics at a payload that is no text.
    if encoding == "SQL_ASCII" {
        return Err(encoding_unknown());
    }
    if !comes_back(&mut link, &test, limit).await? {
        return Err(pooler_in_between());
    }
    // Nor shared is the connection, which is to send the frames: they need not wait for the disk.
    let hurried = other.execute("SET synchronous_commit = off");
    match timeout(limit / 2, hurried).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(from_sqlx(OPERATION, error)),
        Err(_) => return Err(timed_out(OPERATION, limit)),
    }
    // Only now: a `LISTEN` through a pooler stays behind on a session that others will use, and on this channel they
    // would be sent all that is told.
    let channel = &settings.channel;
    run(
        &mut link,
        format!("LISTEN \"{channel}\"; UNLISTEN \"{test}\""),
        limit / 2,
    )
    .await?;
    Ok((link, other))
}

/// Notifies `channel` on this connection. The encoding of the database.
async fn notify(other: &mut PgConnection, channel: &Channel) -> Result<String, sqlx::Error> {
    let sql = format!("SELECT current_setting('server_encoding'), pg_notify('{channel}', '')");
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(other).await?;
    row.try_get(0)
}

/// Whether a notification came to a connection that never listened: through a pooler, the session that did was given
/// to it.
fn came_astray(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(what) if what.contains("NotificationResponse"))
}

/// Whether what was sent to `channel` has come over the link. On no account too early: the server sends what was
/// notified before the answer to a later statement, so that a link which is only slow is told from one that is mute.
async fn comes_back(link: &mut Link, channel: &Channel, limit: Duration) -> Result<bool, Error> {
    let deadline = Instant::now() + limit / 2;
    loop {
        match timeout_at(deadline, link.next()).await {
            Ok(Ok(Some(notification))) if notification.channel() == channel.as_str() => {
                return Ok(true);
            }
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Err(goodbye()),
            Ok(Err(error)) => return Err(from_sqlx(OPERATION, error)),
            Err(_) => break,
        }
    }
    run(link, ALIVE.to_owned(), limit / 2).await?;
    while let Some(notification) = link.buffered() {
        if notification.channel() == channel.as_str() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fills the inbox until the link is lost, nobody reads any more, or the transport is closed.
pub(super) async fn follow(
    mut link: Link,
    inbox: Inbox,
    settings: Arc<Settings>,
    stop: CancellationToken,
) {
    tokio::select! {
        biased;
        () = stop.cancelled() => inbox.close(),
        error = read(&mut link, &inbox, &settings) => inbox.lose(error),
    }
}

/// Reads all that comes, whether or not anybody takes it: the server would keep what a listener leaves. Why it ended.
async fn read(link: &mut Link, inbox: &Inbox, settings: &Settings) -> Error {
    // Together below what is declared.
    let silence = settings.notices_loss_within / 3;
    let patience = settings.notices_loss_within / 2;
    loop {
        match timeout(silence, link.next()).await {
            Ok(Ok(Some(notification))) => inbox.put(payload::decode(notification.payload())),
            Ok(Ok(None)) => return goodbye(),
            Ok(Err(error)) => return from_sqlx(OPERATION, error),
            // A link that is dead and one that has nothing to say look alike.
            Err(_) => {
                if let Err(error) = run(link, ALIVE.to_owned(), patience).await {
                    return error;
                }
            }
        }
    }
}

async fn run(link: &mut Link, sql: String, limit: Duration) -> Result<(), Error> {
    match timeout(limit, link.run(sql)).await {
        Ok(ran) => ran.map_err(|error| from_sqlx(OPERATION, error)),
        Err(_) => Err(timed_out(OPERATION, limit)),
    }
}

fn goodbye() -> Error {
    link_lost("the server ended the connection that listens: subscribe again")
}
