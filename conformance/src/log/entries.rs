//! Making entries, and comparing what was read with what should have been.

use std::{collections::BTreeMap, fmt};

use invalidation_core::{CacheName, Entry, Invalidation, LoggedEntry, Payload, Scope, Text};

/// At most so many items of each kind are printed.
const SHOWN: usize = 10;

/// An entry for one key.
pub(super) fn key(key: impl Into<Text>) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: users(),
        scope: Scope::keys([key]),
    })
}

/// `prefix/0`, `prefix/1`, …
pub(super) fn numbered(prefix: &str, count: usize) -> Vec<Entry> {
    (0..count)
        .map(|number| key(format!("{prefix}/{number}")))
        .collect()
}

pub(super) fn users() -> CacheName {
    CacheName::new("users").expect("a good name")
}

/// Each of `expected` exactly once, in any order, and nothing else.
pub(super) fn assert_exactly(rule: &str, expected: &[Entry], found: &[LoggedEntry]) {
    let mut left: BTreeMap<_, _> = expected.iter().map(|entry| (entry.nonce, entry)).collect();
    let mut twice = Vec::new();
    let mut extra = Vec::new();
    for logged in found {
        let Payload::Entry(entry) = &logged.payload else {
            extra.push(shortly(&logged.payload));
            continue;
        };
        match left.remove(&entry.nonce) {
            Some(same) if same == entry => {}
            Some(_) => extra.push(format!("{} (changed)", scope(&entry.invalidation))),
            None if expected.contains(entry) => twice.push(scope(&entry.invalidation)),
            None => extra.push(scope(&entry.invalidation)),
        }
    }
    let missing: Vec<_> = expected
        .iter()
        .filter(|entry| left.contains_key(&entry.nonce))
        .map(|entry| scope(&entry.invalidation))
        .collect();
    assert!(
        missing.is_empty() && twice.is_empty() && extra.is_empty(),
        "{rule}: expected {} entries exactly once, and {} came\n  missing: {}\n  more than once: {}\n  extra: {}",
        expected.len(),
        found.len(),
        list(&missing),
        list(&twice),
        list(&extra),
    );
}

/// Exactly `expected`, in this order.
pub(super) fn assert_in_order(rule: &str, expected: &[Entry], found: &[LoggedEntry]) {
    assert_exactly(rule, expected, found);
    let differs = expected
        .iter()
        .zip(found)
        .position(|(entry, logged)| logged.payload != Payload::Entry(entry.clone()));
    if let Some(at) = differs {
        panic!(
            "{rule}: out of order from number {at} on\n  expected: {}\n  came: {}",
            list(&shown(
                expected
                    .iter()
                    .skip(at)
                    .map(|entry| scope(&entry.invalidation))
            )),
            list(&shown(
                found.iter().skip(at).map(|logged| shortly(&logged.payload))
            )),
        );
    }
}

/// `found` is what was `expected`.
#[track_caller]
pub(super) fn assert_same<T: PartialEq + fmt::Debug>(rule: &str, expected: T, found: T) {
    assert!(
        expected == found,
        "{rule}: expected {expected:?}, and found {found:?}"
    );
}

/// The part of `found` whose entries are among `of`.
pub(super) fn among(found: &[LoggedEntry], of: &[Entry]) -> Vec<LoggedEntry> {
    let is_of = |logged: &&LoggedEntry| matches!(&logged.payload, Payload::Entry(entry) if of.contains(entry));
    found.iter().filter(is_of).cloned().collect()
}

/// What they invalidate, at most ten of them.
pub(super) fn names<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    list(&shown(
        entries.into_iter().map(|entry| scope(&entry.invalidation)),
    ))
}

fn shown(items: impl Iterator<Item = String>) -> Vec<String> {
    items.take(SHOWN + 1).collect()
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let mut text = items[..items.len().min(SHOWN)].join(", ");
    if items.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// `users/keys/1`
fn shortly(payload: &Payload) -> String {
    match payload {
        Payload::Entry(entry) => scope(&entry.invalidation),
        Payload::Undecodable { cache, why } => format!("undecodable of {cache:?} ({why})"),
    }
}

fn scope(invalidation: &Invalidation) -> String {
    let of = |cache: &CacheName, word: &str, items: &[Text]| {
        let items: Vec<_> = items
            .iter()
            .take(3)
            .map(|item| item.chars().take(40).collect::<String>())
            .collect();
        format!("{cache}/{word}/{}", items.join(","))
    };
    match invalidation {
        Invalidation::Everything => "everything".to_owned(),
        Invalidation::Cache { cache, scope } => match scope {
            Scope::All => format!("{cache}/all"),
            Scope::Keys(keys) => of(cache, "keys", keys),
            Scope::Tags(tags) => of(cache, "tags", tags),
        },
    }
}
