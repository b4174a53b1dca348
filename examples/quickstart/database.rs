//! The table that the nodes cache: real rows, in the database that also holds the log.

use sqlx::{MySql, MySqlPool, PgPool, SqlitePool, Transaction};

/// Rows have the keys 1 to `ROWS`.
pub(crate) const ROWS: i64 = 200;
/// The rows that are written, and read more often than the others.
pub(crate) const HOT_ROWS: i64 = 40;

/// The next version of a row; what any program would run.
pub(crate) const UPDATE: &str = "UPDATE items SET version = version + 1, \
     name = 'item ' || id || ', version ' || (version + 1) WHERE id = $1 RETURNING version";
/// The same for MySQL, which assigns from left to right, and returns no rows: what it wrote is asked for in its transaction.
const UPDATE_MYSQL: &str = "UPDATE items SET version = version + 1, \
     name = CONCAT('item ', id, ', version ', version) WHERE id = ?";
const VERSION_MYSQL: &str = "SELECT version FROM items WHERE id = ?";

const TABLE_SQLITE: &str =
    "CREATE TABLE items (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL)";
const TABLE: &str =
    "CREATE TABLE items (id bigint PRIMARY KEY, version bigint NOT NULL, name text NOT NULL)";
const INSERT: &str = "INSERT INTO items SELECT value, 1, 'item ' || value || ', version 1' FROM (SELECT $1 AS value) AS row";
const INSERT_MYSQL: &str = "INSERT INTO items SELECT value, 1, CONCAT('item ', value, ', version 1') FROM (SELECT ? AS value) AS one";
const LOAD: &str = "SELECT id, version, name FROM items WHERE id = $1";
const LOAD_MYSQL: &str = "SELECT id, version, name FROM items WHERE id = ?";
const VERSIONS: &str = "SELECT id, version FROM items ORDER BY id";

/// One row. Its name says which row and version it is, so that a reader can tell a value that is not what was
/// written.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) name: String,
}

impl Item {
    /// Whether it is the row `key`, whole.
    pub(crate) fn is_whole(&self, key: i64) -> bool {
        self.id == key && self.name == format!("item {key}, version {}", self.version)
    }
}

/// A pool of the program's own, which knows nothing of the framework.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// The same with each kind of pool.
macro_rules! with {
    ($database:expr, $pool:ident => $do:expr) => {
        match $database {
            Database::Sqlite($pool) => $do,
            Database::Postgres($pool) => $do,
            Database::MySql($pool) => $do,
        }
    };
}

impl Database {
    /// Makes the table and its rows.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        let (table, insert) = match self {
            Self::Sqlite(_) => (TABLE_SQLITE, INSERT),
            Self::Postgres(_) => (TABLE, INSERT),
            Self::MySql(_) => (TABLE, INSERT_MYSQL),
        };
        with!(self, pool => {
            sqlx::query(table).execute(pool).await?;
            let mut tx = pool.begin().await?;
            for id in 1..=ROWS {
                sqlx::query(insert).bind(id).execute(&mut *tx).await?;
            }
            Ok(tx.commit().await?)
        })
    }

    /// The row as it stands now: the loader of the cache.
    pub(crate) async fn load(&self, key: i64) -> Result<Item, sqlx::Error> {
        let load = match self {
            Self::Sqlite(_) | Self::Postgres(_) => LOAD,
            Self::MySql(_) => LOAD_MYSQL,
        };
        with!(self, pool => sqlx::query_as(load).bind(key).fetch_one(pool).await)
    }

    /// The version of each row that is written.
    pub(crate) async fn versions(&self) -> Result<Vec<(i64, i64)>, sqlx::Error> {
        with!(self, pool => sqlx::query_as(VERSIONS).fetch_all(pool).await)
    }

    /// No cache, no log, no node: one statement, which commits by itself, or is all of a transaction. The version that it wrote, if there is such a
    /// row.
    pub(crate) async fn update(&self, key: i64) -> Result<Option<i64>, sqlx::Error> {
        // To its end: SQLite commits with the last step, not with the first row that it returns.
        let versions: Vec<i64> = match self {
            Self::Sqlite(pool) => sqlx::query_scalar(UPDATE).bind(key).fetch_all(pool).await?,
            Self::Postgres(pool) => sqlx::query_scalar(UPDATE).bind(key).fetch_all(pool).await?,
            Self::MySql(pool) => {
                let mut tx = pool.begin().await?;
                let version = update_mysql(&mut tx, key).await?;
                tx.commit().await?;
                version.into_iter().collect()
            }
        };
        Ok(versions.first().copied())
    }
}

/// The next version of a row, in this transaction.
pub(crate) async fn update_mysql(
    tx: &mut Transaction<'_, MySql>,
    key: i64,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query(UPDATE_MYSQL)
        .bind(key)
        .execute(&mut **tx)
        .await?;
    let version = sqlx::query_scalar(VERSION_MYSQL).bind(key);
    version.fetch_optional(&mut **tx).await
}
