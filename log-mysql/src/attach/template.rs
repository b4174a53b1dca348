//! Templates of keys and tags: `{id}`, `{org}:{id}`, `org:{org}`.

use invalidation_core::{Error, ErrorKind};

use super::table::{Column, Table};
use crate::{connection::literal, error::error};

/// A parsed template, its columns checked against a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Column(Column),
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
            parts.push(Part::Column(table.column(name)?.usable()?.clone()));
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

    /// SQL for the text of this template over the row `row` (`NEW` or `OLD`); NULL when one of its columns is.
    ///
    /// Of several columns each is escaped as the text of a tuple key is: `\` as `\\`, `:` as `\:`. A single one
    /// is the raw text, as that of a plain key is.
    pub(super) fn text_of(&self, row: &str) -> String {
        let columns = |part: &&Part| matches!(part, Part::Column(_));
        let several = self.parts.iter().filter(columns).count() > 1;
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => literal(text),
                Part::Column(column) if several => {
                    let value = column.text_in(row);
                    let (slash, slashes) = (literal("\\"), literal("\\\\"));
                    let (colon, escaped) = (literal(":"), literal("\\:"));
                    format!("REPLACE(REPLACE({value}, {slash}, {slashes}), {colon}, {escaped})")
                }
                Part::Column(column) => column.text_in(row),
            })
            .collect();
        format!("CONCAT({})", parts.join(", "))
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) {
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
}
