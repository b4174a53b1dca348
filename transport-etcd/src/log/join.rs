//! Business data in etcd, and its invalidation, in one step (`P2`).

use std::{fmt, sync::Arc, time::Instant};

use etcd_client::{Client, Compare, KvClient, Txn, TxnOp, TxnOpResponse, TxnResponse};
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position};

use super::{
    EtcdLog, Shared,
    answer::{Answer, Known},
    cursor::positions,
    packed::{Packed, pack},
    write::{Target, crowded, step_aside},
};
use crate::error::{error, from_client};

const JOIN: &str = "append_in";
const COMMIT: &str = "commit";

/// A transaction on the log's own cluster: conditions and operations, which invalidations [join](JoinsLog). Nothing is sent
/// before [`commit`](Self::commit), and dropping it is to roll back.
///
/// ```no_run
/// # use invalidation_transport_etcd::{EtcdLog, EtcdTransaction};
/// # use invalidation_core::{Entry, JoinsLog, Node, Cache, BoxError};
/// # async fn demo(node: Node, users: Cache<i64, String>, mut client: etcd_client::Client) -> Result<(), BoxError> {
/// use etcd_client::{Compare, CompareOp, TxnOp};
///
/// let mut tx = EtcdTransaction::new()
///     .when([Compare::version("users/42", CompareOp::Greater, 0)])
///     .and_then([TxnOp::put("users/42", "Ada", None)]);
/// let pending = users.invalidate_in(&mut tx, [&42]).await?;
/// pending.commit(tx.commit(&client)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default, Clone)]
#[must_use = "a transaction does nothing until `commit`"]
pub struct EtcdTransaction {
    compares: Vec<Compare>,
    operations: Vec<TxnOp>,
    otherwise: Vec<TxnOp>,
    joined: Option<Joined>,
}

/// What joined a transaction.
#[derive(Clone)]
struct Joined {
    log: Arc<Shared>,
    known: Known,
    id: u64,
    entries: Vec<Entry>,
}

/// What a transaction did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The revision of the store at which it stands.
    pub revision: i64,
    /// What its own operations answered, in their order.
    pub responses: Vec<TxnOpResponse>,
}

/// Why a transaction did nothing, or may have done nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotCommitted {
    /// A condition of its own was not met. What was to be done otherwise was done, and this is the answer to it.
    Refused(TxnResponse),
    /// It failed. Where the error is [temporary](invalidation_core::Retry::Temporary), whether it happened is unknown.
    Failed(Error),
}

impl EtcdTransaction {
    /// One with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// More conditions, all of which are to be met.
    pub fn when(mut self, compares: impl IntoIterator<Item = Compare>) -> Self {
        self.compares.extend(compares);
        self
    }

    /// More operations, done when all conditions are met. No key may be written twice.
    pub fn and_then(mut self, operations: impl IntoIterator<Item = TxnOp>) -> Self {
        self.operations.extend(operations);
        self
    }

    /// More operations, done when one of the conditions is not met.
    pub fn or_else(mut self, operations: impl IntoIterator<Item = TxnOp>) -> Self {
        self.otherwise.extend(operations);
        self
    }

