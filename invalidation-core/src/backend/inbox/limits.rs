//! How much may wait.

/// How much may wait in an [`Inbox`](super::Inbox). A frame that waits alone may be larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxLimits {
    /// The transport's name in errors: `"redis"`.
    pub backend: &'static str,
    /// How many frames; 0 is as good as 1.
    pub frames: usize,
    /// How many bytes of frames, whatever their number. A frame that is a slice of something larger keeps all of that:
    /// copy it, where others of its kind may be dropped.
    pub bytes: usize,
}

impl InboxLimits {
    /// So many frames, and 64 MiB.
    pub const fn new(backend: &'static str, frames: usize) -> Self {
        Self {
            backend,
            frames,
            bytes: 64 << 20,
        }
    }
}
