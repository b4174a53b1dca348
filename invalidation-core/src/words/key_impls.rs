//! The text of keys of common types.

use std::{borrow::Cow, sync::Arc};

use uuid::Uuid;

use super::{
    key::{CacheKey, KeyError},
    key_parts,
};

macro_rules! integers {
    ($($type:ty)*) => {$(
        /// Decimal, and only as it prints: `"+1"`, `"01"` and `"-0"` are the texts of no key.
        impl CacheKey for $type {
            fn to_text(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }

            fn from_text(text: &str) -> Result<Self, KeyError> {
                match text.parse() {
                    Ok(key) if is_canonical(text) => Ok(key),
                    _ => Err(KeyError::new::<Self>(text)),
                }
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// Whether what parses as an integer is written as it prints.
const fn is_canonical(text: &str) -> bool {
    match text.as_bytes() {
        [b'0'] => true,
        [b'+' | b'0', ..] | [b'-', b'0', ..] => false,
        _ => true,
    }
}

/// Itself.
impl CacheKey for String {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Ok(text.to_owned())
    }
}

/// Itself.
impl CacheKey for Box<str> {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Ok(text.into())
    }
}

/// Itself.
impl CacheKey for Arc<str> {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Ok(text.into())
    }
}

/// Itself.
impl CacheKey for Cow<'static, str> {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Itself.
impl CacheKey for char {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        text.parse().map_err(|_| KeyError::new::<Self>(text))
    }
}

/// Written with hyphens in lower case. Read in any form that [`Uuid::parse_str`] reads, since databases
/// differ in how they print one.
impl CacheKey for Uuid {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Owned(self.hyphenated().to_string())
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::parse_str(text).map_err(|_| KeyError::new::<Self>(text))
    }
}

/// The text of what it holds.
impl<T: CacheKey> CacheKey for Box<T> {
    fn to_text(&self) -> Cow<'_, str> {
        T::to_text(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        T::from_text(text).map(Self::new)
    }
}

/// The text of what it holds.
impl<T: CacheKey> CacheKey for Arc<T> {
    fn to_text(&self) -> Cow<'_, str> {
        T::to_text(self)
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        T::from_text(text).map(Self::new)
    }
}

macro_rules! tuples {
    ($(($($part:ident)+))*) => {$(
        /// The texts of the parts joined by `:`, with `\` and `:` inside a part written `\\` and `\:`.
        impl<$($part: CacheKey),+> CacheKey for ($($part,)+) {
            #[allow(non_snake_case, reason = "each part is named like its type")]
            fn to_text(&self) -> Cow<'_, str> {
                let ($($part,)+) = self;
                Cow::Owned(key_parts::join([$($part.to_text()),+]))
            }

            #[allow(non_snake_case, reason = "each part is named like its type")]
            fn from_text(text: &str) -> Result<Self, KeyError> {
                let parts = key_parts::split(text).and_then(|[$($part),+]| {
                    Some(($($part::from_text(&$part).ok()?,)+))
                });
                parts.ok_or_else(|| KeyError::new::<Self>(text))
            }
        }
    )*};
}

tuples! {
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
}
