//! Templates of keys and tags: `{id}`, `{org}:{id}`, `org:{org}`.

use invalidation_core::{Error, ErrorKind};

use super::table::{Column, Table};
use crate::error::error;

/// A parsed template, its columns checked against a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A column's name as the table declares it.
    Column(String),
}

impl Template {
    /// Parses `text` for `table`.
    pub(super) fn parse(text: &str, table: &Table) -> Result<Self, Error> {
        let refuse = |why: String| {
            Err(error(
                ErrorKind::Invalid,
                "attach",
                format!(
                    "template {text:?} {why}: write column names in braces, as in \"{{id}}\" or \
                     \"{{org}}:{{id}}\""
                ),
            ))
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(open);
            push_literal(&mut parts, literal);
            let Some(tail) = tail.strip_prefix('{') else {
                return refuse("closes a brace that it did not open".into());
            };
            let Some((name, tail)) = tail.split_once('}') else {
                return refuse("opens a brace that it does not close".into());
            };
            parts.push(Part::Column(table.column(name)?.usable()?.name.clone()));
            rest = tail;
        }
        push_literal(&mut parts, rest);
        if text.contains('\0') {
            return refuse("holds a NUL character".into());
        }
        if !parts.iter().any(|part| matches!(part, Part::Column(_))) {
            return refuse("names no column".into());
        }
        Ok(Self { parts })
    }

    /// SQL for the text of this template over the row `row` (`NEW` or `OLD`).
    ///
    /// Of several columns each is escaped as the text of a tuple key is: `\` as `\\`, `:` as `\:`. A single one
    /// is the raw text, as that of a plain key is.
    pub(super) fn text_of(&self, row: &str) -> String {
        let several = self.columns().count() > 1;
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => quote_text(literal),
                Part::Column(name) => {
                    let value = format!("CAST({row}.{} AS TEXT)", quote_name(name));
                    if several {
                        format!(r"replace(replace({value}, '\', '\\'), ':', '\:')")
                    } else {
                        value
                    }
                }
            })
            .collect();
        format!("({})", parts.join(" || "))
    }

    /// SQL that is true when one of its columns is NULL in `row`.
    pub(super) fn is_null_in(&self, row: &str) -> String {
        self.any_column(row, "IS NULL")
    }

    /// SQL that is true when one of its columns holds what has no sure text in `row`: a real number or a
    /// blob, which SQLite lets any column hold.
    pub(super) fn is_unsure_in(&self, row: &str) -> String {
        let columns: Vec<_> = self
            .columns()
            .map(|name| format!("typeof({row}.{}) IN ('real', 'blob')", quote_name(name)))
            .collect();
        format!("({})", columns.join(" OR "))
    }

    fn any_column(&self, row: &str, test: &str) -> String {
        let columns: Vec<_> = self
            .columns()
            .map(|name| format!("{row}.{} {test}", quote_name(name)))
            .collect();
        format!("({})", columns.join(" OR "))
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) {
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
}

impl Column {
    /// This column, if every program prints its values alike.
    fn usable(&self) -> Result<&Self, Error> {
        let why = match self.affinity() {
            Affinity::Integer | Affinity::Text => return Ok(self),
            Affinity::Real => "real numbers have many texts",
            Affinity::Blob => "a column without a type, or of blobs, has no sure text",
            Affinity::Numeric => {
                "SQLite may turn what such a column is given into another number or text"
            }
        };
        Err(error(
            ErrorKind::Invalid,
            "attach",
            format!(
                "column {:?} is declared {:?}, and {why}: use a column of an INTEGER or TEXT type",
                self.name, self.declared
            ),
        ))
    }

    /// The rules of <https://www.sqlite.org/datatype3.html>, 3.1, in their order.
    fn affinity(&self) -> Affinity {
        let declared = self.declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Affinity::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Affinity::Text
        } else if declared.is_empty() || has(&["BLOB"]) || declared == "ANY" {
            Affinity::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// A name in double quotes: whatever it holds, it is one identifier.
pub(super) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes: whatever it holds, it is one literal.
pub(super) fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
