//! From the driver's errors to the one error of the interfaces.

use std::{borrow::Cow, error::Error as StdError, io, time::Duration};

use async_nats::{
    ConnectError, ConnectErrorKind,
    rustls::{self, AlertDescription},
};
use invalidation_core::{Error, ErrorKind};

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "nats";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// A setting that cannot be.
pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    error(ErrorKind::Invalid, "build", message)
}

/// The same error once more, for another who waited for the same, and as that one's `operation`.
pub(crate) fn duplicate(original: &Error, operation: &'static str) -> Error {
    let copy = Error::new(
        original.kind,
        original.backend,
        operation,
        original.message.clone(),
    )
    .with_retry(original.retry);
    match &original.source {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}

pub(crate) fn timed_out(operation: &'static str, limit: Duration) -> Error {
    error(
        ErrorKind::TimedOut,
        operation,
        format!(
            "the server did not answer within {limit:?}: check the network and the server's load"
        ),
    )
}

/// Why no link could be opened. The driver's texts hold no credential, since it is given addresses without them.
pub(crate) fn from_connect(operation: &'static str, source: ConnectError) -> Error {
    let (kind, message): (_, Cow<'static, str>) = match source.kind() {
        ConnectErrorKind::AuthorizationViolation => (
            ErrorKind::Denied,
            "the server refused the credentials: check the user and password, token, nkey seed or credentials file, \
             and what the server's configuration expects"
                .into(),
        ),
        ConnectErrorKind::Authentication => (
            ErrorKind::Denied,
            "the server's challenge could not be signed: check the nkey seed or the credentials file, and that the \
             server asks for one"
                .into(),
        ),
        ConnectErrorKind::TimedOut => (
            ErrorKind::TimedOut,
            "the server did not answer in time: check its address and load".into(),
        ),
        ConnectErrorKind::ServerParse => (
            ErrorKind::Invalid,
            "the server's address cannot be used: write nats://HOST:PORT".into(),
        ),
        ConnectErrorKind::Dns => (
            ErrorKind::Unavailable,
            "the server's name is not known: check the URL and the name service".into(),
        ),
        _ => broken(&source),
    };
    error(kind, operation, message).with_source(source)
}

/// A connection that came to nothing: TLS, or what the server said last, or the network.
fn broken(source: &ConnectError) -> (ErrorKind, Cow<'static, str>) {
    let reason = root(source);
    if source.kind() == ConnectErrorKind::Tls || is_tls(source) {
        let message = format!(
            "no TLS with the server: {reason}: check its certificate, the CA file, the client certificate, and that the \
             server speaks TLS"
        );
        let kind = match is_alert(source) {
            true => ErrorKind::Denied,
            false => ErrorKind::Unavailable,
        };
        return (kind, message.into());
    }
    if refers_to_rights(&reason) {
        let message = format!("the server refused the client: {reason}: check its credentials");
        return (ErrorKind::Denied, message.into());
    }
    let message =
        format!("the server cannot be reached: {reason}: check its address and that it runs");
    (ErrorKind::Unavailable, message.into())
}

/// Whether what the server said is about who may do what:
/// <https://docs.nats.io/reference/reference-protocols/nats-protocol#ok-err>.
pub(crate) fn refers_to_rights(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    [
        "authorization",
        "authentication",
        "permissions",
        "revoked",
        "account",
    ]
    .iter()
    .any(|word| said.contains(word))
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    of_tls(error).is_some()
}

/// Whether the server, by TLS, refused the client's certificate or missed one.
fn is_alert(error: &(dyn StdError + 'static)) -> bool {
    matches!(
        of_tls(error),
        Some(rustls::Error::AlertReceived(
            AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        ))
    )
}

fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| {
        cause.downcast_ref().or_else(|| {
            let io: &io::Error = cause.downcast_ref()?;
            io.get_ref()?.downcast_ref()
        })
    })
}

/// The text of the innermost cause.
fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
