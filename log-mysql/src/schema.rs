//! The log's tables, and how they are made.

use invalidation_core::{Error, ErrorKind};

use crate::{
    connection::{Session, integer, text},
    database_name::DatabaseName,
    error::{error, from_sqlx, is_denied, is_missing_table},
    header,
};

/// The version of the tables that this crate makes and reads.
pub(crate) const VERSION: i64 = 1;

const OPERATION: &str = "install";

/// `seq` is the stamp, none while it is 0. It leads the primary key, so that rows without a number stand side by side: while
/// an old transaction is open the servers keep the marks of rows that moved away since, and passing one is cheap there,
/// where in another index each would be looked up (100,000 of them cost a poll 8 ms, and 200 to 350).
///
/// A row of an open transaction that somebody has looked at with a lock leaves, when that transaction goes back to a
/// savepoint at REPEATABLE READ, a lock on the gap where it stood until the transaction ends. At the end of a table that is
/// where everybody inserts. Here each connection inserts in a slot of its own, between
/// rows of `id` 0 that never move. And ids are not counted by AUTO_INCREMENT, whose lock of the table makes deadlocks of
/// such waits.
/// `nonce` hashes 122
/// random bits to 64. `scope` is not checked, so that a newer version can write one that widens here (`P12`). Whoever
/// finds another server or other tables than `home` says writes a new epoch.
///
/// Each statement ends with a semicolon at the end of a line.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS {d}.cache_invalidation_log (
    seq BIGINT NOT NULL DEFAULT 0,
    slot SMALLINT NOT NULL DEFAULT (CONNECTION_ID() % 256),
    id BIGINT NOT NULL DEFAULT (UUID_SHORT() & 9223372036854775807),
    stamped DATETIME(6) NULL,
    nonce BIGINT NOT NULL DEFAULT (CAST(CONV(LEFT(MD5(CONCAT(UUID(), RAND())), 16), 16, -10) AS SIGNED)),
    cache VARCHAR(128) NULL,
    scope VARCHAR(32) NOT NULL,
    items LONGTEXT NOT NULL DEFAULT ('[]'),
    PRIMARY KEY (seq, slot, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
CREATE TABLE IF NOT EXISTS {d}.cache_invalidation_meta (
    one TINYINT NOT NULL PRIMARY KEY,
    version INT NOT NULL,
    epoch CHAR(32) NOT NULL,
    home VARCHAR(500) NOT NULL,
    counter BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    floor_nonce BIGINT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
CREATE TABLE IF NOT EXISTS {d}.cache_invalidation_attached (
    attached_table VARCHAR(130) NOT NULL,
    cache VARCHAR(128) NOT NULL,
    key_template TEXT NULL,
    tag_templates TEXT NOT NULL,
    PRIMARY KEY (attached_table, cache)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
";

/// For every language, to be called in the transaction of the change; each is one statement, so that no client needs
/// another delimiter for it. What cannot be invalidated makes a NULL where none may stand, which is an error.
const PROCEDURES: &str = "DROP PROCEDURE IF EXISTS {d}.cache_invalidation_key;
CREATE PROCEDURE {d}.cache_invalidation_key(IN cache LONGTEXT CHARACTER SET utf8mb4, IN item LONGTEXT CHARACTER SET utf8mb4)
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (cache, scope, items)
    VALUES (cache, IF(OCTET_LENGTH(cache) BETWEEN 1 AND 128, 'keys', NULL), IF(item IS NULL, NULL, JSON_ARRAY(item)));
DROP PROCEDURE IF EXISTS {d}.cache_invalidation_keys;
CREATE PROCEDURE {d}.cache_invalidation_keys(IN cache LONGTEXT CHARACTER SET utf8mb4, IN items LONGTEXT CHARACTER SET utf8mb4)
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (cache, scope, items)
    VALUES (cache, IF(OCTET_LENGTH(cache) BETWEEN 1 AND 128, 'keys', NULL), IF(JSON_TYPE(items) = 'ARRAY', items, NULL));
DROP PROCEDURE IF EXISTS {d}.cache_invalidation_tag;
CREATE PROCEDURE {d}.cache_invalidation_tag(IN cache LONGTEXT CHARACTER SET utf8mb4, IN item LONGTEXT CHARACTER SET utf8mb4)
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (cache, scope, items)
    VALUES (cache, IF(OCTET_LENGTH(cache) BETWEEN 1 AND 128, 'tags', NULL), IF(item IS NULL, NULL, JSON_ARRAY(item)));
DROP PROCEDURE IF EXISTS {d}.cache_invalidation_tags;
CREATE PROCEDURE {d}.cache_invalidation_tags(IN cache LONGTEXT CHARACTER SET utf8mb4, IN items LONGTEXT CHARACTER SET utf8mb4)
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (cache, scope, items)
    VALUES (cache, IF(OCTET_LENGTH(cache) BETWEEN 1 AND 128, 'tags', NULL), IF(JSON_TYPE(items) = 'ARRAY', items, NULL));
DROP PROCEDURE IF EXISTS {d}.cache_invalidation_clear;
CREATE PROCEDURE {d}.cache_invalidation_clear(IN cache LONGTEXT CHARACTER SET utf8mb4)
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (cache, scope)
    VALUES (cache, IF(OCTET_LENGTH(cache) BETWEEN 1 AND 128, 'all', NULL));
DROP PROCEDURE IF EXISTS {d}.cache_invalidation_everything;
CREATE PROCEDURE {d}.cache_invalidation_everything()
    SQL SECURITY DEFINER MODIFIES SQL DATA
    INSERT INTO {d}.cache_invalidation_log (scope) VALUES ('everything');
";

/// The rows between the slots, then that of `cache_invalidation_meta`: where it is there is everything. Its `home` is nobody's.
const META: &str = "INSERT IGNORE INTO {d}.cache_invalidation_log (seq, slot, id, scope)
    SELECT 0, a.n + 4 * b.n + 16 * c.n + 64 * d.n, 0, 'none'
    FROM (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) AS a,
        (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) AS b,
        (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) AS c,
        (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) AS d;
INSERT IGNORE INTO {d}.cache_invalidation_meta (one, version, epoch, home, counter, floor)
    VALUES (1, 1, MD5(CONCAT(UUID(), RAND())), '', 0, 0);
";

/// The SQL that makes the log, for those whose programs may not: to be run once.
pub(crate) fn install_sql(database: &DatabaseName) -> String {
    database.sql(&[TABLES, PROCEDURES, META].concat())
}

/// The SQL that lets a user use a log which another one made.
pub(crate) fn grant_sql(database: &DatabaseName, user: &str, host: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let grantee = format!("{}@{}", quoted(user), quoted(host));
    let mut sql = String::new();
    for (rights, table) in [
        ("SELECT, INSERT, UPDATE, DELETE", "log"),
        ("SELECT, UPDATE", "meta"),
        ("SELECT, INSERT, UPDATE, DELETE", "attached"),
    ] {
        sql.push_str(&format!(
            "GRANT {rights} ON {{d}}.cache_invalidation_{table} TO {grantee};\n"
        ));
    }
    for procedure in ["key", "keys", "tag", "tags", "clear", "everything"] {
        sql.push_str(&format!(
            "GRANT EXECUTE ON PROCEDURE {{d}}.cache_invalidation_{procedure} TO {grantee};\n"
        ));
    }
    database.sql(&sql)
}

/// Makes the tables, or finds them. Safe in any number of processes at once: they take turns.
pub(crate) async fn install(
    session: &mut Session,
    database: &DatabaseName,
    timeout: std::time::Duration,
) -> Result<(), Error> {
    // Where all is there already nothing is written, so that a process with fewer rights can start.
    if installed_version(session, database).await?.is_some() {
        return Ok(());
    }
    // A lock of the session: it is gone with the connection of a process that ends on the way.
    let name = format!(
        "CONCAT('cache-invalidation ', LEFT(MD5('{}'), 32))",
        database.as_str()
    );
    let lock = format!("SELECT GET_LOCK({name}, {})", timeout.as_secs_f64());
    let failed = |e| from_sqlx(OPERATION, e);
    let rows = session.run(lock).await.map_err(failed)?;
    if rows.first().and_then(|row| integer(row, 0)) != Some(1) {
        return Err(error(
            ErrorKind::TimedOut,
            OPERATION,
            "another process installs the log: wait until it has ended, and try again",
        ));
    }
    if installed_version(session, database).await?.is_none() {
        make(session, database, TABLES).await?;
        match make(session, database, PROCEDURES).await {
            // The log itself needs none of them.
            Err(e) if e.kind == ErrorKind::Denied => tracing::warn!(
                "the procedures for other languages were not made, since this user lacks CREATE ROUTINE or ALTER \
                 ROUTINE: let an administrator run what MySqlLog::install_sql gives"
            ),
            made => made?,
        }
        make(session, database, META).await?;
    }
    session
        .run(format!("SELECT RELEASE_LOCK({name})"))
        .await
        .map_err(failed)?;
    Ok(())
}

async fn make(
    session: &mut Session,
    database: &DatabaseName,
    statements: &str,
) -> Result<(), Error> {
    for statement in database.sql(statements).split_inclusive(";\n") {
        let made = session.run(statement.into()).await;
        made.map_err(|e| not_made(database, e))?;
    }
    Ok(())
}

fn not_made(database: &DatabaseName, source: sqlx::Error) -> Error {
    if !is_denied(&source) {
        return from_sqlx(OPERATION, source);
    }
    error(
        ErrorKind::Denied,
        OPERATION,
        format!(
            "this user may not make the log's tables: run GRANT CREATE, CREATE ROUTINE, ALTER ROUTINE, INDEX, SELECT, \
             INSERT, UPDATE, DELETE ON `{}`.* for it, and connect again; or let an administrator run the SQL that MySqlLog::install_sql and MySqlLog::grant_sql give",
            database.as_str()
        ),
    )
    .with_source(source)
}

/// Refuses a version that this crate does not know.
pub(crate) fn check_version(operation: &'static str, version: i64) -> Result<(), Error> {
    if version == VERSION {
        return Ok(());
    }
    Err(error(
        ErrorKind::Incompatible,
        operation,
        format!(
            "the log in this database is of version {version}, and this program knows version {VERSION}: upgrade \
             this program"
        ),
    ))
}

async fn installed_version(
    session: &mut Session,
    database: &DatabaseName,
) -> Result<Option<i64>, Error> {
    let sql =
        database.sql("SELECT m.version FROM {d}.cache_invalidation_meta AS m WHERE m.one = 1");
    match session.run(sql).await {
        Ok(rows) => {
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            let version = text(row, 0).and_then(|v| v.parse().ok());
            check_version(OPERATION, version.unwrap_or(0))?;
            Ok(version)
        }
        Err(e) if is_missing_table(&e) => Ok(None),
        // A user without any right on a table is told so whether it is there or not.
        Err(e) if is_denied(&e) => Err(header::not_granted(OPERATION).with_source(e)),
        Err(e) => Err(from_sqlx(OPERATION, e)),
    }
}
