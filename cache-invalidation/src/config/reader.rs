//! The sources of a configuration, and what is wrong with them.

use std::cell::RefCell;

use figment::{
    Figment, Metadata, Source,
    value::{Dict, Value},
};

use super::{
    error::{ConfigError, Problem},
    schema::Section,
    sources::{self, Lines},
    table::Table,
};

/// The sources of one configuration, and what was found wrong with them so far.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    figment: &'s Figment,
    lines: &'s Lines,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(figment: &'s Figment, lines: &'s Lines) -> Self {
        Self {
            figment,
            lines,
            problems: RefCell::default(),
        }
    }

    pub(super) fn top(&self, section: &'static Section) -> Table<'_> {
        let dict = match self.figment.find_value("") {
            Ok(Value::Dict(_, dict)) => dict,
            Ok(_) => Dict::new(),
            Err(error) => {
                for error in error {
                    let origin = error.metadata.as_ref().map(|from| self.source(from));
                    self.problem(origin, String::new(), without_snippet(&error.kind));
                }
                Dict::new()
            }
        };
        Table::new(self, Vec::new(), dict, Some(section))
    }

    /// `value`, unless something was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        let problems = self.problems.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(ConfigError::new(problems)),
        }
    }

    pub(super) fn problem(&self, origin: Option<String>, key: String, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            origin,
            key,
            message: message.into(),
        });
    }

    pub(super) fn metadata(&self, value: &Value) -> Option<&Metadata> {
        self.figment.get_metadata(value.tag())
    }

    fn source(&self, metadata: &Metadata) -> String {
        match &metadata.source {
            Some(Source::File(path)) => path.display().to_string(),
            Some(source) => format!("{} ({source})", metadata.name),
            None => format!("the {}", metadata.name),
        }
    }

    /// Where `value`, which stands at `path`, came from.
    pub(super) fn origin(&self, path: &[String], value: &Value) -> Option<String> {
        let (mut path, mut value) = (path.to_vec(), value);
        let mut metadata = self.metadata(value);
        // A variable gives one leaf: its full name tells more than that of the table it made.
        while metadata.is_some_and(sources::is_environment)
            && let Value::Dict(_, dict) = value
            && let Some((key, inner)) = dict.iter().next()
        {
            path.push(key.clone());
            value = inner;
            metadata = self.metadata(value);
        }
        let metadata = metadata?;
        if sources::is_ours(metadata) {
            return Some(format!("variable {}", sources::variable(&path)));
        }
        let source = self.source(metadata);
        Some(match self.lines.of(&path) {
            Some(line) => format!("{source}:{line}"),
            None => source,
        })
    }
}

/// A syntax error of figment's own TOML provider quotes the line that it is about.
fn without_snippet(kind: &figment::error::Kind) -> String {
    kind.to_string()
        .lines()
        .filter(|line| !line.contains('|'))
        .collect::<Vec<_>>()
        .join(", ")
}
