//! What the stream is to be like, and what it is.

use std::time::Duration;

use invalidation_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::error::error;

/// The version of what stands in the stream. Its description holds it: servers of 2.9 keep no metadata.
const VERSION: u32 = 1;
const DESCRIPTION: &str = "cache-invalidation log, version ";
/// How long the server remembers ids of messages, which the log's do not have.
const DUPLICATES: Duration = Duration::from_secs(120);

/// Where the stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In files. The default.
    #[default]
    File,
    /// In memory: what the server forgets when it ends, nodes are told when they read on.
    Memory,
}

/// What happens at the stream's `max_messages` or `max_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// The server forgets the oldest messages. A node that had not read them flushes; no writer is held up. The default.
    #[default]
    #[serde(rename = "old")]
    ForgetOldest,
    /// Appends fail with [`ErrorKind::ReadOnly`] until there is room.
    #[serde(rename = "new")]
    RefuseAppends,
}

/// What was said of the stream. Where nothing was, a stream that exists may be as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) replicas: usize,
    pub(super) storage: Storage,
    pub(super) max_age: Option<Duration>,
    pub(super) max_messages: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) when_full: Option<WhenFull>,
    /// That the servers acknowledge nothing which they have not synced.
    pub(super) syncs_always: bool,
}

/// What the log's stream is like, as the server tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSettings {
    /// Its name.
    pub stream: String,
    /// The subject that it takes.
    pub subject: String,
    /// How many servers have a copy.
    pub replicas: usize,
    /// Where it is stored.
    pub storage: Storage,
    /// After how long the server forgets a message by itself.
    pub max_age: Option<Duration>,
    /// How many messages the server keeps.
    pub max_messages: Option<u64>,
    /// How many bytes the server keeps.
    pub max_bytes: Option<u64>,
    /// What happens at these limits.
    pub when_full: WhenFull,
}

/// A stream's configuration, as far as the log knows of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Config {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    subjects: Vec<String>,
    retention: String,
    storage: Storage,
    num_replicas: usize,
    /// In nanoseconds; 0 for ever.
    max_age: i64,
    /// -1 without a limit, and so are the next ones.
    max_msgs: i64,
    max_bytes: i64,
    #[serde(default)]
    discard: WhenFull,
    /// In nanoseconds. The server refuses one above `max_age`.
    #[serde(default)]
    duplicate_window: i64,
    #[serde(default)]
    no_ack: bool,
    #[serde(default)]
    sealed: bool,
    /// Since 2.12: `async` for a stream that acknowledges what is not written yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persist_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mirror: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sources: Option<serde_json::Value>,
}

impl Config {
    /// That of a new stream.
    pub(super) fn new(place: &Place, wanted: &Wanted) -> Self {
        let max_age = wanted.max_age.map_or(0, nanos);
        let duplicates = nanos(DUPLICATES);
        Self {
            name: place.stream.clone(),
            description: format!("{DESCRIPTION}{VERSION}"),
            subjects: vec![place.subject.clone()],
            retention: "limits".into(),
            storage: wanted.storage,
            num_replicas: wanted.replicas,
            max_age,
            max_msgs: limit(wanted.max_messages),
            max_bytes: limit(wanted.max_bytes),
            discard: wanted.when_full.unwrap_or_default(),
            duplicate_window: if max_age == 0 {
                duplicates
            } else {
                max_age.min(duplicates)
            },
            no_ack: false,
            sealed: false,
            persist_mode: None,
            mirror: None,
            sources: None,
        }
    }

