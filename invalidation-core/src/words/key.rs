//! Keys as text, so that SQL triggers, other languages and operators can write them.

use std::borrow::Cow;

/// A key that has a text form.
///
/// # Contract
/// `from_text(&key.to_text())` gives a key equal to `key`, and two keys that are not equal have different
/// texts. Nodes of different versions that share a cluster agree on the text. A text that does not parse
/// widens its invalidation to the whole cache (`P12`); it is never an error.
///
/// It is given for integers, strings, `char`, [`Uuid`](uuid::Uuid), tuples of up to six keys, and `Box` and
/// `Arc` of a key. For a type of your own derive it: a struct of one field has the text of that field, one of
/// several that of a tuple, and an enum without fields the name of its variant.
pub trait CacheKey: Sized {
    /// The key as text.
    fn to_text(&self) -> Cow<'_, str>;

    /// The key whose text is `text`.
    ///
    /// # Errors
    /// When `text` is not the text of any key.
    fn from_text(text: &str) -> Result<Self, KeyError>;
}

/// A text that is not the text of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the text of a {type_name}")]
pub struct KeyError {
    text: String,
    type_name: &'static str,
}

impl KeyError {
    /// `text` is not the text of a `T`.
    pub fn new<T>(text: &str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            type_name: std::any::type_name::<T>(),
        }
    }
}
