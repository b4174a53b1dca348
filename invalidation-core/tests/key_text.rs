//! The text of keys: one text for each key, and a key back for it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use std::{borrow::Cow, fmt::Debug, sync::Arc};

use invalidation_core::CacheKey;
use proptest::prelude::*;
use uuid::Uuid;

/// The text of `key`, after a check that it is read back.
fn there_and_back<K: CacheKey + PartialEq + Debug>(key: &K) -> String {
    let text = key.to_text().into_owned();
    assert_eq!(K::from_text(&text).as_ref(), Ok(key));
    text
}

fn refused<K: CacheKey + Debug>(texts: &[&str]) {
    for text in texts {
        let error = K::from_text(text).unwrap_err();
        assert!(error.to_string().contains("is not the text of"), "{error}");
    }
}

/// A text with many of the characters that are escaped.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![r"[:\\a]{0,6}", any::<String>()]
}

macro_rules! integers {
    ($($name:ident: $type:ty),*) => {
        proptest! {$(
            /// P12: an integer has its decimal text alone.
            #[test]
            fn $name(key in any::<$type>(), text in "[-+]?[0-9]{1,4}") {
                prop_assert_eq!(there_and_back(&key), key.to_string());
                if let Ok(key) = <$type>::from_text(&text) {
                    prop_assert_eq!(key.to_text(), text);
                }
            }
        )*}
    };
}

integers! {
    i8_text: i8, i16_text: i16, i32_text: i32, i64_text: i64, i128_text: i128, isize_text: isize,
    u8_text: u8, u16_text: u16, u32_text: u32, u64_text: u64, u128_text: u128, usize_text: usize
}

proptest! {
    /// P12: strings, characters and what holds them are their own text.
    #[test]
    fn strings_are_their_own_text(key in any::<String>(), c in any::<char>()) {
        prop_assert_eq!(&there_and_back(&key), &key);
        prop_assert_eq!(&there_and_back(&key.clone().into_boxed_str()), &key);
        prop_assert_eq!(&there_and_back(&Arc::<str>::from(&*key)), &key);
        prop_assert_eq!(&there_and_back(&Cow::<'static, str>::Owned(key.clone())), &key);
        prop_assert_eq!(&there_and_back(&Box::new(Arc::new(key.clone()))), &key);
        prop_assert_eq!(there_and_back(&c), c.to_string());
    }

    /// P12: a `Uuid` has one text, and is read from others too.
    #[test]
    fn uuids_are_read_in_any_form(bits in any::<u128>()) {
        let key = Uuid::from_u128(bits);
        let text = there_and_back(&key);
        prop_assert_eq!(text.len(), 36);
        prop_assert_eq!(Uuid::from_text(&text.to_uppercase()), Ok(key));
        prop_assert_eq!(Uuid::from_text(&text.replace('-', "")), Ok(key));
    }

    /// P12: tuples are read back, whatever their parts hold, also within each other.
    #[test]
    fn tuples_are_read_back(a in tricky(), b in tricky(), c in any::<i64>(), d in tricky()) {
        there_and_back(&(a.clone(), b.clone()));
        there_and_back(&(a.clone(), c, b.clone()));
        there_and_back(&((a.clone(), c), (b.clone(), (d.clone(), a.clone()))));
        there_and_back(&(a.clone(), b.clone(), c, d.clone()));
        there_and_back(&(a.clone(), b.clone(), c, d.clone(), c));
        there_and_back(&(a.clone(), b.clone(), c, d, b, a));
    }

    /// P1: two keys have two texts.
    #[test]
    fn different_tuples_have_different_texts(
        x in (r"[:\\a]{0,3}", r"[:\\a]{0,3}"),
        y in (r"[:\\a]{0,3}", r"[:\\a]{0,3}"),
    ) {
        prop_assert_eq!(x == y, x.to_text() == y.to_text());
    }

    /// P12: any text is a key or refused, and what is read has the text it was read from.
    #[test]
    fn any_text_is_a_key_or_refused(text in tricky()) {
        if let Ok(key) = <(String, String)>::from_text(&text) {
            prop_assert_eq!(key.to_text(), &*text);
        }
        if let Ok(key) = <(String, (String, String), char)>::from_text(&text) {
            prop_assert_eq!(key.to_text(), &*text);
        }
        let _ = i64::from_text(&text);
        let _ = Uuid::from_text(&text);
        let _ = <(Uuid, u8)>::from_text(&text);
    }
}

/// P12: the texts of tuples, which other languages write: they never change.
#[test]
fn tuple_texts_are_as_documented() {
    assert_eq!((7, "a".to_owned()).to_text(), "7:a");
    assert_eq!(
        ("a:b".to_owned(), r"c\d".to_owned()).to_text(),
        r"a\:b:c\\d"
    );
    assert_eq!(
        (String::new(), String::new(), String::new()).to_text(),
        "::"
    );
    assert_eq!(((1, 2), 3).to_text(), r"1\:2:3");
    assert_eq!((((1, 2), 3), 4).to_text(), r"1\\\:2\:3:4");
}

/// P12: what is not written as it prints is no key.
#[test]
fn other_spellings_are_refused() {
    refused::<i64>(&[
        "+1",
        "01",
        "-0",
        "-01",
        " 1",
        "1 ",
        "",
        "-",
        "1e3",
        "0x1",
        "١",
        "9223372036854775808",
    ]);
    refused::<u8>(&["256", "-1", "00", "+0"]);
    refused::<char>(&["", "ab"]);
    refused::<Uuid>(&["", "x", "67e55044-10b1-426f-9247-bb680e5fe0c"]);
    refused::<(i64, i64)>(&[
        "", "1", "1:", ":1", "1:2:3", "1:+2", r"1\:2", r"1:2\", r"1:\2",
    ]);
    refused::<(String, String)>(&["", "a", "a:b:c", r"a\:b", r"a:b\", r"a\b:c"]);
}
