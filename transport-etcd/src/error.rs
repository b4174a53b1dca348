//! From the driver's errors to the one error of the interfaces.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use etcd_client::Error as ClientError;
use invalidation_core::{Error, ErrorKind, Retry};
use tonic::{Code, Status};

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "etcd";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// The same error once more, for another caller.
pub(crate) fn duplicate(original: &Error) -> Error {
    let copy = Error::new(
        original.kind,
        original.backend,
        original.operation,
        original.message.clone(),
    )
    .with_retry(original.retry);
    match &original.source {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}

/// The call was not answered in time.
pub(crate) fn timed_out(operation: &'static str, limit: Duration) -> Error {
    error(
        ErrorKind::TimedOut,
        operation,
        format!(
            "no member of the cluster answered within {limit:?}: check the network and its load"
        ),
    )
}

/// Who was asked is closed.
pub(crate) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "it was closed: build another one",
    )
}

/// What went wrong, as the server says it or as the link shows it.
///
/// The server's own: <https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/api/v3rpc/rpctypes/error.go>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The space quota is used up: the cluster refuses to write.
    NoSpace,
    /// The member knows no leader: the cluster has no quorum, or elects just now.
    NoLeader,
    /// The history before the asked revision was compacted away.
    Compacted,
    /// The asked revision is above the store's: it was restored from an older state, or the member lags.
    FutureRevision,
    /// The token has expired, or the server forgot it.
    TokenExpired,
    /// User or password are wrong, or none were given where they are wanted.
    Unauthenticated,
    /// The user lacks the right to these keys.
    PermissionDenied,
    /// Credentials were given, and the cluster asks for none.
    AuthNotEnabled,
    /// The request is above the server's limit.
    TooLarge,
    /// The server is overloaded, stopping, or without quorum in time.
    Unable,
    /// It has the credentials or names that a request may not have.
    Refused,
    /// No TLS came about.
    Tls,
    /// The certificates, ours or the server's, are not accepted.
    Certificate,
    /// The link was lost, or never made.
    Link,
    /// Something else on this side.
    Other,
}

impl Failure {
    /// What this error says.
    pub(crate) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::GRpcStatus(status) => Self::of_status(status),
            ClientError::TransportError(error) => Self::of_link(error),
            ClientError::IoError(_) | ClientError::WatchError(_) => Self::Link,
            _ => Self::Other,
        }
    }

    /// What the reason says with which the server ended a watch.
    pub(crate) fn of_reason(reason: &str) -> Option<Self> {
        let (_, told) = reason.split_once("etcdserver: ")?;
        Some(match told {
            "mvcc: database space exceeded" => Self::NoSpace,
            "no leader" => Self::NoLeader,
            "mvcc: required revision has been compacted" => Self::Compacted,
            "mvcc: required revision is a future revision" => Self::FutureRevision,
            "invalid auth token" | "revision of auth store is old" => Self::TokenExpired,
            "authentication failed, invalid user ID or password"
            | "user name is empty"
            | "user name not found" => Self::Unauthenticated,
            "permission denied" => Self::PermissionDenied,
            "authentication is not enabled" => Self::AuthNotEnabled,
            "request is too large" => Self::TooLarge,
            _ => return None,
        })
    }

    fn of_status(status: &Status) -> Self {
        if let Some(known) = Self::of_reason(status.message()) {
            return known;
        }
        let is_told = ["etcdserver: ", "grpc: "]
            .iter()
            .any(|who| status.message().starts_with(who));
        match status.code() {
            Code::Unauthenticated => Self::TokenExpired,
            Code::PermissionDenied => Self::PermissionDenied,
            // "grpc: received message larger than max": before the server's own limit.
            Code::ResourceExhausted | Code::OutOfRange if status.message().contains("larger") => {
                Self::TooLarge
            }
            Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded if is_told => {
                Self::Unable
            }
            _ if is_told => Self::Refused,
            _ => Self::of_link(status),
        }
    }

    fn of_link(error: &(dyn StdError + 'static)) -> Self {
        for cause in causes(error) {
            if let Some(tls) = rustls_error(cause) {
                return match tls {
                    rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_) => {
                        Self::Certificate
                    }
                    _ => Self::Tls,
                };
            }
            // hyper's HTTP/2 keeps the text alone of what the link said.
            if cause.to_string().contains("received fatal alert") {
                return Self::Certificate;
            }
        }
        Self::Link
    }

    /// Whether the connection it came over is of no more use, or not to this one.
    pub(crate) fn breaks_session(self) -> bool {
        match self {
            Self::NoLeader
            | Self::TokenExpired
            | Self::Unauthenticated
            | Self::Unable
            | Self::Tls
            | Self::Certificate
            | Self::Link
            | Self::Other => true,
            Self::NoSpace
            | Self::Compacted
            | Self::FutureRevision
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::TooLarge
            | Self::Refused => false,
        }
    }

    fn meaning(self) -> (ErrorKind, Retry, &'static str) {
        use ErrorKind::{Denied, Incompatible, Invalid, ReadOnly, TooLarge, Unavailable};
        use Retry::{Permanent, Temporary};
        match self {
            Self::NoSpace => (
                ReadOnly,
                Temporary,
                "compact and defragment the cluster, disarm its NOSPACE alarm, and set auto-compaction \
                 (--auto-compaction-retention) or a larger --quota-backend-bytes",
            ),
            Self::NoLeader => (
                Unavailable,
                Temporary,
                "the cluster has no leader: check that a majority of its members runs and reach each other",
            ),
            Self::Compacted => (
                Unavailable,
                Temporary,
                "the history that was asked for was compacted: begin anew from the present",
            ),
            Self::FutureRevision => (
                Unavailable,
                Temporary,
                "the store is older than what was read of it: it was restored from a backup",
            ),
            Self::TokenExpired => (
                Unavailable,
                Temporary,
                "the token has expired, or its member was restarted: the next call logs in again",
            ),
            Self::Unauthenticated => (Denied, Permanent, "check the user and the password"),
            Self::PermissionDenied => (
                Denied,
                Permanent,
                "grant the user's role the right to read and write the cluster's prefix (etcdctl role grant-permission \
                 ROLE --prefix readwrite PREFIX)",
            ),
            Self::AuthNotEnabled => (
                Invalid,
                Permanent,
                "the cluster asks for no credentials: enable authentication, or give none",
            ),
            Self::TooLarge => (
                TooLarge,
                Permanent,
                "the server takes no request of that size: raise its --max-request-bytes",
            ),
            Self::Unable => (
                Unavailable,
                Temporary,
                "the server could not do it now: check its load and the cluster's health",
            ),
            Self::Refused => (
                Incompatible,
                Permanent,
                "the server did not accept the request: is it etcd 3.4 or later?",
            ),
            Self::Tls => (
                Unavailable,
                Permanent,
                "no TLS with the server: does it speak TLS (etcds://) or not (etcd://)?",
            ),
            Self::Certificate => (
                Denied,
                Permanent,
                "a certificate is not accepted: check the CA file, the server's name and the client's certificate",
            ),
            Self::Link => (
                Unavailable,
                Temporary,
                "no link to the server: check its address, that it runs, and whether it wants TLS (etcds://)",
            ),
            Self::Other => (ErrorKind::Other, Permanent, "unexpected"),
        }
    }
}

