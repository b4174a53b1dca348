//! What somebody may have meant.

use super::schema;

/// The known word that is nearest to `word`, when it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// What to say of a key that the table at `path` does not have.
pub(super) fn unknown_key(key: &str, path: &str, known: &[&str]) -> String {
    let table = if path.is_empty() {
        "at the top".to_owned()
    } else {
        format!("in [{path}]")
    };
    if let Some(nearest) = nearest(key, known.iter().copied()) {
        return format!("unknown key {table}: did you mean `{nearest}`?");
    }
    if let Some(home) = schema::home(key) {
        return format!("unknown key {table}: `{key}` belongs in [{home}]");
    }
    format!("unknown key {table}: it takes {}", list(known))
}

/// `` `a`, `b` or `c` ``.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!(
            "{} or `{last}`",
            first
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
