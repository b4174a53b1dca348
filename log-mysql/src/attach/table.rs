//! The table that is attached, as the database declares it.

use invalidation_core::{Error, ErrorKind};

use super::quote_name;
use crate::{
    connection::{Session, literal, text},
    error::{error, from_sqlx},
};

const OPERATION: &str = "attach";

#[derive(Debug)]
pub(super) struct Table {
    /// The database that it is in, and its name there.
    pub(super) database: String,
    pub(super) name: String,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    /// `DATA_TYPE` of the catalogue.
    data_type: String,
    is_binary: bool,
}

impl Table {
    /// Looks a table up, `name` in the log's database or `database.name`.
    pub(super) async fn find(session: &mut Session, own: &str, name: &str) -> Result<Self, Error> {
        let failed = |e| from_sqlx(OPERATION, e);
        let (database, table) = name.split_once('.').unwrap_or((own, name));
        let is_here = format!(
            "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(database),
            literal(table)
        );
        let found = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {is_here}"
        );
        let rows = session.run(found).await.map_err(failed)?;
        let Some(row) = rows.first() else {
            return Err(refuse(format!(
                "there is no table {table:?} in the database {database:?}, or this user may not see it"
            )));
        };
        let column = |at| text(row, at).unwrap_or_default().to_owned();
        let (database, name, kind) = (column(0), column(1), column(2));
        if kind != "BASE TABLE" || name.starts_with("cache_invalidation_") {
            return Err(refuse(format!(
                "{name:?} is no ordinary table and cannot have row triggers: attach the tables whose rows it shows"
            )));
        }
        // With any other engine a change would stay when its entry is rolled back, or the other way round (`P2`).
        let engine = column(3);
        if !engine.eq_ignore_ascii_case("InnoDB") {
            return Err(refuse(format!(
                "{name:?} is a table of {engine}, which has no transactions: ALTER TABLE {} ENGINE = InnoDB",
                quote_name(&name)
            )));
        }
        let columns = format!(
            "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE {is_here} \
             ORDER BY ORDINAL_POSITION"
        );
        let rows = session.run(columns).await.map_err(failed)?;
        let columns = rows
            .iter()
            .map(|row| Column {
                name: text(row, 0).unwrap_or_default().into(),
                data_type: text(row, 1).unwrap_or_default().to_ascii_lowercase(),
                is_binary: text(row, 2).is_none_or(|set| set == "binary"),
            })
            .collect();
        Ok(Self {
            database,
            name,
            columns,
        })
    }

    /// The name by which it is listed.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    pub(super) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let names: Vec<_> = self.columns.iter().map(|c| c.name.as_str()).collect();
                refuse(format!(
                    "table {:?} has no column {name:?}; it has: {}",
                    self.name,
                    names.join(", ")
                ))
            })
    }
}

impl Column {
    const INTEGERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];
    const TEXTS: [&str; 7] = [
        "char",
        "varchar",
        "tinytext",
        "text",
        "mediumtext",
        "longtext",
        "uuid",
    ];

    /// This column, if every program prints its values alike.
    pub(super) fn usable(&self) -> Result<&Self, Error> {
        let is_text = Self::TEXTS.contains(&self.data_type.as_str());
        if self.is_integer() || (is_text && (!self.is_binary || self.data_type == "uuid")) {
            return Ok(self);
        }
        Err(refuse(format!(
            "column {:?} is of type {}, whose texts depend on settings: use a column of an integer type, a text in a \
             character set, or a uuid",
            self.name, self.data_type
        )))
    }

    fn is_integer(&self) -> bool {
        Self::INTEGERS.contains(&self.data_type.as_str())
    }

    /// SQL for the text of this column in the row `row`.
    pub(super) fn text_in(&self, row: &str) -> String {
        // Without the zeros of ZEROFILL.
        let plain = if self.is_integer() { " + 0" } else { "" };
        format!(
            "CONVERT({row}.{}{plain} USING utf8mb4)",
            quote_name(&self.name)
        )
    }
}

fn refuse(message: String) -> Error {
    error(ErrorKind::Invalid, OPERATION, message)
}
