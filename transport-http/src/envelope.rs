//! The fixed header that precedes the payload in every body, request and response. Big-endian.
//!
//! | request | bytes |   | response | bytes |
//! | --- | --- | --- | --- | --- |
//! | format version (1) | 1 | | format version (1) | 1 |
//! | purpose: 1 hello, 2 frames | 1 | | key id | 8 |
//! | key id | 8 | | responder | 16 |
//! | cluster tag | 8 | | payload length | 4 |
//! | sender | 16 | | tag | 32 |
//! | recipient, zero in a hello | 16 | | | |
//! | session, zero in a hello | 8 | | | |
//! | counter | 8 | | | |
//! | payload length | 4 | | | |
//! | tag | 32 | | | |

use bytes::{Buf, Bytes};
use invalidation_core::{ClusterName, NodeId};
use sha2::{Digest, Sha256};

use crate::{
    auth::{self, Credentials, Key, KeyId, Tag},
    refusal::Refusal,
};

/// The format that this version writes, and the only one it reads.
const VERSION: u8 = 1;
/// The length of a tag.
pub(crate) const TAG: usize = 32;
/// The length of a request's header.
pub(crate) const REQUEST_HEAD: usize = 1 + 1 + 8 + 8 + 16 + 16 + 8 + 8 + 4 + TAG;
/// The length of a response's header.
pub(crate) const RESPONSE_HEAD: usize = 1 + 8 + 16 + 4 + TAG;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Who are you, and which session may I use?
    Hello = 1,
    /// A batch of frames.
    Frames = 2,
}

/// Tells a request of another cluster from a forged one. No security rests on it: the full name is under
/// the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterTag([u8; 8]);

impl ClusterTag {
    pub(crate) fn of(cluster: &ClusterName) -> Self {
        let digest = Sha256::digest(cluster.as_str().as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        Self(tag)
    }
}

/// A request's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestHead {
    pub(crate) purpose: Purpose,
    pub(crate) key: KeyId,
    pub(crate) cluster: ClusterTag,
    pub(crate) sender: NodeId,
    pub(crate) recipient: NodeId,
    pub(crate) session: u64,
    pub(crate) counter: u64,
    pub(crate) tag: Tag,
}

/// A request's header and payload, taken apart but not yet verified.
#[derive(Debug)]
pub(crate) struct SealedRequest {
    pub(crate) head: RequestHead,
    body: Bytes,
}

impl SealedRequest {
    /// Takes a body apart. Reads nothing but its header.
    pub(crate) fn parse(body: Bytes) -> Result<Self, Refusal> {
        let Some(&version) = body.first() else {
            return Err(Refusal::Truncated);
        };
        if version != VERSION {
            return Err(Refusal::UnknownVersion);
        }
        if body.len() < REQUEST_HEAD {
            return Err(Refusal::Truncated);
        }
        let mut at = &body[1..REQUEST_HEAD];
        let purpose = match at.get_u8() {
            1 => Purpose::Hello,
            2 => Purpose::Frames,
            _ => return Err(Refusal::Malformed),
        };
        let head = RequestHead {
            purpose,
            key: KeyId(take(&mut at)),
            cluster: ClusterTag(take(&mut at)),
            sender: NodeId::from_bytes(take(&mut at)),
            recipient: NodeId::from_bytes(take(&mut at)),
            session: at.get_u64(),
            counter: at.get_u64(),
            tag: {
                let length = at.get_u32() as usize;
                match (body.len() - REQUEST_HEAD).cmp(&length) {
                    std::cmp::Ordering::Less => return Err(Refusal::Truncated),
                    std::cmp::Ordering::Greater => return Err(Refusal::Malformed),
                    std::cmp::Ordering::Equal => take(&mut at),
                }
            },
        };
        Ok(Self { head, body })
    }

    /// Whether the tag is right under `key`.
    pub(crate) fn is_signed_by(&self, key: &Key, cluster: &str) -> bool {
        auth::verify_request(
            key,
            cluster,
            &self.body[..REQUEST_HEAD - TAG],
            &self.body[REQUEST_HEAD..],
            &self.head.tag,
        )
    }

    /// The payload, without copying it.
    pub(crate) fn into_payload(self) -> Bytes {
        self.body.slice(REQUEST_HEAD..)
    }
}

/// Writes and signs a request. Returns its body and its tag, which the answer is signed over.
pub(crate) fn seal_request(
    head: RequestHead,
    credentials: &Credentials,
    cluster: &str,
    payload: impl FnOnce(&mut Vec<u8>),
    payload_size: usize,
) -> (Bytes, Tag) {
    let mut body = Vec::with_capacity(REQUEST_HEAD + payload_size);
    body.push(VERSION);
    body.push(head.purpose as u8);
    body.extend_from_slice(&head.key.0);
    body.extend_from_slice(&head.cluster.0);
    body.extend_from_slice(&head.sender.to_bytes());
    body.extend_from_slice(&head.recipient.to_bytes());
    body.extend_from_slice(&head.session.to_be_bytes());
    body.extend_from_slice(&head.counter.to_be_bytes());
    let length_at = body.len();
    body.extend_from_slice(&[0; 4 + TAG]);
    payload(&mut body);
    let length = (body.len() - REQUEST_HEAD) as u32;
    body[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    let tag = match credentials.signer() {
        None => [0; TAG],
        Some(key) => auth::sign_request(
            key,
            cluster,
            &body[..REQUEST_HEAD - TAG],
            &body[REQUEST_HEAD..],
        ),
    };
    body[REQUEST_HEAD - TAG..REQUEST_HEAD].copy_from_slice(&tag);
    (body.into(), tag)
}

/// Writes and signs the response with status 200 to the request whose tag is `request`.
pub(crate) fn seal_response(
    responder: NodeId,
    key: Option<&Key>,
    cluster: &str,
    request: &Tag,
    payload: &[u8],
) -> Bytes {
    let mut body = Vec::with_capacity(RESPONSE_HEAD + payload.len());
    body.push(VERSION);
    body.extend_from_slice(&key.map_or(KeyId::NONE, Key::id).0);
    body.extend_from_slice(&responder.to_bytes());
    body.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    let tag = key.map_or([0; TAG], |key| {
        auth::sign_response(key, cluster, request, &body, payload)
    });
    body.extend_from_slice(&tag);
    body.extend_from_slice(payload);
    body.into()
}

/// Takes the body of a response with status 200 apart and verifies it. `None` when it is not the answer of
/// a member of the cluster to the request whose tag is `request`.
pub(crate) fn open_response(
    body: &Bytes,
    credentials: &Credentials,
    cluster: &str,
    request: &Tag,
) -> Option<(NodeId, Bytes)> {
    if body.len() < RESPONSE_HEAD || body[0] != VERSION {
        return None;
    }
    let mut at = &body[1..RESPONSE_HEAD];
    let key = KeyId(take(&mut at));
    let responder = NodeId::from_bytes(take(&mut at));
    let length = at.get_u32() as usize;
    let tag: Tag = take(&mut at);
    if body.len() - RESPONSE_HEAD != length {
        return None;
    }
    let payload = body.slice(RESPONSE_HEAD..);
    let genuine = credentials.is_insecure()
        || credentials.key(key).is_some_and(|key| {
            let signed = &body[..RESPONSE_HEAD - TAG];
            auth::verify_response(key, cluster, request, &tag, signed, &payload)
        });
    genuine.then_some((responder, payload))
}

/// The next bytes of a header whose length has been checked.
fn take<const N: usize>(at: &mut &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    at.copy_to_slice(&mut bytes);
    bytes
}
