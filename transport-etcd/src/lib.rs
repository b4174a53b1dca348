//! etcd, 3.4 or newer, as the version log and as a transport of the `cache-invalidation` framework.
//!
//! # Building
//! The driver compiles protobuf definitions: `protoc` and its well-known types are needed to build this crate, in Debian
//! the packages `protobuf-compiler` and `libprotobuf-dev`.
//!
//! # What it makes in the cluster
//! Keys that begin with `/cache-invalidation/CLUSTER/`, where CLUSTER is the cluster's name, percent-encoded but for letters,
//! digits, `.`, `_` and `-`. With authentication, which is not etcd's default, the nodes' user needs the right to that prefix
//! and to nothing else:
//!
//! ```sh
//! etcdctl role add billing-cache
//! etcdctl role grant-permission billing-cache --prefix readwrite /cache-invalidation/billing/
//! etcdctl user add billing && etcdctl user grant-role billing billing-cache
//! ```
//!
//! **Switch auto-compaction on**, `--auto-compaction-mode periodic --auto-compaction-retention 1m`: what is
//! overwritten stays in the store's history until it is compacted, and a store that reaches its quota
//! (`--quota-backend-bytes`, 2 GiB by default) refuses to write. Both ends say so then, as
//! [`ReadOnly`](invalidation_core::ErrorKind::ReadOnly).
//!
//! # Members and sessions
//! A node talks to one member at a time, with TLS by rustls and ring; no provider is installed for the process. Which one
//! is first is chance. A member that fails, is silent, or has lost the others is left by the call that meets that, and the
//! next call goes to the next member: nothing is sent twice. Logging in takes the server a tenth of a second on purpose
//! (`--bcrypt-cost`), and is done once for each connection.
//!
//! HTTP/2 pings are not used. A server takes more than one in five seconds (`--grpc-keepalive-min-time`) for an attack, and
//! ends the connection: with one each second, four seconds after the last event. A watch is asked for its progress instead.
//!
//! # What the transport promises
//! | promise | holds | why |
//! | --- | --- | --- |
//! | `publish` is `Ok` once it is out of this node's hands | yes | it is the answer to the put, after a majority has it |
//! | live when `subscribe` returns | yes | the server has created the watch |
//! | in order, each once, while nothing fails | yes | one put at a time, which takes all that waits |
//! | a lost, silent or leaderless link ends the subscription | yes | a progress request, and `hasleader` |
//! | falling behind a compaction is told | yes | the server ends such a watch by name |
//! | after a restore it hears on | yes | a watch begins at the present, and asks for no revision |
//! | each loss on the way is told by the transport | **no** | servers such as 3.4.23 can drop a watch's events silently (etcd-io/etcd#15220, #17529, #18089): the node's numbers and the log find them |
//! | frames are of members alone | by configuration | authentication, and a role that only nodes have |

mod error;
mod keys;
mod log;
mod server;
mod transport;

pub use log::{Committed, EtcdLog, EtcdLogBuilder, EtcdTransaction, NotCommitted};
pub use server::Protection;
pub use transport::{EtcdTransport, EtcdTransportBuilder};
