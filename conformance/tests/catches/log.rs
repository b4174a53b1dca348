//! Wrong logs.
