//! Where the servers of a broker are, and who the node is to them: what Redis, NATS and etcd have in common.

use std::path::PathBuf;

use super::{
    backend::Backend,
    credential::{self, PASSWORD},
    secret::Secret,
    table::{Provenance, Table},
};

/// Where the servers of a broker are, and who the node is to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerServers {
    /// The scheme and the hosts.
    pub url: Secret,
    /// The user, if it does not stand in the URL.
    pub user: Option<String>,
    /// The password, if it does not stand in the URL.
    pub password: Option<Secret>,
    /// The only certificate authorities to trust, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown to the servers, and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// What `insecure_tls = true` allows; `None` where the link is verified or stays on this host.
    pub insecure_tls: Option<Unverified>,
}

/// Why nobody can know that a server is the one that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unverified {
    /// The link to another host is not encrypted.
    PlainText,
    /// It is encrypted, and whatever certificate is shown is believed.
    AnyCertificate,
}

/// What each broker says in its own words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) backend: Backend,
    /// How its URL is written.
    pub(super) form: &'static str,
    /// With what one begins whose link is verified.
    pub(super) verified: &'static str,
    /// Schemes of TLS, the first of a longer one included.
    pub(super) encrypted: &'static [&'static str],
    /// Whether the name alone before an `@` is a secret.
    pub(super) lone_name_is_secret: bool,
    /// Whether all hosts of a URL are this one; else what is wrong with it.
    pub(super) is_local: fn(&str) -> Result<bool, String>,
    /// Keys that say where the servers are, beside the URL.
    pub(super) keys: &'static [&'static str],
}

impl Words {
    fn is_encrypted(&self, url: &str) -> bool {
        self.encrypted.iter().any(|scheme| url.starts_with(scheme))
    }

    fn holds_secret(&self, url: &str) -> bool {
        credential::holds_password(url) || self.lone_name_is_secret && url.contains('@')
    }
}

/// The URL stands in `at`, and the rest in `table`.
pub(super) fn parse(words: &Words, at: &Table<'_>, table: &Table<'_>) -> Option<BrokerServers> {
    let password = PASSWORD.read(table);
    let ca_file = file(table, "ca_file");
    let client_certificate = client_certificate(table);
    let user = table.text("user").map(Into::into);
    let url = at.text("url")?;
    if words.holds_secret(url) && at.provenance("url") == Some(Provenance::Text) {
        at.refuse("url", credential::belongs_apart(table));
        return None;
    }
    let encrypted = words.is_encrypted(url);
    if !encrypted {
        for key in ["ca_file", "client_certificate", "server_name"] {
            if words.keys.contains(&key) && table.has(key) {
                table.refuse(
                    key,
                    format!(
                        "is for TLS, and the url does not ask for it: write `{}`",
                        words.verified
                    ),
                );
            }
        }
    }
    let insecure_tls = guard(words, url, encrypted, at, table)?;
    Some(BrokerServers {
        url: Secret::new(url)?,
        user,
        password,
        ca_file,
        client_certificate,
        insecure_tls,
    })
}

/// The servers of a transport, which are `own`, or those of the log.
pub(super) fn own_or_of_log<S: Clone>(
    words: &Words,
    table: &Table<'_>,
    own: impl FnOnce() -> Option<S>,
    // `None` where what is wrong with it was said; `Some(None)` for another log.
    of_log: Option<Option<&S>>,
) -> Option<S> {
    if table.has("url") {
        return own();
    }
    let Some(servers) = of_log? else {
        let (name, form) = (words.backend.name(), words.form);
        table.missing("url", &format!("the log is not on {name}: write `{form}`"));
        return None;
    };
    for key in words.keys {
        if table.has(key) {
            let log = words.backend.key();
            table.refuse(
                key,
                format!("is for a url of the transport's own: that of the log has log.{log}.{key}"),
            );
        }
    }
    Some(servers.clone())
}

/// What is not verified, if that is allowed.
#[expect(clippy::option_option, reason = "refused, or nothing to allow")]
fn guard(
    words: &Words,
    url: &str,
    encrypted: bool,
    at: &Table<'_>,
    table: &Table<'_>,
) -> Option<Option<Unverified>> {
    const KEY: &str = "insecure_tls";
    let insecure = table.flag(KEY).unwrap_or(false);
    let is_local = (words.is_local)(url)
        .map_err(|why| at.refuse("url", why))
        .ok()?;
    match (encrypted, insecure) {
        (true, true) if table.has("ca_file") => {
            table.refuse(
                "ca_file",
                "says whom to believe, and insecure_tls believes everybody: take one of them out",
            );
            None
        }
        (true, true) => Some(Some(Unverified::AnyCertificate)),
        (true, false) => Some(None),
        (false, _) if is_local => Some(None),
        (false, true) => Some(Some(Unverified::PlainText)),
        (false, false) => {
            let path = table.path_of(KEY).join(".");
            let authority = table.path_of("ca_file").join(".");
            at.refuse(
                "url",
                format!(
                    "the link is plain text and goes to another host, so that nobody checks that the server is the one \
                     that is meant: use {} ({authority} names the file of a certificate authority of your own), or \
                     write `{path} = true`",
                    words.verified
                ),
            );
            None
        }
    }
}

fn client_certificate(table: &Table<'_>) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = ("client_certificate", "client_key");
    for (given, other) in [(certificate, key), (key, certificate)] {
        if table.has(given) && !table.has(other) {
            table.missing(other, &format!("{given} is given, and needs it"));
        }
    }
    Some((file(table, certificate)?, file(table, key)?))
}

/// A file that is there, and can be read.
pub(super) fn file(table: &Table<'_>, key: &str) -> Option<PathBuf> {
    if !table.has(key) {
        return None;
    }
    table.parsed(key, |path| {
        if path.is_empty() {
            return Err("names no file".into());
        }
        match std::fs::File::open(path) {
            Ok(_) => Ok(path.into()),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    })
}
