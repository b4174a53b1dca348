//! Wrong nodes.