    /// Whether the log can stand in this stream, and its claims hold.
    pub(super) fn check(
        &self,
        operation: &'static str,
        place: &Place,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        let refuse = |kind, why: String| Err(error(kind, operation, why));
        let name = &self.name;
        let version = self.description.strip_prefix(DESCRIPTION);
        match version.and_then(|rest| rest.split([',', ' ']).next()?.parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(newer) => {
                return refuse(
                    ErrorKind::Incompatible,
                    format!(
                        "the stream {name:?} has version {newer} of the log, and this program knows {VERSION}: upgrade it"
                    ),
                );
            }
            None => {
                return refuse(
                    ErrorKind::Incompatible,
                    format!(
                        "the stream {name:?} is no invalidation log: give the log another name; or, if it was made for the \
                         log by hand, the description \"{DESCRIPTION}{VERSION}\""
                    ),
                );
            }
        }
        if self.subjects != [place.subject.as_str()] {
            return refuse(
                ErrorKind::Incompatible,
                format!(
                    "the stream {name:?} takes {:?}: it must take {:?} alone",
                    self.subjects, place.subject
                ),
            );
        }
        let is_derived = self.mirror.is_some() || self.sources.is_some();
        if self.retention != "limits" || self.no_ack || self.sealed || is_derived {
            return refuse(
                ErrorKind::Incompatible,
                format!(
                    "the stream {name:?} cannot hold the log: it must have the retention `limits`, acknowledge, and neither \
                     be sealed, nor a mirror, nor have sources"
                ),
            );
        }
        if self.num_replicas != wanted.replicas {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "the stream {name:?} has {} replicas, and the log is configured for {}, which its claims depend on: \
                     configure the same, or run `nats stream edit {name} --replicas {}`",
                    self.num_replicas, wanted.replicas, wanted.replicas
                ),
            );
        }
        if self.storage != wanted.storage {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "the stream {name:?} is stored in {:?}, and the log is configured for {:?}: configure the same, or \
                     delete the stream",
                    self.storage, wanted.storage
                ),
            );
        }
        if wanted.syncs_always
            && let Some(mode) = self.acknowledges_early()
        {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "the stream {name:?} has the persist_mode {mode}, which acknowledges what is not synced, and the log is \
                     configured for servers that sync always: configure it without, or make the stream anew without that mode"
                ),
            );
        }
        Ok(())
    }

    /// The mode by which the server acknowledges what it has not written yet, whatever its `sync_interval`.
    pub(super) fn acknowledges_early(&self) -> Option<&str> {
        let mode = self.persist_mode.as_deref()?;
        (!mode.is_empty() && mode != "default").then_some(mode)
    }

    /// How the stream's limits differ from what was said of them. They stay as they are: another node, or an operator, may
    /// have set them on purpose.
    pub(super) fn differences(&self, wanted: &Wanted) -> Vec<String> {
        let is = self.settings();
        let mut found = Vec::new();
        let mut compare = |what, wanted: Option<String>, is: String| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
                found.push(format!("{what} is {is}, and {wanted} is configured"));
            }
        };
        let shown = |limit: Option<u64>| {
            limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string())
        };
        compare(
            "max_age",
            wanted.max_age.map(|age| format!("{age:?}")),
            is.max_age
                .map_or_else(|| "unlimited".into(), |age| format!("{age:?}")),
        );
        compare(
            "max_msgs",
            wanted.max_messages.map(|most| shown(Some(most))),
            shown(is.max_messages),
        );
        compare(
            "max_bytes",
            wanted.max_bytes.map(|most| shown(Some(most))),
            shown(is.max_bytes),
        );
        compare(
            "discard",
            wanted.when_full.map(|when| format!("{when:?}")),
            format!("{:?}", is.when_full),
        );
        found
    }

    pub(super) fn settings(&self) -> StreamSettings {
        let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
        StreamSettings {
            stream: self.name.clone(),
            subject: self.subjects.first().cloned().unwrap_or_default(),
            replicas: self.num_replicas,
            storage: self.storage,
            max_age: limit(self.max_age).map(Duration::from_nanos),
            max_messages: limit(self.max_msgs),
            max_bytes: limit(self.max_bytes),
            when_full: self.discard,
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn limit(most: Option<u64>) -> i64 {
    most.map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn parts() -> (Place, Wanted) {
        let place = Place::checked("a", None, None).unwrap();
        let wanted = Wanted {
            replicas: 1,
            ..Wanted::default()
        };
        (place, wanted)
    }

    /// A stream that the log cannot trust is refused, each with the reason.
    #[test]
    fn foreign_streams_are_refused() {
        let (place, wanted) = parts();
        let good = Config::new(&place, &wanted);
        good.check("install", &place, &wanted).unwrap();
        type Change = fn(&mut Config);
        let wrong: [(Change, ErrorKind, &str); 9] = [
            (
                |c| c.description.clear(),
                ErrorKind::Incompatible,
                "no invalidation log",
            ),
            (
                |c| c.description = format!("{DESCRIPTION}2"),
                ErrorKind::Incompatible,
                "upgrade",
            ),
            (
                |c| c.subjects.push("x".into()),
                ErrorKind::Incompatible,
                "alone",
            ),
            (
                |c| c.retention = "workqueue".into(),
                ErrorKind::Incompatible,
                "limits",
            ),
            (|c| c.no_ack = true, ErrorKind::Incompatible, "acknowledge"),
            (|c| c.sealed = true, ErrorKind::Incompatible, "sealed"),
            (
                |c| c.mirror = Some("x".into()),
                ErrorKind::Incompatible,
                "mirror",
            ),
            (|c| c.num_replicas = 3, ErrorKind::Invalid, "replicas"),
            (
                |c| c.storage = Storage::Memory,
                ErrorKind::Invalid,
                "stored in",
            ),
        ];
        for (change, kind, word) in wrong {
            let mut config = good.clone();
            change(&mut config);
            let refused = config.check("install", &place, &wanted).unwrap_err();
            assert_eq!(refused.kind, kind, "{refused}");
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }

    /// A stream that acknowledges before it writes cannot bear the claim that nothing acknowledged is lost, whatever else its
    /// servers do; without that claim it can be used.
    #[test]
    fn who_acknowledges_early_keeps_less() {
        let (place, wanted) = parts();
        let claiming = Wanted {
            syncs_always: true,
            ..wanted.clone()
        };
        let told = |mode: serde_json::Value| {
            let mut config = serde_json::to_value(Config::new(&place, &wanted)).unwrap();
            config["persist_mode"] = mode;
            let config: Config = serde_json::from_value(config).unwrap();
            config.check("install", &place, &wanted).unwrap();
            let checked = config.check("install", &place, &claiming);
            let early = config.acknowledges_early().map(str::to_owned);
            (early, checked)
        };
        for late in ["default".into(), "".into(), serde_json::Value::Null] {
            assert!(matches!(told(late), (None, Ok(()))));
        }
        // What a later version adds is not known to keep more.
        for early in ["async", "other"] {
            let (mode, refused) = told(early.into());
            assert_eq!(mode.as_deref(), Some(early));
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
            assert!(refused.to_string().contains(early), "{refused}");
        }
        let new = serde_json::to_value(Config::new(&place, &wanted)).unwrap();
        assert!(new.get("persist_mode").is_none(), "older servers know none");
    }

    /// Limits that differ are told, and only those of which something was said.
    #[test]
    fn other_limits_are_told() {
        let (place, wanted) = parts();
        let mut config = Config::new(&place, &wanted);
        config.max_bytes = 5;
        assert_eq!(config.differences(&wanted), Vec::<String>::new());
        let wanted = Wanted {
            max_bytes: Some(7),
            max_age: Some(Duration::from_secs(1)),
            max_messages: Some(3),
            when_full: Some(WhenFull::RefuseAppends),
            ..wanted
        };
        assert_eq!(
            config.differences(&wanted),
            [
                "max_age is unlimited, and 1s is configured",
                "max_msgs is unlimited, and 3 is configured",
                "max_bytes is 5, and 7 is configured",
                "discard is ForgetOldest, and RefuseAppends is configured",
            ]
        );
        assert_eq!(
            Config::new(&place, &wanted).differences(&wanted),
            Vec::<String>::new()
        );
    }
}
