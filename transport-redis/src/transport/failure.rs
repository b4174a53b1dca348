//! What can go wrong here, in the words of the interface.

use invalidation_core::{Error, ErrorKind};

use crate::error::error;

pub(super) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the transport was closed: build another one",
    )
}

/// The listener's link ended without a reason of the driver's.
pub(super) fn link_lost(message: &'static str) -> Error {
    error(ErrorKind::Unavailable, "subscribe", message)
}