    /// Commits it, with what joined it, by the business's own client. As long as that one waits; cancel-safe, and dropped on
    /// the way its outcome is unknown.
    ///
    /// Where somebody else wrote to the same ring of the log meanwhile, nothing was done, and it is tried with another, for as
    /// long as the log's `write_timeout`.
    ///
    /// # Errors
    /// See [`NotCommitted`]. [`ErrorKind::Invalid`] on a cluster other than the log's: nothing was done.
    pub async fn commit(self, client: &Client) -> Result<Committed, NotCommitted> {
        let mut kv = client.kv_client();
        let Some(joined) = self.joined else {
            let txn = Txn::new()
                .when(self.compares)
                .and_then(self.operations)
                .or_else(self.otherwise);
            let response = send(&mut kv, txn).await?;
            return match response.succeeded() {
                true => Ok(committed(&response, response.op_responses())),
                false => Err(NotCommitted::Refused(response)),
            };
        };
        let Packed { entries, .. } = pack(COMMIT, &joined.entries)?;
        let rings = joined.known.meta.rings;
        let first = rand::random_range(0..rings);
        let mut target = joined.look(&mut kv, first).await?;
        let keys = &joined.log.keys;
        let (began, limit) = (Instant::now(), joined.log.settings.write_timeout);
        for round in 0.. {
            if began.elapsed() > limit {
                break;
            }
            let another = target.another();
            let mut operations = self.operations.clone();
            operations.extend(target.operations(keys, joined.id, &entries));
            let inner = Txn::new()
                .when(target.compares(keys))
                .and_then(operations)
                .or_else(Target::look_elsewhere(keys, another));
            // The ring's conditions stand within those of the caller, so that what he does otherwise is done for his alone.
            let outer = Txn::new()
                .when(self.compares.clone())
                .and_then([TxnOp::txn(inner)])
                .or_else(self.otherwise.clone());
            let response = send(&mut kv, outer).await?;
            if !response.succeeded() {
                return Err(NotCommitted::Refused(response));
            }
            let Some(TxnOpResponse::Txn(inner)) = response.op_responses().pop() else {
                return Err(odd_answer().into());
            };
            if inner.succeeded() {
                let mut responses = inner.op_responses();
                responses.truncate(self.operations.len());
                let committed = committed(&response, responses);
                let cluster = joined.known.identity.cluster;
                let appended = target.appended(cluster, committed.revision, joined.id);
                joined.log.unread.acknowledged(appended);
                return Ok(committed);
            }
            target = joined.found(&response, &inner, another)?;
            step_aside(round).await;
        }
        Err(crowded(COMMIT, limit).into())
    }
}

impl Joined {
    /// The ring of this number, as the business's client sees it.
    async fn look(&self, kv: &mut KvClient, number: u32) -> Result<Target, Error> {
        let txn = Txn::new().and_then(Target::look_elsewhere(&self.log.keys, number));
        let response = send(kv, txn).await?;
        self.found(&response, &response, number)
    }

    /// The ring of this number in an answer within another one.
    fn found(
        &self,
        outer: &TxnResponse,
        inner: &TxnResponse,
        number: u32,
    ) -> Result<Target, Error> {
        let mut answer = Answer::of(COMMIT, &self.log.keys, inner)?;
        answer.cluster = outer.header().map_or(0, |header| header.cluster_id());
        let target = Target::in_answer(COMMIT, &mut answer, number).map_err(|_| elsewhere())?;
        if target.known().identity != self.known.identity {
            // The next transaction looks anew, also where nobody reads.
            self.log.unlearn(&self.known);
            return Err(elsewhere());
        }
        Ok(target)
    }
}

impl JoinsLog<EtcdLog> for EtcdTransaction {
    async fn append_in(
        &mut self,
        log: &EtcdLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let known = log.current(JOIN).await?;
        let mut joined = match &self.joined {
            Some(joined) if joined.known.identity != known.identity => {
                return Err(error(
                    ErrorKind::Invalid,
                    JOIN,
                    "another log was joined before, or this one was made anew meanwhile: begin another transaction",
                ));
            }
            Some(joined) => joined.clone(),
            None => Joined {
                log: Arc::clone(&log.shared),
                known,
                id: rand::random(),
                entries: Vec::new(),
            },
        };
        joined.entries.extend_from_slice(entries);
        pack(JOIN, &joined.entries)?;
        let first = joined.entries.len() - entries.len();
        let positions = positions(known.identity, joined.id, joined.entries.len());
        self.joined = Some(joined);
        Ok(positions.into_iter().skip(first).collect())
    }
}

async fn send(kv: &mut KvClient, txn: Txn) -> Result<TxnResponse, Error> {
    kv.txn(txn).await.map_err(|e| from_client(COMMIT, e))
}

fn committed(response: &TxnResponse, responses: Vec<TxnOpResponse>) -> Committed {
    Committed {
        revision: response.header().map_or(0, |header| header.revision()),
        responses,
    }
}

fn elsewhere() -> Error {
    error(
        ErrorKind::Invalid,
        COMMIT,
        "this is not the cluster of the log that was joined, or its log was made anew meanwhile: nothing was done; begin \
         another transaction, on the log's cluster",
    )
}

fn odd_answer() -> Error {
    error(
        ErrorKind::Incompatible,
        COMMIT,
        "the server did not answer a transaction within a transaction: is it etcd 3.4 or later?",
    )
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("keys", &self.log.keys)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl From<Error> for NotCommitted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for NotCommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_) => {
                f.write_str("a condition of the transaction was not met: nothing was written")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotCommitted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}
