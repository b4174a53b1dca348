//! Whether an absent server is a failure.

use std::collections::BTreeSet;

use crate::backend::Backend;
use crate::error::{Absent, Error};

/// The servers whose absence is a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required(BTreeSet<Backend>);

/// A server, or why a test has to be reported as ignored.
#[derive(Debug)]
pub enum Offer<T> {
    /// It is there.
    Here(T),
    /// It is absent, and nobody required it: report the test as ignored, with this reason.
    Ignored(Absent),
}

impl Required {
    /// What the environment variable `REQUIRE_BACKENDS` names: `postgres,redis`. Unset or empty: none.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`]: a misspelt name must not turn a requirement off.
    pub fn from_env() -> Result<Self, Error> {
        Self::parse(&std::env::var("REQUIRE_BACKENDS").unwrap_or_default())
    }

    /// The same of a text.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`].
    pub fn parse(names: &str) -> Result<Self, Error> {
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| Ok(name.parse()?))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Decides what the outcome of a start means: the one place that does.
    ///
    /// # Errors
    /// [`Error::Required`] where a required server is absent, and whatever else made the start fail: a server
    /// that is installed and does not start is a failure, required or not.
    pub fn decide<T>(&self, started: Result<T, Error>) -> Result<Offer<T>, Error> {
        match started {
            Ok(server) => Ok(Offer::Here(server)),
            Err(Error::Absent(absent)) if self.0.contains(&absent.backend) => {
                Err(Error::Required(absent))
            }
            Err(Error::Absent(absent)) => Ok(Offer::Ignored(absent)),
            Err(failure) => Err(failure),
        }
    }
}
