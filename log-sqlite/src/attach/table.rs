//! The table that is attached, as the database declares it.

use invalidation_core::{Error, ErrorKind};
use sqlx::{Row, SqliteConnection};

use crate::error::{error, from_sqlx};

const OPERATION: &str = "attach";

#[derive(Debug)]
pub(super) struct Table {
    /// As it was declared: SQLite compares names without regard to ASCII case.
    pub(super) name: String,
    columns: Vec<Column>,
    /// The columns of each unique index, the primary key's among them; not those over expressions.
    pub(super) unique: Vec<Vec<String>>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The declared type; empty when there is none.
    pub(super) declared: String,
}

impl Table {
    /// Looks `name` up among the tables that can have row triggers.
    pub(super) async fn find(connection: &mut SqliteConnection, name: &str) -> Result<Self, Error> {
        let failed = |e| from_sqlx(OPERATION, e);
        let tables = sqlx::query(
            "SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let mut usable = Vec::new();
        let mut found = None;
        for row in &tables {
            let (table, kind): (String, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            let same = table.eq_ignore_ascii_case(name);
            let own = table.starts_with("cache_invalidation_") || table.starts_with("sqlite_");
            match kind.as_str() {
                "table" if !own && same => found = Some(table),
                "table" if !own => usable.push(table),
                _ if same => {
                    let what = if own { "an internal" } else { kind.as_str() };
                    return Err(refuse(format!(
                        "{name:?} is {what} table and cannot have row triggers: attach the tables whose rows it \
                         shows"
                    )));
                }
                _ => {}
            }
        }
        let Some(table) = found else {
            return Err(refuse(format!(
                "there is no table {name:?} in the log's database, which has: {}",
                listed(usable.iter().map(String::as_str))
            )));
        };
        // Hidden columns of virtual tables are the only ones left out; generated ones can be used.
        let rows = sqlx::query("SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden != 1")
            .bind(&table)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let columns = rows
            .iter()
            .map(|row| {
                Ok(Column {
                    name: row.try_get(0)?,
                    declared: row.try_get(1)?,
                })
            })
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let unique = unique(connection, &table).await.map_err(failed)?;
        Ok(Self {
            name: table,
            columns,
            unique,
        })
    }

    pub(super) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                refuse(format!(
                    "table {:?} has no column {name:?}; it has: {}",
                    self.name,
                    listed(self.columns.iter().map(|column| column.name.as_str()))
                ))
            })
    }
}

async fn unique(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<Vec<String>>, sqlx::Error> {
    // An `INTEGER PRIMARY KEY` is the row's own id and has no index. An index over an expression has a column
    // without a name, and is left out.
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT json_group_array(name) FROM pragma_table_xinfo(?1) WHERE pk > 0
             AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')
         HAVING count(*) = 1
         UNION ALL
         SELECT * FROM (
             SELECT json_group_array(c.name) FROM pragma_index_list(?1) AS i, pragma_index_info(i.name) AS c
             WHERE i.\"unique\" GROUP BY i.name HAVING count(*) = count(c.name) ORDER BY i.name
         )",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|columns| serde_json::from_str(columns).map_err(|e| sqlx::Error::Decode(e.into())))
        .collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn refuse(message: String) -> Error {
    error(ErrorKind::Invalid, OPERATION, message)
}
