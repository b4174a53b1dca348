//! Derived keys.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use std::{fmt::Debug, marker::PhantomData};

use invalidation_core::CacheKey;
use invalidation_derive::CacheKey;

#[derive(CacheKey, Debug, PartialEq, Clone, Copy)]
#[cache_key(crate = "invalidation_core")]
struct UserId(i64);

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "::invalidation_core")]
struct Email {
    r#type: String,
}

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Membership {
    user: UserId,
    r#team: String,
    role: Role,
}

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Pair(UserId, (String, u8));

// More than the six that tuples go to.
#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Many(u8, u8, u8, u8, u8, u8, u8);

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
enum Role {
    Owner,
    Guest {},
    r#Type(),
}

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Config;

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Scoped<T, K = u8>
where
    K: Copy,
{
    tenant: T,
    id: K,
}

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
struct Wrapped<T>(T);

#[derive(CacheKey, Debug, PartialEq)]
#[cache_key(crate = "invalidation_core")]
enum Kind<const N: usize> {
    Only,
}

/// A parameter that is in no field need not be a key.
#[derive(CacheKey)]
#[cache_key(crate = "invalidation_core")]
struct Tagged<T>(Box<i64>, PhantomKey<T>);

struct PhantomKey<T>(PhantomData<T>);

impl<T> CacheKey for PhantomKey<T> {
    fn to_text(&self) -> std::borrow::Cow<'_, str> {
        "-".into()
    }

    fn from_text(_: &str) -> Result<Self, invalidation_core::KeyError> {
        Ok(Self(PhantomData))
    }
}

fn has_text<K: CacheKey + PartialEq + Debug>(key: &K, text: &str) {
    assert_eq!(key.to_text(), text);
    assert_eq!(K::from_text(text).as_ref(), Ok(key));
}

fn refused<K: CacheKey + Debug>(texts: &[&str]) {
    for text in texts {
        let error = K::from_text(text).unwrap_err();
        assert!(error.to_string().contains("is not the text of"), "{error}");
    }
}

/// P12: a struct of one field has its text.
#[test]
fn one_field() {
    has_text(&UserId(-7), "-7");
    let email = Email {
        r#type: "a:b".to_owned(),
    };
    has_text(&email, "a:b");
    refused::<UserId>(&["", "7 ", "07"]);
}

/// P12: a struct of several fields has the text of a tuple.
#[test]
fn several_fields() {
    let membership = Membership {
        user: UserId(7),
        team: "x:y".to_owned(),
        role: Role::Owner,
    };
    has_text(&membership, r"7:x\:y:Owner");
    has_text(&Pair(UserId(7), ("a".to_owned(), 1)), r"7:a\:1");
    assert_eq!(
        Pair(UserId(7), ("a".to_owned(), 1)).to_text(),
        (7, ("a".to_owned(), 1_u8)).to_text()
    );
    has_text(&Many(1, 2, 3, 4, 5, 6, 7), "1:2:3:4:5:6:7");
    refused::<Membership>(&["", "7:x", "7:x:Owner:", "x:x:Owner", "7:x:owner"]);
    refused::<Many>(&["1:2:3:4:5:6", "1:2:3:4:5:6:7:8"]);
}

/// P12: an enum without fields has the names of its variants.
#[test]
fn variants() {
    has_text(&Role::Owner, "Owner");
    has_text(&Role::Guest {}, "Guest");
    has_text(&Role::Type(), "Type");
    has_text(&Config, "Config");
    has_text(&Kind::<3>::Only, "Only");
    refused::<Role>(&["", "owner", "Owner ", "r#Type"]);
    refused::<Config>(&["", "config"]);
}

/// P12: a generic type is a key where its fields are.
#[test]
fn generics() {
    let scoped = Scoped {
        tenant: "a".to_owned(),
        id: 7_u8,
    };
    has_text(&scoped, "a:7");
    has_text(&Wrapped(Wrapped((1, 2))), "1:2");
    let tagged = Tagged::<fn()>(Box::new(1), PhantomKey(PhantomData));
    assert_eq!(tagged.to_text(), "1:-");
    assert_eq!(*Tagged::<fn()>::from_text("1:-").unwrap().0, 1);
}

/// What has no text does not compile, and says why.
#[test]
fn what_is_refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
