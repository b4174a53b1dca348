//! Where the configuration is read from: a TOML text, and the environment.

use std::{collections::HashMap, ffi::OsString, path::PathBuf};

use figment::{
    Error, Metadata, Profile, Provider, Source,
    value::{Dict, Map, Value},
};
use toml_edit::{ImDocument, Item};

use super::error::{ConfigError, Problem};

/// Every variable of the configuration begins so.
pub(super) const PREFIX: &str = "CACHE_INVALIDATION__";
const SEPARATOR: &str = "__";
const VARIABLE: &str = "environment variable";

/// A TOML text that was read, and the line of each key in it.
///
/// Not figment's own provider: that one quotes the line with the syntax error, which may hold a secret.
#[derive(Debug)]
pub(super) struct TomlText {
    origin: Origin,
    dict: Dict,
    pub(super) lines: Lines,
}

#[derive(Debug)]
enum Origin {
    File(PathBuf),
    Text,
}

/// The line of each key, by its path.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<Vec<String>, usize>);

impl TomlText {
    pub(super) fn file(path: PathBuf) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(&path).map_err(|error| {
            ConfigError::one(Problem::source(
                path.display().to_string(),
                format!("cannot be read: {error}"),
            ))
        })?;
        Self::parse(text, Origin::File(path))
    }

    pub(super) fn text(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text.to_owned(), Origin::Text)
    }

    fn parse(text: String, origin: Origin) -> Result<Self, ConfigError> {
        let name = match &origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Text => "the TOML text".to_owned(),
        };
        let line_at = |offset: usize| {
            let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        };
        let refuse = |error: &dyn SyntaxError| {
            let at = match error.offset() {
                Some(offset) => format!("{name}:{}", line_at(offset)),
                None => name.clone(),
            };
            ConfigError::one(Problem::source(
                at,
                format!("not TOML: {}", error.what().trim().replace('\n', ", ")),
            ))
        };
        let document = ImDocument::parse(text.as_str()).map_err(|error| refuse(&error))?;
        let mut lines = Lines::default();
        let mut path = Vec::new();
        for (key, item) in document.iter() {
            lines.note(document.as_table(), &mut path, key, item, &line_at);
        }
        let dict = toml_edit::de::from_document::<Dict>(document.into_mut())
            .map_err(|error| refuse(&error))?;
        Ok(Self {
            origin,
            dict,
            lines,
        })
    }
}

/// The two errors of the parser, without the line that they quote.
trait SyntaxError {
    fn what(&self) -> &str;
    fn offset(&self) -> Option<usize>;
}

impl SyntaxError for toml_edit::TomlError {
    fn what(&self) -> &str {
        self.message()
    }
    fn offset(&self) -> Option<usize> {
        self.span().map(|span| span.start)
    }
}

impl SyntaxError for toml_edit::de::Error {
    fn what(&self) -> &str {
        self.message()
    }
    fn offset(&self) -> Option<usize> {
        self.span().map(|span| span.start)
    }
}

impl Lines {
    pub(super) fn of(&self, path: &[String]) -> Option<usize> {
        self.0.get(path).copied()
    }

    fn note(
        &mut self,
        parent: &dyn toml_edit::TableLike,
        path: &mut Vec<String>,
        key: &str,
        item: &Item,
        line_at: &dyn Fn(usize) -> usize,
    ) {
        path.push(key.to_owned());
        let span = parent
            .get_key_value(key)
            .and_then(|(key, _)| key.span())
            .or_else(|| item.span());
        if let Some(span) = span {
            self.0.insert(path.clone(), line_at(span.start));
        }
        if let Some(table) = item.as_table_like() {
            for (key, item) in table.iter() {
                self.note(table, path, key, item, line_at);
            }
        }
        path.pop();
    }
}

impl Provider for &TomlText {
    fn metadata(&self) -> Metadata {
        match &self.origin {
            Origin::File(path) => Metadata::from("TOML file", Source::File(path.clone())),
            Origin::Text => Metadata::named("TOML text"),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// The variables of the configuration. Their values stay text, to be understood as what their key takes: a
/// secret of digits keeps its leading zeros.
#[derive(Debug)]
pub(super) struct Variables(Dict);

impl Variables {
    /// Those of `all` that begin with [`PREFIX`].
    pub(super) fn new(
        all: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut dict = Dict::new();
        let mut problems = Vec::new();
        for (name, value) in all {
            let Some(name) = name.to_str() else { continue };
            let Some(path) = name.strip_prefix(PREFIX) else {
                if name.starts_with(PREFIX.trim_end_matches('_')) {
                    tracing::warn!(
                        variable = name,
                        "not read: variables of the configuration begin with {PREFIX}, two underscores"
                    );
                }
                continue;
            };
            let added = match value.into_string() {
                Ok(value) => add(&mut dict, &path.to_lowercase(), value),
                Err(_) => Err("its value is not UTF-8".to_owned()),
            };
            if let Err(why) = added {
                problems.push(Problem::source(format!("variable {name}"), why));
            }
        }
        if problems.is_empty() {
            Ok(Self(dict))
        } else {
            Err(ConfigError::new(problems))
        }
    }
}

fn add(dict: &mut Dict, path: &str, value: String) -> Result<(), String> {
    let contradicts = || {
        "another variable gives the same key, or one above or below it: keep one of them".to_owned()
    };
    let (key, rest) = match path.split_once(SEPARATOR) {
        Some((key, rest)) => (key, Some(rest)),
        None => (path, None),
    };
    if key.is_empty() {
        return Err(format!(
            "its name has an empty part: keys are joined by `{SEPARATOR}`"
        ));
    }
    match rest {
        None if dict.contains_key(key) => Err(contradicts()),
        None => {
            dict.insert(key.to_owned(), Value::from(value));
            Ok(())
        }
        Some(rest) => match dict
            .entry(key.to_owned())
            .or_insert_with(|| Value::from(Dict::new()))
        {
            Value::Dict(_, inner) => add(inner, rest, value),
            _ => Err(contradicts()),
        },
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named(VARIABLE).interpolater(|_: &Profile, keys: &[&str]| variable(keys))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.0.clone())]))
    }
}

/// The variable that gives the key at `path`.
pub(super) fn variable<S: AsRef<str>>(path: &[S]) -> String {
    let path: Vec<_> = path.iter().map(|key| key.as_ref().to_uppercase()).collect();
    format!("{PREFIX}{}", path.join(SEPARATOR))
}

/// Whether a value came from the environment, by way of this module or of figment's `Env`.
pub(super) fn is_environment(metadata: &Metadata) -> bool {
    metadata.name.contains(VARIABLE)
}
