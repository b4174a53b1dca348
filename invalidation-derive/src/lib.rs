//! `#[derive(CacheKey)]` for the `cache-invalidation` framework.

mod derive;
mod shape;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Gives a type the text of a key, and reads it back.
///
/// | type | text |
/// | --- | --- |
/// | struct with one field | the text of the field |
/// | struct with several fields | their texts joined by `:`, with `\` and `:` inside one written `\\` and `\:`, as that of a tuple |
/// | struct without fields | its name |
/// | enum whose variants have no fields | the name of the variant |
///
/// Every field must be a `CacheKey` itself. The text is what nodes of all versions, triggers and other
/// languages agree on: renaming a variant, or changing the order of fields, changes it.
///
/// The code refers to `::cache_invalidation`. `#[cache_key(crate = "path")]` on the type names another crate
/// or module which has `CacheKey`, `KeyError` and `key_parts`.
///
/// ```
/// use invalidation_core::CacheKey as _;
/// use invalidation_derive::CacheKey;
///
/// #[derive(CacheKey)]
/// # #[cache_key(crate = "invalidation_core")]
/// struct Membership {
///     team: String,
///     user: i64,
/// }
///
/// let key = Membership { team: "core".to_owned(), user: 7 };
/// assert_eq!(key.to_text(), "core:7");
/// ```
///
/// # Errors
/// Unions, enums without variants and enums whose variants have fields do not compile.
#[proc_macro_derive(CacheKey, attributes(cache_key))]
pub fn cache_key(input: TokenStream) -> TokenStream {
    derive::expand(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
