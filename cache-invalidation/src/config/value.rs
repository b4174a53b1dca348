//! Single values, and how messages show them.

use figment::value::{Dict, Num, Value};

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
pub(super) fn shown(path: &[String]) -> String {
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
pub(super) fn whole(number: Num) -> Option<i128> {
    number
        .to_i128()
        .or_else(|| number.to_u128().and_then(|number| number.try_into().ok()))
}

pub(super) fn kind_of(value: &Value) -> &'static str {
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
pub(super) fn is_date(dict: &Dict) -> bool {
    dict.keys().any(|key| key.starts_with("$__toml"))
}
