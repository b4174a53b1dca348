//! Who the client is to the server.

use std::{fmt, path::PathBuf};

use async_nats::ConnectOptions;
use invalidation_core::{Error, ErrorKind};

use crate::error::{error, invalid};

/// How a client proves who it is.
#[derive(Clone)]
pub(crate) enum Credentials {
    User {
        user: String,
        password: String,
    },
    Token(String),
    /// The seed of an nkey, which signs what the server asks.
    Nkey(String),
    /// A file with a user's JWT and the seed to it.
    File(PathBuf),
}

impl Credentials {
    /// The seed of a user's nkey.
    pub(super) fn nkey(seed: &str) -> Result<Self, Error> {
        match nkeys::KeyPair::from_seed(seed.trim()) {
            Ok(_) => Ok(Self::Nkey(seed.trim().to_owned())),
            // Its text is not repeated.
            Err(_) => Err(invalid(
                "the nkey seed cannot be used: give that of a user, which begins with SU",
            )),
        }
    }

    /// These, for one connection. A file is read each time, so that it may be renewed.
    pub(super) async fn apply(
        &self,
        options: ConnectOptions,
        operation: &'static str,
    ) -> Result<ConnectOptions, Error> {
        Ok(match self {
            Self::User { user, password } => {
                options.user_and_password(user.clone(), password.clone())
            }
            Self::Token(token) => options.token(token.clone()),
            Self::Nkey(seed) => options.nkey(seed.clone()),
            Self::File(path) => options.credentials_file(path).await.map_err(|source| {
                // What is wrong within the file is not repeated: it is all secret.
                error(
                    ErrorKind::Invalid,
                    operation,
                    format!(
                        "the credentials file {} cannot be used ({}): it holds a user's JWT and nkey seed, as `nsc generate \
                         creds` writes them",
                        path.display(),
                        source.kind(),
                    ),
                )
            })?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User { .. } => "User",
            Self::Token(_) => "Token",
            Self::Nkey(_) => "Nkey",
            Self::File(_) => "File",
        })
    }
}
