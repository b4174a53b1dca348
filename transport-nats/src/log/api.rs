//! What is asked of JetStream, and its answers: <https://docs.nats.io/reference/reference-protocols/nats_api_reference>.
//!
//! Only what the log needs, and nothing that a server of 2.9 lacks. The leader of the stream answers all of it: messages are
//! asked for by `STREAM.MSG.GET`, never directly, since any replica answers to that.

use std::borrow::Cow;

use async_nats::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use invalidation_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    connection::Session,
    cursor::{Identity, Witness, fingerprint},
    failure::{self, Refusal},
    moment::Moment,
    place::Place,
    stream::Config,
};
use crate::error::error;

/// By which the server refuses a message unless the stream's last sequence is this.
const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";

/// What became of a request to make the stream.
#[derive(Debug)]
pub(super) enum Creation {
    Made,
    /// There is one with another configuration.
    IsThere,
    /// By another stream, or by this one, where another client made it at the same moment.
    SubjectTaken(Error),
}

/// The subjects of one stream.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) place: Place,
    stream: u64,
    prefix: String,
}

/// What a stream is like at one moment.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) config: Config,
    pub(super) identity: Identity,
    /// The lowest sequence that may be there: one above the last if there is none.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) messages: u64,
    /// Of all messages.
    pub(super) bytes: u64,
    /// How many messages between the first and the last are not there.
    pub(super) deleted: u64,
    /// When the last message was stored, also if it is gone; but a server that crashed then may have forgotten it.
    pub(super) last_stored: Moment,
}

/// A message of the stream.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) payload: Vec<u8>,
    pub(super) witness: Witness,
}

