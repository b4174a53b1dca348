//! What may be said of the servers, before it is checked.

use std::path::PathBuf;

use invalidation_core::Error;

use super::{Server, address::Url, credentials::Credentials, tls::Tls};
use crate::error::invalid;

/// What a builder was told of the servers.
#[derive(Clone, Default)]
pub(crate) struct Draft {
    url: Option<String>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    nkey: Option<String>,
    file: Option<PathBuf>,
    tls: Tls,
}

impl Draft {
    pub(crate) fn url(&mut self, url: &str) {
        self.url = Some(url.to_owned());
    }

    pub(crate) fn user(&mut self, user: &str) {
        self.user = Some(user.to_owned());
    }

    pub(crate) fn password(&mut self, password: &str) {
        self.password = Some(password.to_owned());
    }

    pub(crate) fn token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    pub(crate) fn nkey(&mut self, seed: &str) {
        self.nkey = Some(seed.to_owned());
    }

    pub(crate) fn credentials_file(&mut self, path: PathBuf) {
        self.file = Some(path);
    }

    pub(crate) fn ca_file(&mut self, path: PathBuf) {
        self.tls.ca_file = Some(path);
    }

    pub(crate) fn client_certificate(&mut self, chain: PathBuf, key: PathBuf) {
        self.tls.client = Some((chain, key));
    }

    pub(crate) fn insecure_tls(&mut self) {
        self.tls.insecure = true;
    }

    /// The servers, if all that was said fits together.
    pub(crate) fn checked(self) -> Result<Server, Error> {
        let url = self
            .url
            .ok_or_else(|| invalid("there is no server: set its URL, nats://HOST:PORT"))?;
        let url = Url::parse(&url)?;
        let (from_url, mut user) = match url.credentials {
            Some(Credentials::User { user, password }) => {
                if self.user.is_some() || self.password.is_some() {
                    return Err(invalid(TWICE));
                }
                (None, Some((user, password)))
            }
            // A user whose password is given apart looks like a token.
            Some(Credentials::Token(user)) if self.password.is_some() && self.user.is_none() => {
                (None, self.password.clone().map(|password| (user, password)))
            }
            other => (other, None),
        };
        if user.is_none() {
            user = match (self.user, self.password) {
                (Some(user), Some(password)) => Some((user, password)),
                (Some(_), None) => return Err(invalid("a user was given without a password")),
                (None, Some(_)) => return Err(invalid("a password was given without a user")),
                (None, None) => None,
            };
        }
        let nkey = self.nkey.as_deref().map(Credentials::nkey).transpose()?;
        let mut given = [
            from_url,
            user.map(|(user, password)| Credentials::User { user, password }),
            self.token.map(Credentials::Token),
            nkey,
            self.file.map(Credentials::File),
        ]
        .into_iter()
        .flatten();
        let credentials = given.next();
        if given.next().is_some() {
            return Err(invalid(TWICE));
        }
        Ok(Server {
            servers: url.servers,
            // Who says what to trust wants it.
            requires_tls: url.tls || self.tls.is_wanted(),
            tls: self.tls,
            credentials,
        })
    }
}

const TWICE: &str = "credentials were given twice: say either a user and password, or a token, or an nkey seed, or a \
                     credentials file, in the URL or apart";

/// The setters of both builders, which have a field `server` of the type [`Draft`].
macro_rules! server_setters {
    () => {
        /// The servers, `nats://HOST:PORT,HOST:PORT`: those of one NATS cluster, any of which will do. With `tls://` the
        /// link is encrypted and the certificate checked. `USER:PASSWORD@` or `TOKEN@` before the first host holds for
        /// all, with special characters percent-encoded; a password may also be given [apart](Self::password).
        pub fn url(mut self, url: &str) -> Self {
            self.server.url(url);
            self
        }

        /// The user, where the URL does not name it.
        pub fn user(mut self, user: &str) -> Self {
            self.server.user(user);
            self
        }

        /// The user's password, where the URL does not hold it.
        pub fn password(mut self, password: &str) -> Self {
            self.server.password(password);
            self
        }

        /// The token, where the URL does not hold it.
        pub fn token(mut self, token: &str) -> Self {
            self.server.token(token);
            self
        }

        /// The seed of the user's nkey, which never leaves this process: it signs what the server asks.
        pub fn nkey_seed(mut self, seed: &str) -> Self {
            self.server.nkey(seed);
            self
        }

        /// A file with the user's JWT and nkey seed, as `nsc` makes it. It is read at each connect.
        pub fn credentials_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.server.credentials_file(path.into());
            self
        }

        /// The certificate authorities to trust instead of the system's, as PEM. The link is then encrypted, whatever the
        /// URL says.
        pub fn ca_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.server.ca_file(path.into());
            self
        }

        /// The certificate chain by which the server knows this client, and its key, as PEM. The link is then encrypted,
        /// whatever the URL says.
        pub fn client_certificate(
            mut self,
            chain: impl Into<std::path::PathBuf>,
            key: impl Into<std::path::PathBuf>,
        ) -> Self {
            self.server.client_certificate(chain.into(), key.into());
            self
        }

        /// Takes any certificate of the server. **Whoever stands in between can read all, and be the server.** The link is
        /// encrypted, whatever the URL says.
        pub fn insecure_tls(mut self) -> Self {
            self.server.insecure_tls();
            self
        }
    };
}
pub(crate) use server_setters;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn at(url: &str) -> Draft {
        let mut draft = Draft::default();
        draft.url(url);
        draft
    }

    /// Whoever says who they are in two ways is asked which one holds.
    #[test]
    fn credentials_are_given_once() {
        let mut draft = at("nats://app@a");
        draft.password("hunter2");
        let server = draft.checked().unwrap();
        assert!(
            matches!(server.credentials, Some(Credentials::User { user, password })
            if user == "app" && password == "hunter2")
        );
        for change in [
            |draft: &mut Draft| draft.token("hunter2"),
            |draft: &mut Draft| draft.password("hunter2"),
            |draft: &mut Draft| draft.user("hunter2"),
            |draft: &mut Draft| draft.credentials_file("hunter2".into()),
            |draft: &mut Draft| draft.nkey("hunter2"),
        ] {
            let mut draft = at("nats://app:hunter2@a");
            change(&mut draft);
            let error = draft.checked().err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let mut alone = at("nats://a");
        alone.password("hunter2");
        assert!(alone.checked().is_err());
    }
}
