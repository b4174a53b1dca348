//! Reads checked values out of figment's tree, and keeps what is wrong with the rest.

use std::{cell::RefCell, time::Duration};

use figment::{
    Figment, Metadata, Source,
    value::{Dict, Num, Value},
};
use humantime_serde::re::humantime;

use super::{
    error::{ConfigError, Problem},
    nearest,
    schema::Section,
    sources::{self, Lines},
};

/// No duration is longer: far above any use, and far below where arithmetic ends.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

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

    fn problem(&self, origin: Option<String>, key: String, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            origin,
            key,
            message: message.into(),
        });
    }

    fn metadata(&self, value: &Value) -> Option<&Metadata> {
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
    fn origin(&self, path: &[String], value: &Value) -> Option<String> {
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
        if sources::is_environment(metadata) {
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

/// One table, whose keys are all known.
#[derive(Debug)]
pub(super) struct Table<'r> {
    reader: &'r Reader<'r>,
    path: Vec<String>,
    dict: Dict,
    known: Option<&'static Section>,
}

/// Where a secret came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provenance {
    Environment,
    /// Given by code, such as figment's `Serialized`.
    Code,
    /// A file or a text, where secrets do not belong.
    Text,
}

impl<'r> Table<'r> {
    /// `None` for `known` where every key is a name.
    fn new(
        reader: &'r Reader<'r>,
        path: Vec<String>,
        dict: Dict,
        known: Option<&'static Section>,
    ) -> Self {
        let table = Self {
            reader,
            path,
            dict,
            known,
        };
        if let Some(section) = known {
            let path = table.shown_path();
            for key in table.dict.keys() {
                if !section.keys.contains(&key.as_str()) {
                    table.refuse(key, nearest::unknown_key(key, &path, section.keys));
                }
            }
        }
        table
    }

    /// Notes that the table as a whole is wrong.
    pub(super) fn refuse_all(&self, message: impl Into<String>) {
        let value = Value::from(self.dict.clone());
        let origin = self
            .dict
            .iter()
            .next()
            .and_then(|(key, value)| self.reader.origin(&self.path_of(key), value))
            .or_else(|| self.reader.origin(&self.path, &value));
        self.reader.problem(origin, self.shown_path(), message);
    }

    fn shown_path(&self) -> String {
        shown(&self.path)
    }

    pub(super) fn path_of(&self, key: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        path
    }

    fn value(&self, key: &str) -> Option<&Value> {
        debug_assert!(
            self.known.is_none_or(|known| known.keys.contains(&key)),
            "`{key}` is read, but not in the schema"
        );
        self.dict.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.dict.keys().map(String::as_str)
    }

    /// Notes that `key` is wrong.
    pub(super) fn refuse(&self, key: &str, message: impl Into<String>) {
        let path = self.path_of(key);
        let origin = self
            .dict
            .get(key)
            .and_then(|value| self.reader.origin(&path, value));
        self.reader.problem(origin, shown(&path), message);
    }

    /// Notes that `key` is needed and given nowhere.
    pub(super) fn missing(&self, key: &str, why: &str) {
        let variable = sources::variable(&self.path_of(key));
        self.refuse(
            key,
            format!("is missing: {why} (or set the variable {variable})"),
        );
    }

    fn wrong_type(&self, key: &str, wanted: &str) {
        let found = self.dict.get(key).map_or("nothing", kind_of);
        self.refuse(key, format!("must be {wanted}, found {found}"));
    }

    /// The table at `key`; `None` when it is absent.
    pub(super) fn table(&self, key: &str, known: Option<&'static Section>) -> Option<Table<'r>> {
        match self.value(key)? {
            Value::Dict(_, dict) if !is_date(dict) => Some(Table::new(
                self.reader,
                self.path_of(key),
                dict.clone(),
                known,
            )),
            _ => {
                self.wrong_type(key, "a table");
                None
            }
        }
    }

    /// As [`table`](Self::table), and empty when absent.
    pub(super) fn table_or_empty(&self, key: &str, known: Option<&'static Section>) -> Table<'r> {
        self.table(key, known).unwrap_or_else(|| Table {
            reader: self.reader,
            path: self.path_of(key),
            dict: Dict::new(),
            known,
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::String(_, text) => Some(text),
            _ => {
                self.wrong_type(key, "text");
                None
            }
        }
    }

    /// Text that `parse` understands, or says why not.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(key, why);
                None
            }
        }
    }

    pub(super) fn one_of<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.parsed(key, |text| {
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| match nearest::nearest(text, names.iter().copied()) {
                    Some(near) => format!("{} is unknown: did you mean `{near}`?", quoted(text)),
                    None => format!("{} is unknown: use {}", quoted(text), nearest::list(&names)),
                })
        })
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        self.parsed(key, |text| {
            let duration = humantime::parse_duration(text.trim()).map_err(|error| {
                format!(
                    "{} is no duration ({error}): write a number and a unit, such as \"500ms\", \"2s\" or \"1h\"",
                    quoted(text)
                )
            })?;
            if duration > MAX_DURATION {
                return Err(format!("{} is too long: at most 10 years", quoted(text)));
            }
            Ok(duration)
        })
    }

    /// A duration above zero.
    pub(super) fn positive_duration(&self, key: &str) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration.is_zero() {
            self.refuse(key, "must be above zero");
            return None;
        }
        Some(duration)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = match value {
            Value::Bool(_, flag) => Some(*flag),
            Value::String(_, text) if self.is_from_environment(value) => text.trim().parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            self.wrong_type(key, "true or false");
        }
        flag
    }

    /// A whole number from 1 to the largest `T`.
    pub(super) fn count<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        let value = self.value(key)?;
        let number = match value {
            Value::Num(_, number) => whole(*number),
            Value::String(_, text) if self.is_from_environment(value) => {
                text.trim().replace('_', "").parse().ok()
            }
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(key, "a whole number");
            return None;
        };
        let count = u64::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .and_then(|number| T::try_from(number).ok());
        if count.is_none() {
            let which = if number > 0 { "smaller" } else { "above zero" };
            self.refuse(key, format!("must be {which}"));
        }
        count
    }

    /// A list of texts, or of numbers, that `parse` understands. A variable separates them by commas.
    pub(super) fn list<T>(
        &self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let texts: Vec<String> = match value {
            Value::Array(_, items) => {
                let mut texts = Vec::new();
                for item in items {
                    let text = match item {
                        Value::String(_, text) => Some(text.clone()),
                        Value::Num(_, number) => whole(*number).map(|number| number.to_string()),
                        _ => None,
                    };
                    let Some(text) = text else {
                        let found = kind_of(item);
                        self.refuse(
                            key,
                            format!("must be a list of {what}, found {found} in it"),
                        );
                        return None;
                    };
                    texts.push(text);
                }
                texts
            }
            Value::String(_, text) if self.is_from_environment(value) => text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
            _ => {
                self.wrong_type(key, &format!("a list of {what}"));
                return None;
            }
        };
        let mut parsed = Vec::new();
        let mut good = true;
        for text in texts {
            match parse(&text) {
                Ok(item) => parsed.push(item),
                Err(why) => {
                    self.refuse(key, why);
                    good = false;
                }
            }
        }
        good.then_some(parsed)
    }

    /// Where the value at `key` came from.
    pub(super) fn provenance(&self, key: &str) -> Option<Provenance> {
        let metadata = self.reader.metadata(self.value(key)?);
        Some(match metadata {
            Some(metadata) if sources::is_environment(metadata) => Provenance::Environment,
            Some(Metadata {
                source: Some(Source::Code(_)),
                ..
            }) => Provenance::Code,
            _ => Provenance::Text,
        })
    }

    fn is_from_environment(&self, value: &Value) -> bool {
        self.reader
            .metadata(value)
            .is_some_and(sources::is_environment)
    }
}

/// A value for an error message: short, on one line, and without what stands before an `@`, where addresses
/// keep their password.
pub(super) fn quoted(text: &str) -> String {
    let shown = match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    };
    let mut short: String = shown.chars().take(60).collect();
    if short.len() < shown.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// `caches."odd name".ttl`.
fn shown(path: &[String]) -> String {
    let keys: Vec<_> = path
        .iter()
        .map(|key| {
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !key.is_empty() && key.chars().all(bare) {
                key.clone()
            } else {
                format!("{key:?}")
            }
        })
        .collect();
    keys.join(".")
}

/// The number, if it is no fraction.
fn whole(number: Num) -> Option<i128> {
    number
        .to_i128()
        .or_else(|| number.to_u128().and_then(|number| number.try_into().ok()))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text",
        Value::Bool(..) => "true or false",
        Value::Num(_, number) if number.to_f64().is_some() => "a fraction",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(_, dict) if is_date(dict) => "a date",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

/// How a TOML date arrives.
fn is_date(dict: &Dict) -> bool {
    dict.keys().any(|key| key.starts_with("$__toml"))
}
