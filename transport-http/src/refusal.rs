//! Why a request is refused: a status, and the `reason` of a counter (`P18`, `P19`).

use http::StatusCode;

/// Why a request was refused. None of these changes any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a `POST`.
    Method,
    /// No such path.
    Path,
    /// Larger than the body cap; refused before it is hashed.
    Oversized,
    /// The body did not arrive in time.
    Slow,
    /// The connection ended, or the body is shorter than it says.
    Truncated,
    /// Not a body of this protocol.
    Malformed,
    /// A format that this version does not know.
    UnknownVersion,
    /// Signed for another cluster.
    OtherCluster,
    /// Signed with a key that is not live here.
    UnknownKey,
    /// The signature is wrong.
    Forged,
    /// For another node, or an earlier run of this one.
    WrongRecipient,
    /// A session that was not handed out, belongs to somebody else, or was forgotten.
    UnknownSession,
    /// A counter that was seen, or is too old to tell.
    Replayed,
    /// Nobody listens here.
    NotSubscribed,
    /// Too many requests that are not yet verified.
    Busy,
    /// Not started yet, or closed.
    NotServing,
}

impl Refusal {
    /// The status it is answered with; distinct for each reason a peer can do something about.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Oversized => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Truncated => StatusCode::BAD_REQUEST,
            Self::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownVersion => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OtherCluster => StatusCode::FAILED_DEPENDENCY,
            Self::UnknownKey => StatusCode::UNAUTHORIZED,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::WrongRecipient => StatusCode::MISDIRECTED_REQUEST,
            Self::UnknownSession => StatusCode::GONE,
            Self::Replayed => StatusCode::CONFLICT,
            Self::NotSubscribed | Self::Busy | Self::NotServing => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The label in metrics, and the text of the answer.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Path => "path",
            Self::Oversized => "oversized",
            Self::Slow => "slow",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::UnknownVersion => "unknown_version",
            Self::OtherCluster => "other_cluster",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::WrongRecipient => "wrong_recipient",
            Self::UnknownSession => "unknown_session",
            Self::Replayed => "replayed",
            Self::NotSubscribed => "not_subscribed",
            Self::Busy => "busy",
            Self::NotServing => "not_serving",
        }
    }
}
