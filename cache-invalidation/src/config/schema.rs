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
        "retention",
        "start_in_bypass",
        "page_entries",
        "backlog_pages",
        "sqlite",
        "postgres",
        "mysql",
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

pub(super) const TRANSPORT: Section = Section {
    path: "transport",
    keys: &["http", "postgres"],
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

const SECTIONS: [&Section; 10] = [
    &TOP,
    &NODE,
    &LOG,
    &SQLITE,
    &POSTGRES,
    &MYSQL,
    &TRANSPORT,
    &HTTP,
    &POSTGRES_TRANSPORT,
    &CACHE,
];

/// The table that `key` belongs to, for who wrote it into another.
pub(super) fn home(key: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|section| !section.path.is_empty() && section.keys.contains(&key))
        .map(|section| section.path)
}

/// A backend that this version does not have, under the names that people will try.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) name: &'static str,
    /// Of the log's URL.
    pub(super) schemes: &'static [&'static str],
    /// The key in `[transport]`.
    pub(super) transport: Option<&'static str>,
}

pub(super) const ABSENT: [Absent; 3] = [
    Absent {
        name: "Redis",
        schemes: &["redis", "rediss"],
        transport: Some("redis"),
    },
    Absent {
        name: "NATS",
        schemes: &["nats"],
        transport: Some("nats"),
    },
    Absent {
        name: "etcd",
        schemes: &["etcd"],
        transport: Some("etcd"),
    },
];
