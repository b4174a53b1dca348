//! The derive macro, as a user of this crate alone has it.
#![cfg(feature = "derive")]
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use cache_invalidation::CacheKey;

/// The trait and its macro come by one name, and the macro's code finds what it needs here.
#[test]
fn a_key_of_ones_own() {
    #[derive(Debug, PartialEq, CacheKey)]
    struct Membership {
        team: String,
        user: i64,
    }

    let key = Membership {
        team: "a:b".to_owned(),
        user: 7,
    };
    let text = key.to_text().into_owned();
    assert_eq!(Membership::from_text(&text).unwrap(), key);
}
