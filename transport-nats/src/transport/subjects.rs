//! The subjects of a cluster.

use std::fmt::Write as _;

use async_nats::{Message, Subject};
use bytes::Bytes;
use invalidation_core::ClusterName;

const BASE: &str = "cache_invalidation";

/// What members of one cluster send to and listen to.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// All that every member is sent.
    pub(super) all: Subject,
    /// Frames, and the tests of who may send and receive them.
    pub(super) frames: Subject,
    nudge: Subject,
    /// With what each private subject begins.
    private: Subject,
    /// What the user must be allowed to publish to and to subscribe to.
    pub(super) allowed: String,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Frame(Bytes),
    /// Read the log.
    Nudge,
    /// Somebody tests a link. Nobody else's affair.
    Test,
    /// Of another version, or of nobody who knows this transport.
    Unreadable,
}

impl Subjects {
    pub(super) fn of(cluster: &ClusterName) -> Self {
        let base = format!("{BASE}.{}", token(cluster.as_str()));
        Self {
            all: format!("{base}.*").into(),
            frames: format!("{base}.frame").into(),
            nudge: format!("{base}.nudge").into(),
            private: format!("{base}.link.").into(),
            allowed: format!("{base}.>"),
        }
    }

    /// One that nobody else listens to, and which is no part of [`all`](Self::all).
    pub(super) fn private(&self) -> Subject {
        format!("{}{:032x}", self.private, rand::random::<u128>()).into()
    }

    pub(super) fn read(&self, message: Message) -> Said {
        if message.subject != self.frames {
            return match message.subject == self.nudge {
                true => Said::Nudge,
                false => Said::Unreadable,
            };
        }
        // A frame wants no answer. A test is known by where its answer would go.
        match message.reply {
            None => Said::Frame(message.payload),
            Some(reply) if reply.starts_with(&*self.private) => Said::Test,
            Some(_) => Said::Unreadable,
        }
    }
}

/// The name as one token of a subject: each byte that is not plain as `%XX`, so that no two names have the same.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => token.push(byte.into()),
            // Writing to a String cannot fail.
            _ => drop(write!(token, "%{byte:02X}")),
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cluster: &str) -> Subjects {
        Subjects::of(&ClusterName::new(cluster).expect("a name"))
    }

    /// A plain name stands in the subjects as it is; of any other each byte that would mean something is escaped.
    #[test]
    fn each_cluster_has_subjects_of_its_own() {
        assert_eq!(&*of("billing-1").all, "cache_invalidation.billing-1.*");
        assert_eq!(&*of("billing").frames, "cache_invalidation.billing.frame");
        assert_eq!(of("a.b").allowed, "cache_invalidation.a%2Eb.>");
        let names = ["a.b", "a%2Eb", "a*b", "a>b", "a b", "ä", "a$b"];
        for (n, name) in names.iter().enumerate() {
            let subject = of(name).frames;
            assert!(subject.is_valid(), "{subject}");
            assert!(!subject.contains(['*', '>', '$', ' ']), "{subject}");
            assert_eq!(subject.split('.').count(), 3, "{subject}");
            for other in &names[..n] {
                assert_ne!(subject, of(other).frames);
            }
        }
    }

    /// What one tests for oneself reaches no other member.
    #[test]
    fn private_subjects_are_nobody_elses() {
        let subjects = of("x");
        assert_ne!(subjects.private(), subjects.private());
        assert_eq!(subjects.private().split('.').count(), 4);
        assert_eq!(subjects.all.split('.').count(), 3);
    }
}
