//! The name of the database that holds the log, and SQL with it.

use std::sync::Arc;

use invalidation_core::{Error, ErrorKind};

use crate::error::error;

/// The servers' own limit of a name, in characters.
const MAX_NAME: usize = 64;

/// A checked name: it needs no escape within quotes of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseName(Arc<str>);

impl DatabaseName {
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
        let good = (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain);
        if good {
            return Ok(Self(name.into()));
        }
        Err(error(
            ErrorKind::Invalid,
            "connect",
            if name.is_empty() {
                "no database is named: write it into the URL, mysql://USER:PASSWORD@HOST:PORT/DATABASE".into()
            } else {
                format!(
                    "the database name {name:?} cannot be used: use 1 to {MAX_NAME} ASCII letters, digits, _, - and $"
                )
            },
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `template`, in which nothing of others stands, with this database for each `{d}`, and its name as a text for
    /// each `{name}`.
    pub(crate) fn sql(&self, template: &str) -> String {
        template
            .replace("{d}", &format!("`{}`", self.0))
            .replace("{name}", &format!("'{}'", self.0))
    }
}
