//! What JetStream's refusals mean, and what to do about them.
//! Codes: <https://github.com/nats-io/nats-server/blob/main/server/errors.json>.

use invalidation_core::{Error, ErrorKind, Retry};
use serde::Deserialize;

use super::place::Place;
use crate::error::error;

pub(super) const NO_MESSAGE: u32 = 10_037;
pub(super) const OTHER_CONFIG: u32 = 10_058;
pub(super) const NO_STREAM: u32 = 10_059;
pub(super) const SUBJECT_TAKEN: u32 = 10_065;
pub(super) const OTHER_CAME_FIRST: u32 = 10_071;

/// An error of the API.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Refusal {
    pub(super) const fn code(&self) -> u32 {
        self.err_code
    }

    pub(super) fn into_error(self, operation: &'static str, place: &Place) -> Error {
        let Self {
            err_code,
            description,
        } = self;
        let (kind, advice) = meaning(err_code, &description);
        let (stream, subject) = (&place.stream, &place.subject);
        let advice = advice.replace("STREAM", stream).replace("SUBJECT", subject);
        let told = error(
            kind,
            operation,
            format!("JetStream refused: {description} ({err_code}): {advice}"),
        );
        match err_code {
            NO_STREAM => told.with_retry(Retry::Temporary),
            _ => told,
        }
    }
}

const TOO_LARGE: &str = "the message is above the stream's max_msg_size: raise it, append fewer keys at a time, or clear the cache";

fn meaning(code: u32, description: &str) -> (ErrorKind, &'static str) {
    match code {
        // 2.9 tells a stream that is full, a full disk and a message that is too large alike.
        10_054 => (ErrorKind::TooLarge, TOO_LARGE),
        10_077 if description.contains("message size") => (ErrorKind::TooLarge, TOO_LARGE),
        10_077 if description.contains("maximum") => (
            ErrorKind::ReadOnly,
            "the stream is full and set to refuse new messages: raise its max_bytes or max_msgs, let it discard old ones \
             (`nats stream edit STREAM`), or shorten the retention",
        ),
        10_077 => (ErrorKind::ReadOnly, "look at the server's disk and log"),
        10_002 | 10_023 | 10_028 | 10_047 => (
            ErrorKind::ReadOnly,
            "raise the account's or the server's JetStream limits, free storage, or lower the stream's max_bytes",
        ),
        10_109 => (
            ErrorKind::ReadOnly,
            "the stream is sealed: give the log another",
        ),
        NO_STREAM => (
            ErrorKind::Unavailable,
            "the stream STREAM does not exist: run install, as a node does when it starts",
        ),
        SUBJECT_TAKEN => (
            ErrorKind::Invalid,
            "another stream takes the subject SUBJECT: give the log another subject, or the other stream fewer",
        ),
        10_074 => (
            ErrorKind::Invalid,
            "this server is no member of a cluster: configure replicas 1, or start several servers as a cluster",
        ),
        10_039 | 10_076 => (
            ErrorKind::Unsupported,
            "enable JetStream: start the server with -js, and give this account JetStream limits",
        ),
        10_008 | 10_009 | 10_026 | 10_118 => (
            ErrorKind::Unavailable,
            "the cluster has no leader or no quorum now: look at its servers (`nats server report jetstream`)",
        ),
        10_005 => (
            ErrorKind::Unavailable,
            "too few servers of the cluster have room for the replicas: start them, or configure fewer replicas",
        ),
        _ => (
            ErrorKind::Other,
            "look at the stream (`nats stream info STREAM`) and at the server's log",
        ),
    }
}
