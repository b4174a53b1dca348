//! What must not be printed.

use std::{fmt, path::Path};

/// A secret. Its `Debug` hides it, and no error quotes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `bytes`, without the line ends that editors and `echo` put behind them.
    ///
    /// `None` when nothing is left.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let mut bytes = bytes.into();
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    pub(super) fn read(path: &Path) -> Result<Self, String> {
        if path.as_os_str().is_empty() {
            return Err("names no file".into());
        }
        let bytes = std::fs::read(path)
            .map_err(|error| format!("cannot read the secret from {}: {error}", path.display()))?;
        Self::new(bytes).ok_or_else(|| {
            format!(
                "the secret file {} is empty: write the secret into it, the same on every node",
                path.display()
            )
        })
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
