//! Which log: the scheme of its URL.

use std::path::PathBuf;

use super::{
    backend::Backend,
    etcd::{self, EtcdConfig},
    mysql::{self, MySqlConfig},
    nats::{self, NatsConfig},
    nearest,
    postgres::{self, PostgresConfig},
    redis::{self, RedisConfig},
    schema::{self, Section},
    table::Table,
};

/// Which log the node reads. It must be named: a log that somebody forgot looks like one that works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogChoice {
    /// `sqlite:PATH`, with what `[log.sqlite]` says. For all processes of one host.
    Sqlite(SqliteConfig),
    /// `postgres://…`, with what `[log.postgres]` says. For any number of hosts.
    Postgres(PostgresConfig),
    /// `mysql://…`, with what `[log.mysql]` says. For any number of hosts.
    MySql(MySqlConfig),
    /// `redis://…` and its kin, with what `[log.redis]` says. For any number of hosts.
    Redis(RedisConfig),
    /// `nats://…`, with what `[log.nats]` says. For any number of hosts.
    Nats(NatsConfig),
    /// `etcd://…`, with what `[log.etcd]` says. For any number of hosts.
    Etcd(EtcdConfig),
    /// `memory:`: a log within this process, for one node alone, so that `max_staleness` means something in
    /// development and in tests. Refused beside a transport.
    Memory,
    /// `none:`: no log. Only TTLs bound staleness, a gap is a flush, and `max_staleness` is refused.
    None,
}

/// The SQLite log: the path of `log.url`, and `[log.sqlite]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The database's file; a relative path begins at the working folder.
    pub path: PathBuf,
    /// Whether a file that does not exist is made. Default `true`.
    pub create_if_missing: bool,
    /// Whether this process only reads: it can then invalidate nothing. Default `false`.
    pub read_only: bool,
    /// Whether an acknowledged append survives a power loss. Default `true`.
    pub survives_power_loss: bool,
    /// How many pages the file may grow to by appends of this process. Default: no limit.
    pub max_pages: Option<u32>,
}

#[derive(Clone, Copy)]
enum Scheme {
    Of(Backend),
    Memory,
    None,
}

const SCHEMES: [(&str, Scheme); 23] = [
    ("sqlite", Scheme::Of(Backend::Sqlite)),
    ("postgres", Scheme::Of(Backend::Postgres)),
    ("postgresql", Scheme::Of(Backend::Postgres)),
    ("mysql", Scheme::Of(Backend::MySql)),
    ("mariadb", Scheme::Of(Backend::MySql)),
    ("redis", Scheme::Of(Backend::Redis)),
    ("rediss", Scheme::Of(Backend::Redis)),
    ("redis-sentinel", Scheme::Of(Backend::Redis)),
    ("rediss-sentinel", Scheme::Of(Backend::Redis)),
    ("redis-cluster", Scheme::Of(Backend::Redis)),
    ("rediss-cluster", Scheme::Of(Backend::Redis)),
    ("valkey", Scheme::Of(Backend::Redis)),
    ("valkeys", Scheme::Of(Backend::Redis)),
    ("valkey-sentinel", Scheme::Of(Backend::Redis)),
    ("valkeys-sentinel", Scheme::Of(Backend::Redis)),
    ("valkey-cluster", Scheme::Of(Backend::Redis)),
    ("valkeys-cluster", Scheme::Of(Backend::Redis)),
    ("nats", Scheme::Of(Backend::Nats)),
    ("tls", Scheme::Of(Backend::Nats)),
    ("etcd", Scheme::Of(Backend::Etcd)),
    ("etcds", Scheme::Of(Backend::Etcd)),
    ("memory", Scheme::Memory),
    ("none", Scheme::None),
];

/// The table of each log.
const TABLES: [(Backend, &Section); 6] = [
    (Backend::Sqlite, &schema::SQLITE),
    (Backend::Postgres, &schema::POSTGRES),
    (Backend::MySql, &schema::MYSQL),
    (Backend::Redis, &schema::REDIS),
    (Backend::Nats, &schema::NATS),
    (Backend::Etcd, &schema::ETCD),
];

