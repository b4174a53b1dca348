//! Golden vectors: frames as released versions send them. A rolling upgrade works if each still decodes to
//! what it meant, and if this version still sends what the others read.
//!
//! A file of `tests/golden` is hexadecimal text; `#` begins a comment. Files are added, never changed.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use bytes::Bytes;
use invalidation_core::{
    CacheName, ClusterName, Entry, Invalidation, LogIdentity, NodeId, Nonce, Scope,
    frame::{Carried, DecodeError, Envelope, Message, Standing, decode, encode},
};

fn vector(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .lines()
        .map(|line| line.split('#').next().unwrap())
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    let (pairs, []) = digits.as_chunks::<2>() else {
        panic!("an odd number of digits");
    };
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes
        .chunks(32)
        .map(|line| {
            line.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
        .collect();
    lines.join("\n")
}

fn envelope(sequence: u64, message: Message) -> Envelope {
    let mut origin = [0; 16];
    for (at, byte) in origin.iter_mut().enumerate() {
        *byte = at as u8;
    }
    Envelope {
        cluster: ClusterName::new("billing").unwrap(),
        origin: NodeId::from_bytes(origin),
        sequence,
        message,
    }
}

fn carried(nonce: u64, invalidation: Invalidation, standing: Standing) -> Carried {
    Carried {
        entry: Entry {
            nonce: Nonce(nonce),
            invalidation,
        },
        standing,
    }
}

fn of(cache: &str, scope: Scope) -> Invalidation {
    Invalidation::Cache {
        cache: CacheName::new(cache).unwrap(),
        scope,
    }
}

fn identity(bytes: &'static [u8]) -> Option<LogIdentity> {
    Some(LogIdentity::from_bytes(bytes))
}

/// This vector decodes to `envelope`, and `envelope` encodes to it.
fn both_ways(text: &str, envelope: &Envelope) {
    let sent = encode(envelope);
    assert_eq!(
        hex(&vector(text)),
        hex(&sent),
        "this version sends something else (below)"
    );
    assert_eq!(decode(&vector(text)).as_ref(), Ok(envelope));
}

/// P12: the everyday frame: some keys of one cache, proven.
#[test]
fn keys_proven() {
    let entry = carried(
        0x0102_0304_0506_0708,
        of("users", Scope::keys(["42", "küche", ""])),
        Standing::Proven(identity(b"log-1")),
    );
    both_ways(
        include_str!("golden/v1-keys-proven.hex"),
        &envelope(1, Message::Invalidations(vec![entry])),
    );
}

/// P12: every scope and standing, and two logs in one frame.
#[test]
fn every_scope_and_standing() {
    let entries = vec![
        carried(1, of("users", Scope::tags(["team:7"])), Standing::Claimed),
        carried(
            2,
            of("users", Scope::All),
            Standing::Proven(identity(b"log-1")),
        ),
        carried(
            3,
            of("roles", Scope::keys(["a", "b"])),
            Standing::Proven(identity(b"log-2")),
        ),
        carried(u64::MAX, Invalidation::Everything, Standing::Proven(None)),
        carried(
            0,
            of("roles", Scope::keys(["c"])),
            Standing::Proven(identity(b"log-1")),
        ),
    ];
    both_ways(
        include_str!("golden/v1-every-scope-and-standing.hex"),
        &envelope(300, Message::Invalidations(entries)),
    );
}

/// P10: heartbeat and farewell.
#[test]
fn signs_of_life() {
    both_ways(
        include_str!("golden/v1-heartbeat.hex"),
        &envelope(u64::MAX, Message::Heartbeat),
    );
    both_ways(
        include_str!("golden/v1-farewell.hex"),
        &envelope(0, Message::Farewell),
    );
}

/// P12: a newer version of the same format: fields unknown here are ignored, an unknown scope widens to its
/// cache, and unknown scopes and standings prove nothing.
#[test]
fn a_newer_version_is_understood_as_far_as_it_goes() {
    let entries = vec![
        carried(
            1,
            of("users", Scope::keys(["42"])),
            Standing::Proven(identity(b"log-1")),
        ),
        carried(2, of("users", Scope::All), Standing::Claimed),
        carried(3, of("users", Scope::keys(["43"])), Standing::Claimed),
        carried(4, Invalidation::Everything, Standing::Claimed),
    ];
    assert_eq!(
        decode(&vector(include_str!("golden/newer-fields.hex"))),
        Ok(envelope(9, Message::Invalidations(entries)))
    );
}

/// P12: what a newer version says in a message or a format of its own is refused, and so becomes a gap.
#[test]
fn newer_messages_and_formats_are_refused() {
    assert_eq!(
        decode(&vector(include_str!("golden/newer-message.hex"))),
        Err(DecodeError::UnknownMessage(4))
    );
    assert_eq!(
        decode(&vector(include_str!("golden/newer-format.hex"))),
        Err(DecodeError::UnknownVersion(2))
    );
}
