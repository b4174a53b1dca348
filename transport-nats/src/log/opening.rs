//! The message with which a stream begins.
//!
//! A cursor that was taken from an empty stream has no witness. A stream in memory comes back empty with the same time of
//! creation when its server ends and others of its cluster remember it: what was appended before that is gone, and nothing
//! tells it to such a cursor. So nobody takes one from an empty stream who may write to it.

use invalidation_core::{Error, ErrorKind};

use super::{Shared, api::Info, connection::Session, record};

/// The state of the stream, with a message in it: one that says nothing if there was none. Who may not write it, or finds no
/// room for it, takes the stream as it is.
pub(super) async fn opened(
    shared: &Shared,
    session: &Session,
    operation: &'static str,
    info: Info,
) -> Result<Info, Error> {
    if info.messages > 0 {
        return Ok(info);
    }
    let stored = shared
        .api
        .publish_behind(session, operation, info.last, record::opening())
        .await;
    match stored {
        Ok(()) => shared.info(session, operation).await,
        Err(e) if may_go_without(&e) => {
            tracing::debug!(error = %e, "the log's stream stays empty: what it loses before its first entry is not told");
            Ok(info)
        }
        Err(e) => Err(e),
    }
}

/// Whether it was refused, and would be again.
const fn may_go_without(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::Denied | ErrorKind::ReadOnly | ErrorKind::TooLarge
    )
}