const CHOICES: &str = "`postgres://USER@HOST/DATABASE` or `mysql://USER@HOST/DATABASE` for any number of hosts, \
                       `redis://HOST`, `nats://HOST` or `etcd://HOST` for those who have such a broker and not the others, \
                       `sqlite:PATH` for the processes of one host, `memory:` for a single node, or `none:` to bound \
                       staleness by TTLs alone";

pub(super) fn parse(log: &Table<'_>, has_transport: bool) -> Option<LogChoice> {
    if !log.has("url") {
        log.missing("url", &format!("say which log to read: {CHOICES}"));
        return None;
    }
    let (scheme, rest) = log.parsed("url", |url| {
        let (scheme, rest) = split(url)?;
        Ok((scheme, rest.to_owned()))
    })?;
    let mut own = None;
    for (backend, section) in TABLES {
        let key = backend.key();
        if matches!(scheme, Scheme::Of(of) if of == backend) {
            own = Some((backend, log.table_or_empty(key, Some(section))));
        } else if log.table(key, Some(section)).is_some() {
            log.refuse(key, format!("is for a log whose url begins with `{key}:`"));
        }
    }
    if own.is_none() && !rest.is_empty() {
        log.refuse(
            "url",
            "nothing may stand behind the colon of `memory:` and `none:`",
        );
    }
    let Some((backend, table)) = own else {
        return match scheme {
            Scheme::Memory if has_transport => {
                log.refuse(
                    "url",
                    "`memory:` is a log within one process, and a transport means that there are several, whose \
                     invalidations it would never show: use `sqlite:PATH`, `none:`, or take the transport out",
                );
                None
            }
            Scheme::Memory => Some(LogChoice::Memory),
            _ => Some(LogChoice::None),
        };
    };
    match backend {
        Backend::Sqlite => sqlite(log, &table, &rest).map(LogChoice::Sqlite),
        Backend::Postgres => postgres::parse(log, &table).map(LogChoice::Postgres),
        Backend::MySql => mysql::parse(log, &table).map(LogChoice::MySql),
        Backend::Redis => redis::parse(log, &table).map(LogChoice::Redis),
        Backend::Nats => nats::parse(log, &table).map(LogChoice::Nats),
        Backend::Etcd => etcd::parse(log, &table).map(LogChoice::Etcd),
        Backend::Http => None,
    }
}

fn sqlite(log: &Table<'_>, table: &Table<'_>, rest: &str) -> Option<SqliteConfig> {
    Some(SqliteConfig {
        path: log.parsed("url", |_| path(rest))?,
        create_if_missing: table.flag("create_if_missing").unwrap_or(true),
        read_only: table
            .one_of("access", &[("read_write", false), ("read_only", true)])
            .unwrap_or(false),
        survives_power_loss: table
            .one_of(
                "durability",
                &[("power_loss", true), ("process_crash", false)],
            )
            .unwrap_or(true),
        max_pages: table.count("max_pages"),
    })
}

/// The scheme and what follows it. Of a URL that is refused only the scheme is quoted: the rest may hold a
/// password.
fn split(url: &str) -> Result<(Scheme, &str), String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!("must begin with a scheme and a colon: {CHOICES}"));
    };
    if let Some((_, known)) = SCHEMES.iter().find(|(name, _)| *name == scheme) {
        if let Scheme::Of(backend) = known {
            backend.check("log")?;
        }
        return Ok((*known, rest));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || scheme.len() > 20 || !scheme.chars().all(name) {
        return Err(format!("must begin with a scheme and a colon: {CHOICES}"));
    }
    let known = SCHEMES.iter().map(|(name, _)| *name);
    Err(match nearest::nearest(scheme, known) {
        Some(near) => format!("the scheme `{scheme}:` is unknown: did you mean `{near}:`?"),
        None => format!("the scheme `{scheme}:` is unknown: use {CHOICES}"),
    })
}

/// `sqlite:PATH`, and `sqlite://PATH` as some write it.
fn path(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err("names no file: write `sqlite:PATH`".into());
    }
    if path == ":memory:" {
        return Err(
            "SQLite's in-memory databases are private to one connection: use `memory:`".into(),
        );
    }
    if path.contains('?') {
        return Err("takes no options behind a `?`: they stand in [log.sqlite]".into());
    }
    if path.contains('\0') {
        return Err("the path holds a NUL: choose another".into());
    }
    Ok(path.into())
}