/// What the driver's error means here, and what to do about it.
pub(crate) fn from_client(operation: &'static str, source: ClientError) -> Error {
    let told: Cow<'static, str> = match &source {
        ClientError::GRpcStatus(status) => text(status, status.message()).into(),
        ClientError::TransportError(error) => text(error, &error.to_string()).into(),
        other => other.to_string().into(),
    };
    let failure = Failure::of(&source);
    from_failure(operation, failure, &told).with_source(source)
}

/// What a failure means here, of which `told` is known.
pub(crate) fn from_failure(operation: &'static str, failure: Failure, told: &str) -> Error {
    let (kind, retry, advice) = failure.meaning();
    error(kind, operation, format!("{told}: {advice}")).with_retry(retry)
}

/// The message, or where that says nothing, the innermost cause.
fn text(error: &(dyn StdError + 'static), message: &str) -> String {
    let says_nothing = message.is_empty() || message == "transport error";
    match causes(error).last() {
        Some(innermost) if says_nothing => innermost.to_string(),
        _ => message.to_owned(),
    }
}

/// The error and what caused it, outermost first.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        (*error).source()
    })
}

fn rustls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = cause.downcast_ref() {
        return Some(tls);
    }
    cause
        .downcast_ref::<std::io::Error>()?
        .get_ref()?
        .downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the server's refusals is known by name, by the status of a call and by the reason of a watch's end.
    #[test]
    fn the_server_is_understood() {
        for (code, message, failure, kind) in [
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Failure::NoSpace,
                ErrorKind::ReadOnly,
            ),
            (
                Code::Unavailable,
                "etcdserver: no leader",
                Failure::NoLeader,
                ErrorKind::Unavailable,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Failure::Compacted,
                ErrorKind::Unavailable,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Failure::FutureRevision,
                ErrorKind::Unavailable,
            ),
            (
                Code::Unauthenticated,
                "etcdserver: invalid auth token",
                Failure::TokenExpired,
                ErrorKind::Unavailable,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                Failure::Unauthenticated,
                ErrorKind::Denied,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: user name is empty",
                Failure::Unauthenticated,
                ErrorKind::Denied,
            ),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                Failure::PermissionDenied,
                ErrorKind::Denied,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: request is too large",
                Failure::TooLarge,
                ErrorKind::TooLarge,
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (3000000 vs. 2097152)",
                Failure::TooLarge,
                ErrorKind::TooLarge,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: too many requests",
                Failure::Unable,
                ErrorKind::Unavailable,
            ),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                Failure::Unable,
                ErrorKind::Unavailable,
            ),
            (
                Code::Unavailable,
                "tcp connect error",
                Failure::Link,
                ErrorKind::Unavailable,
            ),
        ] {
            let status = Status::new(code, message);
            assert_eq!(Failure::of_status(&status), failure, "{message}");
            let error = from_client("put", ClientError::GRpcStatus(status));
            assert_eq!(error.kind, kind, "{error}");
        }
        let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(Failure::of_reason(reason), Some(Failure::PermissionDenied));
    }
}
