//! Frames as the payload of a message.

use std::io::Write as _;

use bytes::Bytes;
use redis::{RedisWrite, ToRedisArgs};

/// The largest frame, in bytes. The server takes 512 MB, and cuts a subscriber that 32 MB wait for.
pub(super) const MAX_FRAME: usize = 1 << 20;

const FORMAT: u8 = b'1';

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Frame(Bytes),
    /// Without any payload: read the log.
    Nudge,
    /// Of another version, or of nobody who knows this transport.
    Unreadable,
}

/// A frame as an argument of a command: behind a byte that tells its format.
pub(super) struct Framed<'a>(pub(super) &'a [u8]);

impl ToRedisArgs for Framed<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut argument = out.writer_for_next_arg();
        for part in [&[FORMAT], self.0] {
            // Into memory, which takes all.
            let written = argument.write_all(part);
            debug_assert!(written.is_ok());
        }
    }
}

pub(super) fn decode(mut payload: Bytes) -> Payload {
    match payload.first() {
        None => Payload::Nudge,
        Some(&FORMAT) => Payload::Frame(payload.split_off(1)),
        Some(_) => Payload::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is encoded comes back, also nothing; and what nobody of ours sent is told from a frame (`P12`).
    #[test]
    fn frames_come_back() {
        for frame in [&b""[..], b"\0", b"1", b"\r\n", &[0xff; 1_000]] {
            let encoded = Framed(frame).to_redis_args();
            assert_eq!(encoded.len(), 1);
            let decoded = decode(encoded.concat().into());
            assert_eq!(decoded, Payload::Frame(Bytes::copy_from_slice(frame)));
        }
        assert_eq!(decode(Bytes::new()), Payload::Nudge);
        for nonsense in [&b"2"[..], b"hello", b"\0", b"\xff"] {
            assert_eq!(decode(nonsense.into()), Payload::Unreadable);
        }
    }
}
