//! Wrong transports.
