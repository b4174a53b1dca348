//! What a builder is told of the servers.

use std::{path::PathBuf, sync::Arc};

use super::{
    Inner, Servers,
    link::Credentials,
    place::{Arrangement, HOW, Place},
    tls::{self, Wishes},
};

/// What a builder is told of the servers, unchecked. No `Debug`: it holds credentials.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) url: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) insecure_tls: bool,
}

impl Access {
    /// Checks it, and reads the files of TLS. Else what to mend, without a credential.
    pub(crate) fn servers(self) -> Result<Servers, String> {
        let url = self
            .url
            .ok_or("there is no server: set its URL, redis://HOST:PORT")?;
        let place = Place::parse(&url).ok_or_else(|| format!("the URL cannot be used: {HOW}"))?;
        let wishes = Wishes {
            ca_file: self.ca_file,
            client: self.client_certificate,
            insecure: self.insecure_tls,
        };
        let asks_for_tls = wishes.ca_file.is_some() || wishes.client.is_some() || wishes.insecure;
        if asks_for_tls && !place.tls {
            return Err(
                "TLS is set up, and the URL does not ask for it: write rediss://".to_owned(),
            );
        }
        let of_sentinel = self.sentinel_user.is_some() || self.sentinel_password.is_some();
        if of_sentinel && !matches!(place.arrangement, Arrangement::Sentinel { .. }) {
            return Err(
                "credentials of Sentinels are given, and the URL names none: write redis-sentinel://".to_owned(),
            );
        }
        let tls = match place.tls {
            true => Some(tls::connector(&wishes)?),
            false => None,
        };
        let credentials = Credentials {
            user: self.user.or(place.user),
            password: self.password.or(place.password),
            database: place.database,
        };
        let sentinel = Credentials {
            user: self.sentinel_user,
            password: self.sentinel_password,
            database: 0,
        };
        for who in [&credentials, &sentinel] {
            if who.user.is_some() && who.password.is_none() {
                return Err("a user is given, and no password".to_owned());
            }
        }
        Ok(Servers {
            inner: Arc::new(Inner {
                arrangement: place.arrangement,
                tls,
                credentials,
                sentinel,
            }),
        })
    }
}

/// The setters of a builder that has its [`Access`] in a field of that name.
macro_rules! reaches_servers {
    ($builder:ty) => {
        impl $builder {
            /// The servers, by one of
            ///
            /// - `redis://USER:PASSWORD@HOST:PORT/DB`, the primary,
            /// - `redis-sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE`, whom these Sentinels say to be the primary
            ///   of that name; `/SERVICE/DB` for another database than 0,
            /// - `redis-cluster://USER:PASSWORD@HOST:PORT,HOST:PORT`, some nodes of a cluster.
            ///
            /// With `rediss` in place of `redis` by TLS; `valkey` and `valkeys` serve as well. User, password, port and
            /// database may be left out, and special characters of the first two are percent-encoded.
            pub fn url(mut self, url: &str) -> Self {
                self.access.url = Some(url.to_owned());
                self
            }

            /// The ACL user, in place of one in the URL.
            pub fn user(mut self, user: &str) -> Self {
                self.access.user = Some(user.to_owned());
                self
            }

            /// The password, in place of one in the URL.
            pub fn password(mut self, password: &str) -> Self {
                self.access.password = Some(password.to_owned());
                self
            }

            /// The ACL user on the Sentinels themselves. Those of the URL are the Redis servers'.
            pub fn sentinel_user(mut self, user: &str) -> Self {
                self.access.sentinel_user = Some(user.to_owned());
                self
            }

            /// The password of the Sentinels themselves.
            pub fn sentinel_password(mut self, password: &str) -> Self {
                self.access.sentinel_password = Some(password.to_owned());
                self
            }

            /// A PEM file with the certificate authorities to believe, in place of the system's. It is read once.
            pub fn ca_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
                self.access.ca_file = Some(path.into());
                self
            }

            /// PEM files with a certificate of this client and its key, where the servers ask for one. They are read once.
            pub fn client_certificate(
                mut self,
                certificate: impl Into<std::path::PathBuf>,
                key: impl Into<std::path::PathBuf>,
            ) -> Self {
                self.access.client_certificate = Some((certificate.into(), key.into()));
                self
            }

            /// Believes any certificate: the link is encrypted, and whoever stands in between can be the server.
            pub fn insecure_tls(mut self) -> Self {
                self.access.insecure_tls = true;
                self
            }
        }
    };
}

pub(crate) use reaches_servers;
