//! What is asked of the server, and what it answers.

use bytes::Bytes;
use etcd_client::{GetOptions, KeyValue, TxnOp, TxnOpResponse, TxnResponse};
use invalidation_core::{Error, ErrorKind};

use super::{
    keys::Keys,
    meta::{Identity, Meta},
    ring::{Place, Ring},
};
use crate::error::error;

/// The log as it was at one revision, as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) cluster: u64,
    /// Of the whole store.
    pub(crate) revision: i64,
    pub(crate) meta: Option<Held<Meta>>,
    pub(crate) newest: Option<Newest>,
    pub(crate) rings: Vec<(u32, Held<Option<Ring>>)>,
}

/// A key's value, and the revision at which it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<T> {
    pub(crate) value: T,
    pub(crate) revision: i64,
}

/// What the key `newest` tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    pub(crate) place: Place,
    /// How often the server has written it since it was made: once for each append.
    pub(crate) version: i64,
    pub(crate) created: i64,
}

/// What a handle knows of the log that does not change while it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) meta: Meta,
    /// The revision at which `meta` was written.
    pub(crate) meta_revision: i64,
}

/// Asks for what tells which log it is, and how far it is.
pub(crate) fn look(keys: &Keys) -> Vec<TxnOp> {
    vec![
        TxnOp::get(keys.meta(), None),
        TxnOp::get(keys.newest(), None),
    ]
}

/// Asks for one ring.
pub(crate) fn look_at(keys: &Keys, ring: u32) -> TxnOp {
    TxnOp::get(keys.ring(ring), None)
}

/// Asks for the rings that were written at this revision or since.
pub(crate) fn look_since(keys: &Keys, revision: i64) -> TxnOp {
    let options = GetOptions::new()
        .with_prefix()
        .with_min_mod_revision(revision);
    TxnOp::get(keys.rings(), Some(options))
}

/// The value of the key `newest` after an append of this id.
pub(crate) fn newest_value(id: u64) -> String {
    format!("{id:016x}")
}

impl Answer {
    /// # Errors
    /// [`ErrorKind::Incompatible`] for a log of another version.
    pub(crate) fn of(
        operation: &'static str,
        keys: &Keys,
        response: &TxnResponse,
    ) -> Result<Self, Error> {
        let header = response.header();
        let mut answer = Self {
            cluster: header.map_or(0, |header| header.cluster_id()),
            revision: header.map_or(0, |header| header.revision()),
            meta: None,
            newest: None,
            rings: Vec::new(),
        };
        let (meta, newest) = (keys.meta(), keys.newest());
        for response in response.op_responses() {
            let TxnOpResponse::Get(mut got) = response else {
                continue;
            };
            for kv in got.take_kvs() {
                if kv.key() == meta.as_bytes() {
                    answer.meta = Some(Held {
                        value: Meta::read(operation, kv.value())?,
                        revision: kv.mod_revision(),
                    });
                } else if kv.key() == newest.as_bytes() {
                    answer.newest = Some(Newest::read(&kv));
                } else if let Some(number) = keys.number(kv.key()) {
                    let revision = kv.mod_revision();
                    let (_, value) = kv.into_key_value();
                    let value = Ring::read(Bytes::from(value), revision);
                    answer.rings.push((number, Held { value, revision }));
                }
            }
        }
        Ok(answer)
    }

    /// Whether no log is there, or half of one.
    pub(crate) const fn is_gone(&self) -> bool {
        self.meta.is_none() || self.newest.is_none()
    }

    /// # Errors
    /// [`ErrorKind::Unavailable`] where no log is.
    pub(crate) fn known(&self, operation: &'static str) -> Result<(Known, Newest), Error> {
        let (Some(meta), Some(newest)) = (self.meta, self.newest) else {
            return Err(error(
                ErrorKind::Unavailable,
                operation,
                "the cluster has no invalidation log under this name, or not all of its keys: run install, as a node does \
                 when it starts",
            ));
        };
        let known = Known {
            identity: Identity {
                cluster: self.cluster,
                epoch: meta.value.epoch,
                created: newest.created,
            },
            meta: meta.value,
            meta_revision: meta.revision,
        };
        Ok((known, newest))
    }
}

impl Newest {
    /// What no version writes has the id 0: to readers it is an append that is not there, as which the server counts it
    /// (`P12`), and the next append writes over it.
    fn read(kv: &KeyValue) -> Self {
        let id = kv.value_str().ok();
        let id = id.and_then(|id| u64::from_str_radix(id, 16).ok());
        Self {
            place: Place {
                revision: kv.mod_revision(),
                id: id.unwrap_or(0),
            },
            version: kv.version(),
            created: kv.create_revision(),
        }
    }
}
