//! A value as SQLite holds it.

use invalidation_log_rows::Column;
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef, sqlite::SqliteRow};

/// What stands in a column. SQLite lets any program store any type in any column.
pub(crate) fn stored(row: &SqliteRow, column: usize) -> Column<'_> {
    let Ok(value) = row.try_get_raw(column) else {
        return Column::Other("nothing");
    };
    if value.is_null() {
        return Column::Null;
    }
    let type_name = value.type_info().name().to_owned();
    match type_name.as_str() {
        "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(value)
            .map_or(Column::Other("an unreadable integer"), Column::Integer),
        "TEXT" => <&str as Decode<'_, Sqlite>>::decode(value)
            .map_or(Column::Other("a text that is not UTF-8"), Column::Text),
        "REAL" => Column::Other("a real number"),
        _ => Column::Other("a blob"),
    }
}
