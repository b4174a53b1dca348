//! What stands where a feature is off: parsing refuses what is not compiled in, so that none of it is ever called.

#![allow(unused_imports, reason = "everything may be compiled in")]

use invalidation_core::{Error, ErrorKind, NodeBuilder};

use crate::config::{self, Config, backend::Backend};

macro_rules! log {
    ($feature:literal, $backend:ident, $with:ident, $config:ident) => {
        #[cfg(not(feature = $feature))]
        impl Config {
            pub(super) async fn $with(
                &self,
                _: NodeBuilder,
                _: &config::$config,
            ) -> Result<NodeBuilder, Error> {
                Err(not_compiled_in(Backend::$backend, "log"))
            }
        }
    };
}

macro_rules! transport {
    ($feature:literal, $backend:ident, $with:ident, $config:ident) => {
        #[cfg(not(feature = $feature))]
        impl Config {
            pub(super) fn $with(
                &self,
                _: NodeBuilder,
                _: &config::$config,
            ) -> Result<NodeBuilder, Error> {
                Err(not_compiled_in(Backend::$backend, "transport"))
            }
        }
    };
}

log!("sqlite", Sqlite, with_sqlite, SqliteConfig);
log!("postgres", Postgres, with_postgres, PostgresConfig);
log!("mysql", MySql, with_mysql, MySqlConfig);
log!("redis", Redis, with_redis, RedisConfig);
log!("nats", Nats, with_nats, NatsConfig);
log!("etcd", Etcd, with_etcd, EtcdConfig);

transport!("http", Http, with_http, HttpConfig);
transport!(
    "postgres",
    Postgres,
    with_postgres_transport,
    PostgresTransportConfig
);
transport!("redis", Redis, with_redis_transport, RedisTransportConfig);
transport!("nats", Nats, with_nats_transport, NatsTransportConfig);
transport!("etcd", Etcd, with_etcd_transport, EtcdTransportConfig);

#[allow(dead_code, reason = "everything may be compiled in")]
fn not_compiled_in(backend: Backend, part: &str) -> Error {
    let why = backend.check(part).err().unwrap_or_default();
    Error::new(ErrorKind::Unsupported, "config", "start", why)
}
