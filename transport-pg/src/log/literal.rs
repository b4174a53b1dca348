//! Values within the text of a statement, for the simple protocol.

/// A text as a literal, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// `sql` with its parameters `$1`, `$2` … written in place. It must hold `$` for nothing else.
pub(crate) fn inline(sql: &str, parameters: &[Option<&str>]) -> String {
    let mut parts = sql.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        match number.checked_sub(1).and_then(|at| parameters.get(at)) {
            Some(Some(value)) => out.push_str(&literal(value)),
            Some(None) => out.push_str("NULL"),
            None => debug_assert!(false, "no parameter ${number}"),
        }
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither a quote nor a backslash ends a literal.
    #[test]
    fn literals_hold_any_text() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'; DROP"), r"E'\\''; DROP'");
    }

    /// Parameters are told by their whole number.
    #[test]
    fn parameters_are_written_in_place() {
        let values: Vec<String> = (1..=11).map(|n| n.to_string()).collect();
        let values: Vec<_> = values.iter().map(|n| Some(n.as_str())).collect();
        assert_eq!(inline("$1, $11::text", &values), "'1', '11'::text");
        assert_eq!(inline("a $1", &[None]), "a NULL");
    }
}
