//! A table of the configuration, and the checked values in it.

use std::time::Duration;

use figment::{
    Metadata, Source,
    value::{Dict, Value},
};
use humantime_serde::re::humantime;

use super::{
    nearest,
    reader::Reader,
    schema::Section,
    sources,
    value::{is_date, kind_of, quoted, shown, whole},
};

/// No duration is longer: far above any use, and far below where arithmetic ends.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

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
    pub(super) fn new(
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
        if let Some(Value::Num(..)) = self.value(key) {
            // What is tried first: the unit is missing then.
            self.wrong_type(key, "text with a unit, such as \"500ms\", \"2s\" or \"1h\"");
            return None;
        }
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
