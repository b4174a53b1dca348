//! What proves who the node is: from files and variables, never from the text of the configuration.

use super::{
    secret::Secret,
    sources,
    table::{Provenance, Table},
};

/// A credential in a table: `password`, or `password_file`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credential {
    key: &'static str,
    file_key: &'static str,
    /// With its article.
    what: &'static str,
}

pub(super) const PASSWORD: Credential = Credential {
    key: "password",
    file_key: "password_file",
    what: "a password",
};

pub(super) const SENTINEL_PASSWORD: Credential = Credential {
    key: "sentinel_password",
    file_key: "sentinel_password_file",
    what: "a password",
};

pub(super) const TOKEN: Credential = Credential {
    key: "token",
    file_key: "token_file",
    what: "a token",
};

pub(super) const NKEY_SEED: Credential = Credential {
    key: "nkey_seed",
    file_key: "nkey_seed_file",
    what: "the seed of an nkey",
};

impl Credential {
    /// From a variable or a file, never from the text of the configuration, which is copied, committed and shown.
    pub(super) fn read(self, table: &Table<'_>) -> Option<Secret> {
        let Self {
            key,
            file_key,
            what,
        } = self;
        if table.has(key) && table.has(file_key) {
            table.refuse(
                file_key,
                format!("{key} is given too: take one of them out"),
            );
            return None;
        }
        if table.provenance(key) == Some(Provenance::Text) {
            table.refuse(
                key,
                format!(
                    "{what} does not stand in the configuration itself: name a file in {file_key}, or set the \
                     variable {}",
                    sources::variable(&table.path_of(key))
                ),
            );
            return None;
        }
        if table.has(key) {
            let text = table.text(key)?;
            let secret = Secret::new(text);
            if secret.is_none() {
                table.refuse(key, "is empty: set it, or take it out");
            }
            return secret;
        }
        if !table.has(file_key) {
            return None;
        }
        table.parsed(file_key, |path| Secret::read(path.as_ref()))
    }
}

/// What to do with a URL that holds a password, which belongs in `table`.
pub(super) fn belongs_apart(table: &Table<'_>) -> String {
    let password = table.path_of(PASSWORD.key);
    format!(
        "a password does not stand in the configuration itself: take it out, and name a file in {}_file, or set the \
         variable {}",
        password.join("."),
        sources::variable(&password)
    )
}

/// Behind the user's name, or among the driver's options.
pub(super) fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
    let user = address.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || options.contains("password=")
}
