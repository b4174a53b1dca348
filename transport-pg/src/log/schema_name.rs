//! The name of the log's schema, and SQL with it.

use std::sync::Arc;

use invalidation_core::{Error, ErrorKind};

use crate::error::error;

/// PostgreSQL's own limit of a name, in bytes.
const MAX_NAME: usize = 63;

/// A checked name: it needs no escape within quotes of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaName(Arc<str>);

impl SchemaName {
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let good = (1..=MAX_NAME).contains(&name.len())
            && name.chars().all(plain)
            && !name.starts_with("pg_");
        if good {
            return Ok(Self(name.into()));
        }
        Err(error(
            ErrorKind::Invalid,
            "connect",
            format!(
                "the schema name {name:?} cannot be used: use 1 to {MAX_NAME} ASCII letters, digits, _ and -, \
                 and do not begin it with pg_"
            ),
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as SQL.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// `template`, in which nothing of others stands, with this schema for each `{s}`.
    pub(crate) fn sql(&self, template: &str) -> String {
        template.replace("{s}", &self.quoted())
    }
}
