//! The transports, and in words what each can lose without a word.

use std::sync::Arc;

use cache_invalidation::{
    CacheInvalidationTransport, MemoryHub, MemoryTransport, etcd::EtcdTransport,
    http::HttpTransport, nats::NatsTransport, postgres::PgTransport, redis::RedisTransport,
};

/// What is said of a transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) transport: &'static str,
    /// What an `Ok` of a publish means.
    pub(crate) ok_means: &'static str,
    /// What may be lost that it does not tell of itself.
    pub(crate) silent: &'static str,
}

type Transport = Arc<dyn CacheInvalidationTransport>;

/// None of them reaches a server.
pub(crate) fn all() -> Vec<(Transport, Words)> {
    const CLUSTER: &str = "capabilities";
    let http = HttpTransport::builder(CLUSTER).listen(([127, 0, 0, 1], 0).into());
    let postgres = PgTransport::builder(CLUSTER).url("postgres://app@127.0.0.1:1/app");
    let redis = RedisTransport::builder(CLUSTER).url("redis://127.0.0.1:1");
    let nats = NatsTransport::builder(CLUSTER).url("nats://127.0.0.1:1");
    let etcd = EtcdTransport::builder(CLUSTER).url("etcd://127.0.0.1:1");
    vec![
        (Arc::new(MemoryTransport::new(&MemoryHub::new())), MEMORY),
        (Arc::new(http.insecure(true).build().unwrap()), HTTP),
        (Arc::new(postgres.build().unwrap()), POSTGRES),
        (Arc::new(redis.build().unwrap()), REDIS),
        (Arc::new(nats.build().unwrap()), NATS),
        (Arc::new(etcd.build().unwrap()), ETCD),
    ]
}

const MEMORY: Words = Words {
    transport: "memory",
    ok_means: "each subscriber has it",
    silent: "nothing",
};

const HTTP: Words = Words {
    transport: "http",
    ok_means: "each peer has it, or applied it where that was asked for",
    silent: "a peer that is not in the list",
};

const POSTGRES: Words = Words {
    transport: "postgres",
    ok_means: "the server took it for all who listen",
    silent: "nothing, on a direct connection",
};

const REDIS: Words = Words {
    transport: "redis",
    ok_means: "a server that was the primary took it for all who listen there",
    silent: "what goes through a primary that was cut off, and that nobody has told so",
};

const NATS: Words = Words {
    transport: "nats",
    ok_means: "the server took it: a message behind it came back",
    silent: "what is lost on a route between two servers",
};

const ETCD: Words = Words {
    transport: "etcd",
    ok_means: "a majority of the members has it",
    silent: "events that a watch of an old server drops (etcd-io/etcd#15220, #17529, #18089)",
};
