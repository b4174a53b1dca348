//! Secrets, and the HMAC-SHA256 over requests and responses.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::envelope::TAG;

/// The shortest secret that is accepted, in bytes.
pub(crate) const MIN_SECRET: usize = 16;

/// What is signed is told apart by these, not by the path: a mounted router sees another path than the
/// sender wrote.
const REQUEST: &[u8] = b"cache-invalidation/http/request";
const RESPONSE: &[u8] = b"cache-invalidation/http/response";
/// The only status that is signed: no other is acted upon, beyond that the request failed.
const STATUS: [u8; 2] = 200_u16.to_be_bytes();
const KEY_ID: &[u8] = b"cache-invalidation/http/key-id";

/// Which key signed something: the first bytes of an HMAC under that key, so that both sides agree on it
/// without configuration, and it tells nothing that a tag would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId(pub(crate) [u8; 8]);

impl KeyId {
    /// The key id of a node that runs without a secret.
    pub(crate) const NONE: Self = Self([0; 8]);
}

/// A tag over a request or response.
pub(crate) type Tag = [u8; TAG];

/// A secret, ready to sign with.
#[derive(Clone)]
pub(crate) struct Key {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl Key {
    pub(crate) fn new(secret: &[u8]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104)"
        )]
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        let digest = mac.clone().chain_update(KEY_ID).finalize().into_bytes();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self { id: KeyId(id), mac }
    }

    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    /// Each field is preceded by its length, so that no two lists of fields look alike.
    fn over(&self, fields: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What a node signs with, and what it accepts.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// No secret: everybody is believed.
    Insecure,
    /// Signs with the first, accepts all.
    Keys(Vec<Key>),
}

impl Credentials {
    /// The key that requests are signed with.
    pub(crate) fn signer(&self) -> Option<&Key> {
        match self {
            Self::Insecure => None,
            Self::Keys(keys) => keys.first(),
        }
    }

    /// Whether nothing is signed or verified.
    pub(crate) const fn is_insecure(&self) -> bool {
        matches!(self, Self::Insecure)
    }

    /// The live key with this id.
    pub(crate) fn key(&self, id: KeyId) -> Option<&Key> {
        match self {
            Self::Insecure => None,
            Self::Keys(keys) => keys.iter().find(|key| key.id == id),
        }
    }
}

/// The tag over a request: `head` is its header up to the tag.
pub(crate) fn sign_request(key: &Key, cluster: &str, head: &[u8], payload: &[u8]) -> Tag {
    key.over(&[REQUEST, cluster.as_bytes(), head, payload])
        .finalize()
        .into_bytes()
        .into()
}

/// Whether `tag` is over this request; compares in constant time.
pub(crate) fn verify_request(
    key: &Key,
    cluster: &str,
    head: &[u8],
    payload: &[u8],
    tag: &Tag,
) -> bool {
    key.over(&[REQUEST, cluster.as_bytes(), head, payload])
        .verify_slice(tag)
        .is_ok()
}

fn over_response(
    key: &Key,
    cluster: &str,
    request: &Tag,
    head: &[u8],
    payload: &[u8],
) -> Hmac<Sha256> {
    key.over(&[
        RESPONSE,
        cluster.as_bytes(),
        // Covers the request's sender, recipient, session, counter and nonce: an answer fits one request.
        request,
        &STATUS,
        head,
        payload,
    ])
}

/// The tag over the response to the request whose tag is `request`.
pub(crate) fn sign_response(
    key: &Key,
    cluster: &str,
    request: &Tag,
    head: &[u8],
    payload: &[u8],
) -> Tag {
    over_response(key, cluster, request, head, payload)
        .finalize()
        .into_bytes()
        .into()
}

/// Whether `tag` is over this response to the request whose tag is `request`.
pub(crate) fn verify_response(
    key: &Key,
    cluster: &str,
    request: &Tag,
    tag: &Tag,
    head: &[u8],
    payload: &[u8],
) -> bool {
    over_response(key, cluster, request, head, payload)
        .verify_slice(tag)
        .is_ok()
}
