//! Every key there is, table by table.

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Section {
    /// As it is written in messages: `log.sqlite`.
    pub(super) path: &'static str,
    pub(super) keys: &'static [&'static str],
}

pub(super) const TOP: Section = Section {
    path: "",
    keys: &[
        "cluster",
        "node",
        "log",
        "transport",
        "cache_defaults",
        "caches",
    ],
};

pub(super) const NODE: Section = Section {
    path: "node",
    keys: &[
        "start_timeout",
        "clock",
        "outbox_items",
        "remembered_entries",
    ],
};

pub(super) const LOG: Section = Section {
    path: "log",
    keys: &[
        "url",
        "poll_interval",
        "read_timeout",
        "append_timeout",
        "commit_settles_within",
        "retention",
        "start_in_bypass",
        "page_entries",
        "backlog_pages",
        "sqlite",
        "postgres",
        "mysql",
        "redis",
        "nats",
        "etcd",
    ],
};

pub(super) const SQLITE: Section = Section {
    path: "log.sqlite",
    keys: &["create_if_missing", "access", "durability", "max_pages"],
};

pub(super) const POSTGRES: Section = Section {
    path: "log.postgres",
    keys: &[
        "schema",
        "pooling",
        "password",
        "password_file",
        "insecure_tls",
    ],
};

pub(super) const MYSQL: Section = Section {
    path: "log.mysql",
    keys: &["database", "password", "password_file", "insecure_tls"],
};

pub(super) const REDIS: Section = Section {
    path: "log.redis",
    keys: &[
        "key",
        "max_entries",
        "allow_eviction",
        "user",
        "password",
        "password_file",
        "sentinel_user",
        "sentinel_password",
        "sentinel_password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
    ],
};

pub(super) const NATS: Section = Section {
    path: "log.nats",
    keys: &[
        "stream",
        "subject",
        "replicas",
        "storage",
        "max_age",
        "max_messages",
        "max_bytes",
        "when_full",
        "domain",
        "syncs_always",
        "user",
        "password",
        "password_file",
        "token",
        "token_file",
        "nkey_seed",
        "nkey_seed_file",
        "credentials_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
    ],
};

pub(super) const ETCD: Section = Section {
    path: "log.etcd",
    keys: &[
        "rings",
        "ring_entries",
        "user",
        "password",
        "password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "server_name",
        "insecure_tls",
    ],
};

pub(super) const TRANSPORT: Section = Section {
    path: "transport",
    keys: &["http", "postgres", "redis", "nats", "etcd"],
};

pub(super) const REDIS_TRANSPORT: Section = Section {
    path: "transport.redis",
    keys: &[
        "url",
        "user",
        "password",
        "password_file",
        "sentinel_user",
        "sentinel_password",
        "sentinel_password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
        "sender",
        "publish_timeout",
        "notices_loss_within",
        "buffered_frames",
    ],
};

pub(super) const NATS_TRANSPORT: Section = Section {
    path: "transport.nats",
    keys: &[
        "url",
        "user",
        "password",
        "password_file",
        "token",
        "token_file",
        "nkey_seed",
        "nkey_seed_file",
        "credentials_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
        "sender",
        "publish_timeout",
        "notices_loss_within",
        "buffered_frames",
        "max_frame",
    ],
};

pub(super) const ETCD_TRANSPORT: Section = Section {
    path: "transport.etcd",
    keys: &[
        "url",
        "user",
        "password",
        "password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "server_name",
        "insecure_tls",
        "sender",
        "publish_timeout",
        "notices_loss_within",
        "buffered_frames",
    ],
};

pub(super) const POSTGRES_TRANSPORT: Section = Section {
    path: "transport.postgres",
    keys: &[
        "url",
        "password",
        "password_file",
        "insecure_tls",
        "sender",
        "publish_timeout",
        "notices_loss_within",
        "buffered_frames",
    ],
};

pub(super) const HTTP: Section = Section {
    path: "transport.http",
    keys: &[
        "listen",
        "peers",
        "advertise",
        "secret",
        "secret_file",
        "second_secret",
        "second_secret_file",
        "insecure",
        "allowed_networks",
        "allowed_ports",
        "dns_interval",
        "publish_timeout",
        "body_cap",
        "queue_frames",
        "subscription_frames",
        "header_deadline",
        "body_deadline",
        "max_unverified",
        "max_connections",
        "max_sessions",
        "sign_of_life",
    ],
};

pub(super) const CACHE: Section = Section {
    path: "cache_defaults",
    keys: &[
        "ttl",
        "ttl_cap",
        "negative_ttl",
        "max_staleness",
        "on_stale",
        "capacity",
        "max_concurrent_loads",
        "load_timeout",
    ],
};

const SECTIONS: [&Section; 16] = [
    &TOP,
    &NODE,
    &LOG,
    &SQLITE,
    &POSTGRES,
    &MYSQL,
    &REDIS,
    &NATS,
    &ETCD,
    &TRANSPORT,
    &HTTP,
    &POSTGRES_TRANSPORT,
    &REDIS_TRANSPORT,
    &NATS_TRANSPORT,
    &ETCD_TRANSPORT,
    &CACHE,
];

/// The table that `key` belongs to, for who wrote it into another.
pub(super) fn home(key: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|section| !section.path.is_empty() && section.keys.contains(&key))
        .map(|section| section.path)
}
