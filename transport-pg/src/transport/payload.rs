//! Frames as the text of a notification.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;

use super::channel::Channel;

/// The longest payload that the server takes, in bytes.
const MAX_PAYLOAD: usize = 7_999;
/// The format, and the frame's place in its transaction.
const HEAD: usize = 3;
const FORMAT: char = '1';

/// The largest frame, in bytes.
pub(super) const MAX_FRAME: usize = (MAX_PAYLOAD - HEAD) * 3 / 4;
/// The most frames of one transaction: their places have two digits.
pub(super) const MAX_FRAMES: usize = 256;

/// What a notification says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Frame(Bytes),
    /// Without any payload: read the log.
    Nudge,
    /// Of another version, or of nobody who knows this transport.
    Unreadable,
}

/// One message of the simple protocol, and so one transaction, that sends these frames in this order. As commands of
/// their own: for one frame, which is the usual case, the server is done in two thirds of the time that
/// `pg_notify` over an array takes it.
pub(super) fn statement<'a>(channel: &Channel, frames: impl Iterator<Item = &'a Bytes>) -> String {
    let mut sql = String::new();
    for (place, frame) in frames.enumerate() {
        sql.push_str("NOTIFY \"");
        sql.push_str(channel.as_str());
        sql.push_str("\", '");
        encode(place, frame, &mut sql);
        sql.push_str("';");
    }
    sql
}

/// Each place makes another payload: the server folds equal ones of a transaction into one.
fn encode(place: usize, frame: &[u8], into: &mut String) {
    debug_assert!(place < MAX_FRAMES && frame.len() <= MAX_FRAME);
    into.push(FORMAT);
    into.push_str(&format!("{place:02x}"));
    STANDARD_NO_PAD.encode_string(frame, into);
}

pub(super) fn decode(payload: &str) -> Payload {
    if payload.is_empty() {
        return Payload::Nudge;
    }
    frame(payload).map_or(Payload::Unreadable, Payload::Frame)
}

fn frame(payload: &str) -> Option<Bytes> {
    let (head, body) = payload.split_at_checked(HEAD)?;
    let place = head.strip_prefix(FORMAT)?;
    if !place.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    STANDARD_NO_PAD.decode(body).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(place: usize, frame: &[u8]) -> String {
        let mut text = String::new();
        encode(place, frame, &mut text);
        text
    }

    /// The largest frame fills a payload, and one byte more would be too long for the server.
    #[test]
    fn the_largest_frame_just_fits() {
        let largest = encoded(255, &vec![0xff; MAX_FRAME]);
        assert_eq!(largest.len(), MAX_PAYLOAD);
        assert!(HEAD + (MAX_FRAME + 1).div_ceil(3) * 4 > MAX_PAYLOAD);
    }

    /// What is encoded comes back, from every place, and equal frames differ as payloads.
    #[test]
    fn frames_come_back() {
        for frame in [&b""[..], b"\0", b"ab", b"abc", &[0xff; MAX_FRAME]] {
            for place in [0, 9, 10, MAX_FRAMES - 1] {
                let expected = Payload::Frame(Bytes::copy_from_slice(frame));
                assert_eq!(decode(&encoded(place, frame)), expected);
            }
            assert_ne!(encoded(0, frame), encoded(1, frame));
        }
    }

    /// `P12`: what nobody of ours sent is told from a frame, whatever it is.
    #[test]
    fn nonsense_is_no_frame() {
        assert_eq!(decode(""), Payload::Nudge);
        for nonsense in [
            "1",
            "10",
            "hello",
            "200",
            "1zz",
            "1+1",
            "100=",
            "100A",
            "100AA==",
            "100 AAA",
            "1ä",
            "10ä",
            "\u{10ffff}",
        ] {
            assert_eq!(decode(nonsense), Payload::Unreadable, "{nonsense:?}");
        }
    }
}
