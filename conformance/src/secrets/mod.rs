//! What must not be shown: looking for credentials in all that a backend says.

mod capture;
mod lines;

use std::fmt::Write as _;

use invalidation_core::Error;

use crate::Unable;
pub(crate) use capture::{install, watch};

/// What stands where a secret stood.
const HIDDEN: &str = "<the secret>";

/// A harness's secrets, in each form in which a text may show one.
#[derive(Debug, Clone)]
pub(crate) struct Secrets(Vec<Vec<String>>);

impl Secrets {
    /// [`Unable`] when there are none.
    ///
    /// # Panics
    /// When one is empty, since each text shows that.
    pub(crate) fn new(texts: &[String]) -> Result<Self, Unable> {
        if texts.is_empty() {
            return Err(Unable::because("the backend has no secrets"));
        }
        assert!(
            texts.iter().all(|text| !text.is_empty()),
            "the harness says that an empty text is a secret"
        );
        Ok(Self(texts.iter().map(|text| forms(text)).collect()))
    }

    /// The lines of `text` that show one, each without it.
    pub(crate) fn lines_of(&self, text: &str) -> Vec<String> {
        let forms = || self.0.iter().flatten();
        if !forms().any(|form| text.contains(form)) {
            return Vec::new();
        }
        // In the whole text, since a key has line breaks of its own.
        let hidden = forms().fold(text.to_owned(), |text, form| text.replace(form, HIDDEN));
        let lines = hidden.lines().filter(|line| line.contains(HIDDEN));
        lines.map(ToOwned::to_owned).collect()
    }

    /// Panics when `text`, which is what `place` is called, shows one.
    pub(crate) fn assert_absent(&self, place: &str, text: &str) {
        self.assert_none(place, &self.lines_of(text));
    }

    /// Panics when there are such lines.
    pub(crate) fn assert_none(&self, place: &str, lines: &[String]) {
        assert!(
            lines.is_empty(),
            "expected no secret in any {place}, and one stands in:\n{}",
            lines.join("\n")
        );
    }
}

/// As it is; as `Debug` shows a text, and its bytes; as it stands in a URL. The longer ones first, since they may
/// hold the others.
fn forms(secret: &str) -> Vec<String> {
    let bytes = format!("{:?}", secret.as_bytes());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let in_url = secret.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    });
    let mut forms = vec![
        bytes.trim_matches(['[', ']']).to_owned(),
        in_url,
        secret.escape_debug().to_string(),
        secret.to_owned(),
    ];
    forms.dedup();
    forms
}

/// Adds an error as people and log lines show it, with all its causes.
pub(crate) fn describe(shown: &mut String, error: &Error) {
    let _ = writeln!(shown, "{error}\n{error:?}\n{error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = writeln!(shown, "{cause}\n{cause:?}");
        source = cause.source();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Secrets {
        Secrets::new(&[text.to_owned()]).expect("there is one")
    }

    /// A secret is found in each form in which it may be printed, and not repeated.
    #[test]
    fn each_form_of_a_secret_is_found() {
        let secret = "p@ss \"wörd\"";
        let secrets = secrets(secret);
        for shown in [
            format!("at {secret}"),
            format!("at {secret:?}"),
            format!("at {:?}", secret.as_bytes()),
            "at redis://me:p%40ss%20%22w%C3%B6rd%22@host".to_owned(),
        ] {
            let lines = secrets.lines_of(&format!("harmless\n{shown}\nharmless"));
            assert_eq!(lines.len(), 1, "{shown}");
            assert!(lines[0].contains("<the secret>"), "{lines:?}");
            assert!(!lines[0].contains("rd"), "{lines:?}");
        }
        assert!(secrets.lines_of("p@ss word").is_empty());
    }

    /// A key of several lines is found whole.
    #[test]
    fn a_secret_of_several_lines_is_found() {
        let secrets = secrets("-----BEGIN KEY-----\nabc\n-----END KEY-----");
        let lines = secrets.lines_of("key:\n-----BEGIN KEY-----\nabc\n-----END KEY-----\nend");
        assert_eq!(lines, ["<the secret>"]);
    }

    /// A harness without secrets is told apart from one whose secrets are never shown.
    #[test]
    fn no_secrets_are_nothing_to_look_for() {
        assert!(Secrets::new(&[]).is_err());
    }
}
