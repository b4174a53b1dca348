//! What can go wrong here, in the words of the interface.

use async_nats::{PublishError, client::PublishErrorKind};
use invalidation_core::{Error, ErrorKind};

use super::subjects::Subjects;
use crate::error::{error, refers_to_rights};

pub(super) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the transport was closed: build another one",
    )
}

pub(super) fn link_lost() -> Error {
    error(
        ErrorKind::Unavailable,
        "link",
        "the connection to the server was lost: the next call opens another",
    )
}

pub(super) fn link_silent() -> Error {
    error(
        ErrorKind::Unavailable,
        "link",
        "the server does not answer on a connection that stands: the next call opens another; check the network and the \
         server's load",
    )
}

/// The server refused something, which it says whenever it comes to it.
pub(super) fn refused(said: &str, subjects: &Subjects) -> Error {
    if refers_to_rights(said) {
        let allowed = &subjects.allowed;
        return error(
            ErrorKind::Denied,
            "link",
            format!(
                "the server refused: {said}: allow the user to publish to and to subscribe to {allowed}"
            ),
        );
    }
    error(
        ErrorKind::Unavailable,
        "link",
        format!("the server ended the link: {said}"),
    )
}

/// What the client's error to a frame of this size means.
pub(super) fn from_publish(source: PublishError, size: usize, taken: usize) -> Error {
    match source.kind() {
        PublishErrorKind::MaxPayloadExceeded => error(
            ErrorKind::TooLarge,
            "publish",
            format!(
                "a frame of {size} bytes is above what the server takes ({taken}): build the transport with max_frame \
                 {taken}, or raise the server's max_payload"
            ),
        ),
        _ => link_lost().with_source(source),
    }
}
