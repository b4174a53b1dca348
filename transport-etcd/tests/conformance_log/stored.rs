//! What stands in the log's keys, as the server tells and not the log.

use etcd_client::{Client, GetOptions, Txn, TxnOp};
use invalidation_core::Nonce;
use prost::Message;

/// The rings, by their keys, and when each was written.
pub(crate) struct Stored {
    prefix: String,
    rings: Vec<(String, i64, Ring)>,
}

#[derive(Clone, PartialEq, Message)]
struct Ring {
    #[prost(int64, tag = "1")]
    floor: i64,
    #[prost(fixed64, tag = "2")]
    floor_id: u64,
    #[prost(message, repeated, tag = "3")]
    batches: Vec<Batch>,
}

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(int64, tag = "1")]
    revision: i64,
    #[prost(fixed64, tag = "2")]
    id: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    entries: Vec<Vec<u8>>,
}

/// One of this version, or of a newer one with another scope.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(fixed64, tag = "1")]
    nonce: u64,
    #[prost(string, optional, tag = "2")]
    cache: Option<String>,
    #[prost(uint32, tag = "3")]
    scope: u32,
    #[prost(string, optional, tag = "77")]
    prefix: Option<String>,
}

impl Stored {
    pub(crate) async fn read(client: &mut Client, prefix: &str) -> Self {
        let options = GetOptions::new().with_prefix();
        let got = client.get(format!("{prefix}ring/"), Some(options)).await;
        let rings = got.expect("the rings are read").take_kvs();
        Self {
            prefix: prefix.to_owned(),
            rings: rings
                .into_iter()
                .map(|kv| {
                    let ring = Ring::decode(kv.value()).expect("a ring");
                    let key = kv.key_str().expect("a key").to_owned();
                    (key, kv.mod_revision(), ring)
                })
                .collect(),
        }
    }

    pub(crate) fn nonces(&self) -> Vec<Nonce> {
        let batches = self.rings.iter().flat_map(|(_, _, ring)| &ring.batches);
        batches
            .flat_map(|batch| &batch.entries)
            .map(|entry| Nonce(Entry::decode(&entry[..]).expect("an entry").nonce))
            .collect()
    }

    /// The key of the ring with the newest append.
    pub(crate) fn newest(&self) -> &str {
        let newest = self.rings.iter().max_by_key(|(_, revision, _)| *revision);
        &newest.expect("there are rings").0
    }

    /// Appends what only a newer version understands: a scope of its own, of the cache `users`, or of nobody knows what.
    pub(crate) async fn write_unknown(mut self, client: &mut Client) {
        let id: u64 = rand::random();
        let at = usize::try_from(id % self.rings.len() as u64).expect("a number");
        let (key, revision, ring) = &mut self.rings[at];
        match ring.batches.last_mut() {
            Some(last) if last.revision == 0 => last.revision = *revision,
            None if ring.floor == 0 => ring.floor = *revision,
            _ => {}
        }
        let entry = Entry {
            nonce: id,
            cache: (!id.is_multiple_of(3)).then(|| "users".to_owned()),
            scope: 77,
            prefix: Some("1".to_owned()),
        };
        ring.batches.push(Batch {
            revision: 0,
            id,
            entries: vec![entry.encode_to_vec()],
        });
        let newest = format!("{}newest", self.prefix);
        let txn = Txn::new().and_then([
            TxnOp::put(key.as_str(), ring.encode_to_vec(), None),
            TxnOp::put(newest, format!("{id:016x}"), None),
        ]);
        client.txn(txn).await.expect("writes");
    }
}
