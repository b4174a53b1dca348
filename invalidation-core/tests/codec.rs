//! The frame codec: round trips, hostile bytes, splitting.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use bytes::Bytes;
use invalidation_core::{
    CacheName, ClusterName, Entry, Invalidation, LogIdentity, NodeId, Nonce, Scope,
    frame::{
        Carried, DecodeError, Envelope, FORMAT, MIN_FRAME, Message, Standing, decode, encode, pack,
    },
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use proptest::{collection::vec, prelude::*};

fn cluster() -> impl Strategy<Value = ClusterName> {
    "[^\\p{Cc}]{1,32}".prop_map(|name| ClusterName::new(name).unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    let items = || vec(any::<String>(), 0..20);
    prop_oneof![
        items().prop_map(Scope::keys),
        items().prop_map(Scope::tags),
        Just(Scope::All),
    ]
}

fn invalidation() -> impl Strategy<Value = Invalidation> {
    prop_oneof![
        1 => Just(Invalidation::Everything),
        9 => ("[^\\p{Cc}]{1,32}", scope()).prop_map(|(cache, scope)| Invalidation::Cache {
            cache: CacheName::new(cache).unwrap(),
            scope,
        }),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    // Few identities, so that entries of one frame share some.
    let identity = (0..3_u8, 0..64_usize)
        .prop_map(|(byte, len)| LogIdentity::from_bytes(vec![byte; len / 32 * 32]));
    prop_oneof![
        Just(Standing::Claimed),
        Just(Standing::Proven(None)),
        identity.prop_map(|identity| Standing::Proven(Some(identity))),
    ]
}

fn carried() -> impl Strategy<Value = Carried> {
    (any::<u64>(), invalidation(), standing()).prop_map(|(nonce, invalidation, standing)| Carried {
        entry: Entry {
            nonce: Nonce(nonce),
            invalidation,
        },
        standing,
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let message = prop_oneof![
        4 => vec(carried(), 0..12).prop_map(Message::Invalidations),
        1 => Just(Message::Heartbeat),
        1 => Just(Message::Farewell),
    ];
    (cluster(), any::<[u8; 16]>(), any::<u64>(), message).prop_map(
        |(cluster, origin, sequence, message)| Envelope {
            cluster,
            origin: NodeId::from_bytes(origin),
            sequence,
            message,
        },
    )
}

fn users(scope: Scope) -> Carried {
    Carried {
        entry: Entry::new(Invalidation::Cache {
            cache: CacheName::new("users").unwrap(),
            scope,
        }),
        standing: Standing::Proven(Some(LogIdentity::from_bytes(&b"identity"[..]))),
    }
}

fn frame_of(cluster: &ClusterName, carried: Vec<Carried>) -> Bytes {
    encode(&Envelope {
        cluster: cluster.clone(),
        origin: NodeId::random(),
        sequence: u64::MAX,
        message: Message::Invalidations(carried),
    })
}

/// Each item of each entry, with what is carried beside it: what packing may not lose.
fn items(carried: &[Carried]) -> Vec<(Nonce, String, Standing)> {
    let mut all: Vec<_> = carried
        .iter()
        .flat_map(|c| {
            let texts = match &c.entry.invalidation {
                Invalidation::Everything => vec!["everything".to_owned()],
                Invalidation::Cache { cache, scope } => match scope {
                    Scope::All => vec![format!("{cache} all")],
                    Scope::Keys(keys) => keys.iter().map(|k| format!("{cache} key {k}")).collect(),
                    Scope::Tags(tags) => tags.iter().map(|t| format!("{cache} tag {t}")).collect(),
                },
            };
            texts
                .into_iter()
                .map(|text| (c.entry.nonce, text, c.standing.clone()))
        })
        .collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    all
}

proptest! {
    /// P1: what is sent is what is received.
    #[test]
    fn a_frame_survives_the_way(envelope in envelope()) {
        prop_assert_eq!(decode(&encode(&envelope)), Ok(envelope));
    }

    /// P12: no bytes make the decoder panic.
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..400), framed in any::<bool>()) {
        let mut bytes = bytes;
        if framed {
            bytes.insert(0, FORMAT);
        }
        let _ = decode(&Bytes::from(bytes));
    }

    /// P12: neither do frames that were cut, or changed in some bytes; one cut right after its header is
    /// the only kind that may still decode to something.
    #[test]
    fn damaged_frames_decode_or_are_refused(
        envelope in envelope(),
        cut in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let mut bytes = encode(&envelope).to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&Bytes::copy_from_slice(&bytes));
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = decode(&Bytes::from(bytes));
    }

    /// P11: splitting loses nothing, keeps the order of entries, and every part fits.
    #[test]
    fn packing_loses_nothing(
        carried in vec(carried(), 0..12),
        cluster in cluster(),
        max_frame in MIN_FRAME..4_000,
    ) {
        let parts = pack(carried.clone(), max_frame, &cluster);
        for part in &parts {
            prop_assert!(!part.is_empty());
            let frame = frame_of(&cluster, part.clone());
            prop_assert!(frame.len() <= max_frame, "{} > {max_frame}", frame.len());
        }
        let packed: Vec<_> = parts.into_iter().flatten().collect();
        let mut before: Vec<_> = carried.iter().map(|c| c.entry.nonce).collect();
        let mut after: Vec<_> = packed.iter().map(|c| c.entry.nonce).collect();
        before.dedup();
        after.dedup();
        prop_assert_eq!(before, after);

        // The items of each entry are all there, once, or it widened.
        let widened = |nonce: Nonce| {
            packed.iter().any(|c| c.entry.nonce == nonce && !carried.contains(c) && matches!(
                &c.entry.invalidation,
                Invalidation::Cache { scope: Scope::All, .. }
            ))
        };
        let mut kept = items(&carried);
        kept.retain(|item| !widened(item.0));
        let mut left = items(&packed);
        left.retain(|item| !widened(item.0));
        prop_assert_eq!(kept, left);
    }
}

/// P11, P8: an entry with too many keys is split into several of the same nonce, none of which proves the
/// whole.
#[test]
fn a_large_entry_is_split_and_proves_only_parts() {
    let cluster = ClusterName::new("billing").unwrap();
    let whole = users(Scope::keys((0..10_000).map(|n| n.to_string())));
    let parts = pack(vec![whole.clone()], 4_096, &cluster);
    assert!(parts.len() > 10, "{}", parts.len());
    let pieces: Vec<_> = parts.iter().flatten().cloned().collect();
    assert_eq!(items(&pieces), items(std::slice::from_ref(&whole)));
    for (part, piece) in parts.iter().zip(&pieces) {
        assert_eq!(piece.entry.nonce, whole.entry.nonce);
        assert_ne!(piece.entry.hash(), whole.entry.hash());
        // Full but for the last: the room is used.
        let len = frame_of(&cluster, part.clone()).len();
        assert!(len <= 4_096);
    }
    for part in &parts[..parts.len() - 1] {
        assert!(frame_of(&cluster, part.clone()).len() > 4_080);
    }
}

/// P11: a key that fits no frame widens to its cache, in the same nonce, and nothing else is touched.
#[test]
fn a_key_too_large_for_any_frame_widens() {
    let cluster = ClusterName::new("billing").unwrap();
    let large = users(Scope::keys(["a".to_owned(), "b".repeat(600)]));
    let small = users(Scope::keys(["c"]));
    let recorder = DebuggingRecorder::new();
    let counters = recorder.snapshotter();
    let parts = metrics::with_local_recorder(&recorder, || {
        pack(vec![large.clone(), small.clone()], MIN_FRAME, &cluster)
    });
    let packed: Vec<_> = parts.into_iter().flatten().collect();
    let widened = Carried {
        entry: Entry {
            nonce: large.entry.nonce,
            invalidation: large.entry.invalidation.widened(),
        },
        standing: large.standing,
    };
    assert_eq!(packed, [widened, small]);

    let counted: Vec<_> = counters.snapshot().into_vec();
    let [(key, _, _, DebugValue::Counter(1))] = &counted[..] else {
        panic!("{counted:?}");
    };
    assert_eq!(
        key.key().to_string(),
        "Key(cache_invalidation_widened_total, [reason = item_too_large])"
    );
}

/// P12: the reasons for which a frame is refused, each a gap.
#[test]
fn what_is_no_frame_is_refused_by_name() {
    let decode = |bytes: &[u8]| decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(decode(&[]), DecodeError::Empty);
    assert_eq!(decode(&[2, 0, 0]), DecodeError::UnknownVersion(2));
    // Cluster "c", a length that exceeds the frame.
    assert!(matches!(
        decode(&[1, 0x0a, 1, b'c', 0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        DecodeError::Malformed(_)
    ));
    let mut unknown_kind = vec![1, 0x0a, 1, b'c', 0x12, 16];
    unknown_kind.extend([7; 16]);
    unknown_kind.extend([0x20, 9]);
    assert_eq!(decode(&unknown_kind), DecodeError::UnknownMessage(9));
}

/// P11: an identity of absurd length is left out rather than the invalidation: it is claimed then.
#[test]
fn an_identity_too_large_for_any_frame_is_left_out() {
    let cluster = ClusterName::new("billing").unwrap();
    let mut large = users(Scope::keys(["a"]));
    large.standing = Standing::Proven(Some(LogIdentity::from_bytes(vec![7; 600])));
    let packed: Vec<_> = pack(vec![large.clone()], MIN_FRAME, &cluster).concat();
    assert_eq!(packed.len(), 1);
    assert_eq!(packed[0].standing, Standing::Claimed);
    assert_eq!(
        packed[0].entry.invalidation,
        large.entry.invalidation.widened()
    );
}

/// P11: the smallest frame holds the longest names.
#[test]
fn the_smallest_frame_holds_any_cache() {
    let long = "x".repeat(128);
    let cluster = ClusterName::new(&long).unwrap();
    let entry = Carried {
        entry: Entry {
            nonce: Nonce(u64::MAX),
            invalidation: Invalidation::Cache {
                cache: CacheName::new(&long).unwrap(),
                scope: Scope::All,
            },
        },
        standing: Standing::Proven(None),
    };
    assert!(frame_of(&cluster, vec![entry]).len() <= MIN_FRAME);
}
