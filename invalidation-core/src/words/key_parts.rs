//! Keys of several parts as one text: parts joined by `:`, with `\` and `:` inside a part written `\\` and
//! `\:`. Parts may be empty, and may be such texts themselves.

use std::borrow::Cow;

/// The text of these parts.
pub fn join<const N: usize>(parts: [Cow<'_, str>; N]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            text.push(':');
        }
        let mut rest = &**part;
        while let Some(at) = rest.find([':', '\\']) {
            text.push_str(&rest[..at]);
            text.push('\\');
            text.push_str(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
    }
    text
}

/// The parts of which [`join`] makes `text`; `None` when it is not made of `N` parts.
pub fn split<const N: usize>(text: &str) -> Option<[Cow<'_, str>; N]> {
    let mut parts = [const { Cow::Borrowed("") }; N];
    let mut rest = Some(text);
    for part in &mut parts {
        let (first, behind) = first_part(rest?)?;
        *part = first;
        rest = behind;
    }
    rest.is_none().then_some(parts)
}

/// The first part, unescaped, and the text behind its `:`; `None` when a `\` escapes nothing.
fn first_part(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut part = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let Some(at) = rest.find([':', '\\']) else {
            append(&mut part, rest);
            return Some((part, None));
        };
        let (plain, behind) = (&rest[..at], &rest[at + 1..]);
        append(&mut part, plain);
        if rest.as_bytes()[at] == b':' {
            return Some((part, Some(behind)));
        }
        if !behind.starts_with([':', '\\']) {
            return None;
        }
        append(&mut part, &behind[..1]);
        rest = &behind[1..];
    }
}

fn append<'a>(part: &mut Cow<'a, str>, more: &'a str) {
    if part.is_empty() {
        *part = Cow::Borrowed(more);
    } else if !more.is_empty() {
        part.to_mut().push_str(more);
    }
}
