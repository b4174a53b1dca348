//! From an envelope to bytes.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::{Carried, Envelope, FORMAT, Message, Standing, wire};
use crate::words::{Invalidation, LogIdentity, Scope};

/// The bytes of `envelope`. Always the same for an equal envelope.
pub fn encode(envelope: &Envelope) -> Bytes {
    let (kind, carried): (u32, &[Carried]) = match &envelope.message {
        Message::Invalidations(carried) => (wire::kind::INVALIDATIONS, carried),
        Message::Heartbeat => (wire::kind::HEARTBEAT, &[]),
        Message::Farewell => (wire::kind::FAREWELL, &[]),
    };
    let shared = shared_identity(carried);
    let message = wire::Envelope {
        cluster: envelope.cluster.as_str().to_owned(),
        origin: Bytes::copy_from_slice(&envelope.origin.to_bytes()),
        sequence: envelope.sequence,
        kind,
        entries: carried.iter().map(|c| to_wire(c, shared)).collect(),
        identity: shared.map(|identity| identity.as_bytes().clone()),
    };
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(FORMAT);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The identity that stands once for the whole frame: nearly always all entries have the same.
fn shared_identity(carried: &[Carried]) -> Option<&LogIdentity> {
    carried.iter().find_map(|c| identity(&c.standing))
}

/// The identity that an entry of this standing names.
pub(super) const fn identity(standing: &Standing) -> Option<&LogIdentity> {
    match standing {
        Standing::Proven(identity) => identity.as_ref(),
        Standing::Claimed => None,
    }
}

/// The message for `carried` in a frame whose own identity is `shared`.
pub(super) fn to_wire(carried: &Carried, shared: Option<&LogIdentity>) -> wire::Carried {
    let (cache, scope, items): (_, _, &[_]) = match &carried.entry.invalidation {
        Invalidation::Everything => (None, wire::scope::EVERYTHING, &[]),
        Invalidation::Cache { cache, scope } => {
            let (kind, items): (_, &[_]) = match scope {
                Scope::All => (wire::scope::ALL, &[]),
                Scope::Keys(keys) => (wire::scope::KEYS, keys),
                Scope::Tags(tags) => (wire::scope::TAGS, tags),
            };
            (Some(cache.as_str().to_owned()), kind, items)
        }
    };
    let own = identity(&carried.standing);
    wire::Carried {
        nonce: carried.entry.nonce.0,
        cache,
        scope,
        items: items
            .iter()
            .map(|item| Bytes::copy_from_slice(item.as_bytes()))
            .collect(),
        standing: match &carried.standing {
            Standing::Claimed => wire::standing::CLAIMED,
            Standing::Proven(None) => wire::standing::PROVEN_WITHOUT_LOG,
            Standing::Proven(Some(_)) => wire::standing::PROVEN,
        },
        identity: own
            .filter(|_| own != shared)
            .map(|identity| identity.as_bytes().clone()),
    }
}
