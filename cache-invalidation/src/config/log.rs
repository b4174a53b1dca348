//! Which log: the scheme of its URL.

use std::path::PathBuf;

use super::{
    mysql,
    mysql::MySqlConfig,
    nearest, postgres,
    postgres::PostgresConfig,
    schema::{self, ABSENT},
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
    Sqlite,
    Postgres,
    MySql,
    Memory,
    None,
}

const SCHEMES: [(&str, Scheme); 7] = [
    ("sqlite", Scheme::Sqlite),
    ("postgres", Scheme::Postgres),
    ("postgresql", Scheme::Postgres),
    ("mysql", Scheme::MySql),
    ("mariadb", Scheme::MySql),
    ("memory", Scheme::Memory),
    ("none", Scheme::None),
];

const CHOICES: &str = "`postgres://USER@HOST/DATABASE` or `mysql://USER@HOST/DATABASE` for any number of hosts, `sqlite:PATH` for the processes of one \
     host, `memory:` for a single node, or `none:` to bound staleness by TTLs alone";

pub(super) fn parse(log: &Table<'_>, has_transport: bool) -> Option<LogChoice> {
    if !log.has("url") {
        log.missing("url", &format!("say which log to read: {CHOICES}"));
        return None;
    }
    let (scheme, rest) = log.parsed("url", |url| {
        let (scheme, rest) = split(url)?;
        Ok((scheme, rest.to_owned()))
    })?;
    let sqlite = log.table("sqlite", Some(&schema::SQLITE));
    let postgres = log.table("postgres", Some(&schema::POSTGRES));
    if !matches!(scheme, Scheme::Sqlite) && sqlite.is_some() {
        log.refuse("sqlite", "is for a log whose url begins with `sqlite:`");
    }
    if !matches!(scheme, Scheme::Postgres) && postgres.is_some() {
        log.refuse("postgres", "is for a log whose url begins with `postgres:`");
    }
    let mysql = log.table("mysql", Some(&schema::MYSQL));
    if !matches!(scheme, Scheme::MySql) && mysql.is_some() {
        log.refuse("mysql", "is for a log whose url begins with `mysql:`");
    }
    if matches!(scheme, Scheme::Memory | Scheme::None) && !rest.is_empty() {
        log.refuse(
            "url",
            "nothing may stand behind the colon of `memory:` and `none:`",
        );
    }
    match scheme {
        Scheme::Memory if has_transport => {
            log.refuse(
                "url",
                "`memory:` is a log within one process, and a transport means that there are several, whose \
                 invalidations it would never show: use `sqlite:PATH`, `none:`, or take the transport out",
            );
            None
        }
        Scheme::Memory => Some(LogChoice::Memory),
        Scheme::None => Some(LogChoice::None),
        Scheme::Postgres => {
            let table =
                postgres.unwrap_or_else(|| log.table_or_empty("postgres", Some(&schema::POSTGRES)));
            postgres::parse(log, &table).map(LogChoice::Postgres)
        }
        Scheme::MySql => {
            let table = mysql.unwrap_or_else(|| log.table_or_empty("mysql", Some(&schema::MYSQL)));
            mysql::parse(log, &table).map(LogChoice::MySql)
        }
        Scheme::Sqlite => {
            let path = log.parsed("url", |_| path(&rest))?;
            let sqlite =
                sqlite.unwrap_or_else(|| log.table_or_empty("sqlite", Some(&schema::SQLITE)));
            Some(LogChoice::Sqlite(SqliteConfig {
                path,
                create_if_missing: sqlite.flag("create_if_missing").unwrap_or(true),
                read_only: sqlite
                    .one_of("access", &[("read_write", false), ("read_only", true)])
                    .unwrap_or(false),
                survives_power_loss: sqlite
                    .one_of(
                        "durability",
                        &[("power_loss", true), ("process_crash", false)],
                    )
                    .unwrap_or(true),
                max_pages: sqlite.count("max_pages"),
            }))
        }
    }
}

/// The scheme and what follows it. Of a URL that is refused only the scheme is quoted: the rest may hold a
/// password.
fn split(url: &str) -> Result<(Scheme, &str), String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!("must begin with a scheme and a colon: {CHOICES}"));
    };
    if let Some((_, known)) = SCHEMES.iter().find(|(name, _)| *name == scheme) {
        if matches!(known, Scheme::Sqlite) && !cfg!(feature = "sqlite") {
            return Err(
                "the SQLite log is not compiled in: enable the cargo feature `sqlite`".into(),
            );
        }
        if matches!(known, Scheme::Postgres) && !cfg!(feature = "postgres") {
            return Err(
                "the Postgres log is not compiled in: enable the cargo feature `postgres`".into(),
            );
        }
        if matches!(known, Scheme::MySql) && !cfg!(feature = "mysql") {
            return Err(
                "the MySQL log is not compiled in: enable the cargo feature `mysql`".into(),
            );
        }
        return Ok((*known, rest));
    }
    if let Some(backend) = ABSENT
        .iter()
        .find(|backend| backend.schemes.contains(&scheme))
    {
        return Err(format!(
            "this version has no {} log: use {CHOICES}",
            backend.name
        ));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || scheme.len() > 20 || !scheme.chars().all(name) {
        return Err(format!("must begin with a scheme and a colon: {CHOICES}"));
    }
    let known = SCHEMES.iter().map(|(name, _)| *name);
    let absent = ABSENT
        .iter()
        .flat_map(|backend| backend.schemes.iter().copied());
    Err(match nearest::nearest(scheme, known.chain(absent)) {
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
