//! From bytes to an envelope.

use bytes::{Buf, Bytes};
use prost::Message as _;

use super::{Carried, Envelope, FORMAT, Message, Standing, wire};
use crate::words::{
    CacheName, ClusterName, Entry, Invalidation, LogIdentity, NodeId, Nonce, Scope, Text,
};

/// Why bytes are not a frame that this version understands. The receiver treats each as a gap (`P12`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There were no bytes.
    #[error("the frame is empty")]
    Empty,
    /// The first byte is not a format version that this version reads.
    #[error(
        "the frame has format version {0}, and this node reads {FORMAT}: a newer version runs in the cluster, or the bytes are no frame"
    )]
    UnknownVersion(u8),
    /// A message of a newer version.
    #[error(
        "the frame holds a message of the unknown kind {0}: a newer version runs in the cluster"
    )]
    UnknownMessage(u32),
    /// The bytes do not decode.
    #[error("the frame does not decode: {0}")]
    Malformed(&'static str),
}

/// Reads a frame. Never panics, and takes memory in proportion to `frame` at most, whatever lengths the
/// bytes claim.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(frame: &Bytes) -> Result<Envelope, DecodeError> {
    let mut body = frame.clone();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    match body.get_u8() {
        FORMAT => {}
        version => return Err(DecodeError::UnknownVersion(version)),
    }
    let message = wire::Envelope::decode(body)
        .map_err(|_| DecodeError::Malformed("the bytes are not the protobuf of a frame"))?;
    let cluster = ClusterName::new(&message.cluster)
        .map_err(|_| DecodeError::Malformed("the cluster name is not acceptable"))?;
    let origin = <[u8; 16]>::try_from(&*message.origin)
        .map_err(|_| DecodeError::Malformed("the origin is not 16 bytes"))?;
    Ok(Envelope {
        cluster,
        origin: NodeId::from_bytes(origin),
        sequence: message.sequence,
        message: match message.kind {
            wire::kind::INVALIDATIONS => {
                Message::Invalidations(carried(message.entries, message.identity)?)
            }
            wire::kind::HEARTBEAT => Message::Heartbeat,
            wire::kind::FAREWELL => Message::Farewell,
            kind => return Err(DecodeError::UnknownMessage(kind)),
        },
    })
}

fn carried(
    entries: Vec<wire::Carried>,
    identity: Option<Bytes>,
) -> Result<Vec<Carried>, DecodeError> {
    let mut names = LastName(None);
    let shared = identity.as_ref().map(to_identity);
    entries
        .into_iter()
        .map(|entry| {
            let (invalidation, known) = invalidation(&entry, &mut names)?;
            let standing = match entry.standing {
                wire::standing::PROVEN_WITHOUT_LOG if known => Standing::Proven(None),
                wire::standing::PROVEN if known => {
                    match entry.identity.as_ref().map(to_identity) {
                        Some(own) => Standing::Proven(Some(own)),
                        None => match &shared {
                            Some(shared) => Standing::Proven(Some(shared.clone())),
                            // It proves nothing without saying for which log.
                            None => Standing::Claimed,
                        },
                    }
                }
                // A standing or scope that a newer version added proves nothing to this one (P8).
                _ => Standing::Claimed,
            };
            Ok(Carried {
                entry: Entry {
                    nonce: Nonce(entry.nonce),
                    invalidation,
                },
                standing,
            })
        })
        .collect()
}

/// What an entry invalidates, and whether this version knew its scope. An unknown scope widens (`P12`).
fn invalidation(
    entry: &wire::Carried,
    names: &mut LastName,
) -> Result<(Invalidation, bool), DecodeError> {
    let (scope, known) = match entry.scope {
        wire::scope::EVERYTHING => return Ok((Invalidation::Everything, true)),
        wire::scope::ALL => (Scope::All, true),
        wire::scope::KEYS => (Scope::Keys(texts(&entry.items)?.into()), true),
        wire::scope::TAGS => (Scope::Tags(texts(&entry.items)?.into()), true),
        _ => (Scope::All, false),
    };
    match &entry.cache {
        Some(cache) => {
            let cache = names.get(cache)?;
            Ok((Invalidation::Cache { cache, scope }, known))
        }
        None if known => Err(DecodeError::Malformed("an entry names no cache")),
        None => Ok((Invalidation::Everything, false)),
    }
}

fn texts(items: &[Bytes]) -> Result<Vec<Text>, DecodeError> {
    items
        .iter()
        .map(|item| match std::str::from_utf8(item) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(DecodeError::Malformed("a key or tag is not UTF-8")),
        })
        .collect()
}

/// Copied: a slice of the frame would keep all of it in memory for as long as the identity is remembered.
fn to_identity(bytes: &Bytes) -> LogIdentity {
    LogIdentity::from_bytes(Bytes::copy_from_slice(bytes))
}

/// The cache name of the entry before: entries of one frame often share it, and then one allocation.
struct LastName(Option<CacheName>);

impl LastName {
    fn get(&mut self, name: &str) -> Result<CacheName, DecodeError> {
        match &self.0 {
            Some(last) if last.as_str() == name => Ok(last.clone()),
            _ => {
                let name = CacheName::new(name)
                    .map_err(|_| DecodeError::Malformed("a cache name is not acceptable"))?;
                Ok(self.0.insert(name).clone())
            }
        }
    }
}