impl Api {
    pub(super) fn new(place: Place, domain: Option<&str>) -> Self {
        let prefix = match domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".into(),
        };
        Self {
            stream: fingerprint(place.stream.as_bytes()),
            place,
            prefix,
        }
    }

    /// The stream as it is. `None` if there is none.
    pub(super) async fn info(
        &self,
        session: &Session,
        operation: &'static str,
    ) -> Result<Option<Info>, Error> {
        let answer: InfoAnswer = self.ask(session, operation, "INFO", Bytes::new()).await?;
        if let Some(refused) = answer.error {
            return match refused.code() {
                failure::NO_STREAM => Ok(None),
                _ => Err(refused.into_error(operation, &self.place)),
            };
        }
        self.understood(operation, answer).map(Some)
    }

    /// Makes the stream.
    pub(super) async fn create(
        &self,
        session: &Session,
        operation: &'static str,
        config: &Config,
    ) -> Result<Creation, Error> {
        let answer: InfoAnswer = self
            .ask(session, operation, "CREATE", body(operation, config)?)
            .await?;
        let Some(refused) = answer.error else {
            return Ok(Creation::Made);
        };
        let code = refused.code();
        let error = refused.into_error(operation, &self.place);
        match code {
            failure::OTHER_CONFIG => Ok(Creation::IsThere),
            failure::SUBJECT_TAKEN => Ok(Creation::SubjectTaken(error)),
            _ => Err(error),
        }
    }

    /// The message at this sequence. `None` if it is gone.
    pub(super) async fn get(
        &self,
        session: &Session,
        operation: &'static str,
        sequence: u64,
    ) -> Result<Option<Stored>, Error> {
        let request = body(operation, &GetRequest { seq: sequence })?;
        let subject = self.subject("MSG.GET");
        let bytes = session.request(operation, &subject, request).await?;
        let answer: GetAnswer<'_> = parsed(operation, &bytes)?;
        if let Some(refused) = answer.error {
            return match refused.code() {
                failure::NO_MESSAGE => Ok(None),
                _ => Err(refused.into_error(operation, &self.place)),
            };
        }
        let message = answer.message.filter(|message| message.seq == sequence);
        let message =
            message.ok_or_else(|| strange(operation, "it is not the message asked for"))?;
        let payload = BASE64_STANDARD
            .decode(message.data.as_bytes())
            .map_err(|e| strange(operation, &e.to_string()))?;
        Ok(Some(Stored {
            sequence,
            witness: Witness {
                fingerprint: fingerprint(&payload),
                stored: message.time,
            },
            payload,
        }))
    }

    /// Deletes all messages below this sequence; how many.
    pub(super) async fn purge(
        &self,
        session: &Session,
        operation: &'static str,
        below: u64,
    ) -> Result<u64, Error> {
        let request = body(operation, &PurgeRequest { seq: below })?;
        let answer: PurgeAnswer = self.ask(session, operation, "PURGE", request).await?;
        match answer.error {
            None => Ok(answer.purged),
            Some(refused) => Err(refused.into_error(operation, &self.place)),
        }
    }

    /// Stores a message; its sequence, once the stream has it, and on several servers a majority of them.
    pub(super) async fn publish(
        &self,
        session: &Session,
        operation: &'static str,
        message: Bytes,
    ) -> Result<u64, Error> {
        let bytes = session
            .request(operation, &self.place.subject, message)
            .await?;
        self.acknowledged(operation, parsed(operation, &bytes)?)
    }

    /// Stores a message right behind this sequence, and nowhere else: nothing if another came first.
    pub(super) async fn publish_behind(
        &self,
        session: &Session,
        operation: &'static str,
        last: u64,
        message: Bytes,
    ) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, last.to_string());
        let bytes = session
            .request_with(operation, &self.place.subject, headers, message)
            .await?;
        let answer: Acknowledgement = parsed(operation, &bytes)?;
        match &answer.error {
            Some(refused) if refused.code() == failure::OTHER_CAME_FIRST => Ok(()),
            _ => self.acknowledged(operation, answer).map(|_| ()),
        }
    }

    fn acknowledged(&self, operation: &'static str, answer: Acknowledgement) -> Result<u64, Error> {
        if let Some(refused) = answer.error {
            return Err(refused.into_error(operation, &self.place));
        }
        if answer.stream != self.place.stream || answer.seq == 0 || answer.duplicate {
            return Err(error(
                ErrorKind::Incompatible,
                operation,
                format!(
                    "the subject {} is taken by the stream {:?}, and not by {:?}: give the log a subject of its own",
                    self.place.subject, answer.stream, self.place.stream
                ),
            ));
        }
        Ok(answer.seq)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        session: &Session,
        operation: &'static str,
        what: &str,
        request: Bytes,
    ) -> Result<T, Error> {
        let subject = self.subject(what);
        let bytes = session.request(operation, &subject, request).await?;
        parsed(operation, &bytes)
    }

    fn subject(&self, what: &str) -> String {
        format!("{}.STREAM.{what}.{}", self.prefix, self.place.stream)
    }

    fn understood(&self, operation: &'static str, answer: InfoAnswer) -> Result<Info, Error> {
        match (answer.config, answer.created, answer.state) {
            (Some(config), Some(created), Some(state)) => Ok(Info {
                config,
                identity: Identity {
                    stream: self.stream,
                    created,
                },
                first: state.first_seq,
                last: state.last_seq,
                messages: state.messages,
                bytes: state.bytes,
                deleted: state.num_deleted,
                last_stored: state.last_ts,
            }),
            _ => Err(strange(operation, "something is missing")),
        }
    }
}

fn body(operation: &'static str, request: &impl Serialize) -> Result<Bytes, Error> {
    match serde_json::to_vec(request) {
        Ok(body) => Ok(body.into()),
        Err(e) => {
            Err(error(ErrorKind::Other, operation, "the request cannot be written").with_source(e))
        }
    }
}

fn parsed<'a, T: Deserialize<'a>>(operation: &'static str, answer: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(answer).map_err(|e| strange(operation, &e.to_string()))
}

fn strange(operation: &'static str, why: &str) -> Error {
    error(
        ErrorKind::Incompatible,
        operation,
        format!("JetStream's answer is not understood ({why}): use NATS 2.9 or later"),
    )
}

#[derive(Deserialize)]
struct InfoAnswer {
    error: Option<Refusal>,
    config: Option<Config>,
    created: Option<Moment>,
    state: Option<State>,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    last_ts: Moment,
    #[serde(default)]
    num_deleted: u64,
}

#[derive(Serialize)]
struct GetRequest {
    seq: u64,
}

#[derive(Deserialize)]
struct GetAnswer<'a> {
    error: Option<Refusal>,
    #[serde(borrow)]
    message: Option<RawMessage<'a>>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    seq: u64,
    /// Absent when there is none.
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    time: Moment,
}

#[derive(Serialize)]
struct PurgeRequest {
    seq: u64,
}

#[derive(Deserialize)]
struct PurgeAnswer {
    error: Option<Refusal>,
    #[serde(default)]
    purged: u64,
}

#[derive(Deserialize)]
struct Acknowledgement {
    error: Option<Refusal>,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}
