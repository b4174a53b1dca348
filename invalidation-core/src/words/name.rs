//! Names of caches and clusters.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// A name that is empty, too long, or holds a control character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} name {name:?} {why}: use 1 to {MAX_NAME} bytes of UTF-8 without control characters"
)]
pub struct NameError {
    what: &'static str,
    name: String,
    why: &'static str,
}

fn check(what: &'static str, name: &str) -> Result<Arc<str>, NameError> {
    let refuse = |why| {
        let mut shown: String = name.chars().take(40).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        Err(NameError {
            what,
            name: shown,
            why,
        })
    };
    if name.is_empty() {
        refuse("is empty")
    } else if name.len() > MAX_NAME {
        refuse("is too long")
    } else if name.chars().any(char::is_control) {
        refuse("holds a control character")
    } else {
        Ok(name.into())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and keeps `name`.
            ///
            /// # Errors
            /// When it is empty, longer than 128 bytes, or holds a control character.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                check($what, name.as_ref()).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }
    };
}

name!(
    /// The name of a cache, the same on every node. 1 to 128 bytes of UTF-8 without control characters.
    CacheName,
    "cache"
);
name!(
    /// The name that separates deployments which share a backend. 1 to 128 bytes of UTF-8 without control
    /// characters.
    ClusterName,
    "cluster"
);

impl CacheName {
    /// Stands where a name was refused, until the builder says so.
    pub(crate) fn placeholder() -> Self {
        Self("?".into())
    }
}
