//! Making the stream.

use std::sync::atomic::Ordering;

use invalidation_core::{Error, ErrorKind, Retry};

use super::{
    Shared,
    api::{Creation, Info},
    connection::Session,
    opening,
    place::Place,
    stream::Config,
};
use crate::error::error;

/// Makes the stream unless it is there, and looks whether it can be trusted. Many may do so at once: the server makes it
/// once, and answers the same to who asks for the same.
pub(super) async fn install(
    shared: &Shared,
    session: &Session,
    operation: &'static str,
) -> Result<Info, Error> {
    let Shared { api, settings, .. } = shared;
    let found = match api.info(session, operation).await? {
        Some(found) => found,
        None => {
            let config = Config::new(&api.place, &settings.wanted);
            // If there is another by now, it is looked at like one that was there before.
            let creation = api.create(session, operation, &config).await?;
            if matches!(creation, Creation::Made) {
                let stream = &api.place.stream;
                tracing::info!(%stream, "made the stream of the invalidation log");
            }
            match (api.info(session, operation).await?, creation) {
                (Some(found), _) => found,
                (None, Creation::SubjectTaken(error)) => return Err(error),
                (None, _) => return Err(no_stream(operation, &api.place)),
            }
        }
    };
    shared.look(session, &found, operation)?;
    for difference in found.config.differences(&settings.wanted) {
        tracing::warn!(
            "the log's stream differs from its configuration: {difference}; run `nats stream edit {}`, or configure the same",
            api.place.stream
        );
    }
    if let Some(mode) = found.config.acknowledges_early() {
        tracing::warn!(
            "the log's stream {} has the persist_mode {mode}: a server that is killed may take back what it has acknowledged, \
             of which who had not read it is not told; make the stream anew without that mode",
            api.place.stream
        );
    }
    let found = opening::opened(shared, session, operation, found).await?;
    shared.is_installed.store(true, Ordering::Release);
    Ok(found)
}

pub(super) fn no_stream(operation: &'static str, place: &Place) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        format!(
            "the stream {} does not exist: run install, as a node does when it starts",
            place.stream
        ),
    )
    .with_retry(Retry::Temporary)
}
