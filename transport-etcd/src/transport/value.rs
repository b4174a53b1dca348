//! Frames as the value of a key.

use bytes::Bytes;
use invalidation_core::NodeId;

/// The largest frame, in bytes: with all around it below the 1.5 MiB that the server takes in a request by default.
pub(super) const MAX_FRAME: usize = 1 << 20;
/// The longest value, in bytes.
pub(super) const MAX_VALUE: usize = HEAD + SIZE + MAX_FRAME;

/// The format, and the node that put it.
const HEAD: usize = 1 + 16;
const FORMAT: u8 = 1;
/// What stands before each frame: how long it is.
const SIZE: usize = 4;

/// What a put says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Frames(Vec<Bytes>),
    /// Frames that this node put itself.
    Own,
    /// Nothing at all: read the log.
    Nudge,
    /// Of another version, or of nobody who knows this transport.
    Unreadable,
}

/// Frames on their way into one value.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A value of this node, without frames.
    pub(super) fn of(node: NodeId) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&node.to_bytes());
        Self(bytes)
    }

    /// Whether another frame has room. The first always has.
    pub(super) fn has_room(&self, frame: &[u8]) -> bool {
        self.0.len() + SIZE + frame.len() <= MAX_VALUE
    }

    pub(super) fn push(&mut self, frame: &[u8]) {
        debug_assert!(frame.len() <= MAX_FRAME && self.has_room(frame));
        let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&size.to_be_bytes());
        self.0.extend_from_slice(frame);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// What a value says to this node.
pub(super) fn decode(value: &[u8], node: NodeId) -> Value {
    if value.is_empty() {
        return Value::Nudge;
    }
    if value.len() < HEAD || value[0] != FORMAT {
        return Value::Unreadable;
    }
    if value[1..HEAD] == node.to_bytes() {
        return Value::Own;
    }
    let mut rest = &value[HEAD..];
    let mut frames = Vec::with_capacity(1);
    while !rest.is_empty() {
        let Some((frame, behind)) = next_frame(rest) else {
            return Value::Unreadable;
        };
        // Each by itself: the subscription's buffer may keep one of them, and drop the others.
        frames.push(Bytes::copy_from_slice(frame));
        rest = behind;
    }
    Value::Frames(frames)
}

fn next_frame(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = value.split_first_chunk::<SIZE>()?;
    let size = u32::from_be_bytes(*size) as usize;
    rest.split_at_checked(size)
        .filter(|(frame, _)| frame.len() <= MAX_FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    fn value(frames: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::of(node(1));
        frames.iter().for_each(|frame| writer.push(frame));
        writer.finish()
    }

    /// What is written comes back at another node, whole and in order, and not at its own.
    #[test]
    fn frames_come_back() {
        let largest = vec![7; MAX_FRAME];
        for frames in [&[&b""[..], b"a", b"\0\xff", b""][..], &[&largest], &[]] {
            let expected = frames.iter().map(|f| Bytes::copy_from_slice(f)).collect();
            let value = value(frames);
            assert!(value.len() <= MAX_VALUE);
            assert_eq!(decode(&value, node(2)), Value::Frames(expected));
            assert_eq!(decode(&value, node(1)), Value::Own);
        }
        let mut writer = Writer::of(node(1));
        assert!(writer.has_room(&largest));
        writer.push(b"");
        assert!(!writer.has_room(&largest));
    }

    /// `P18`: a frame that waits keeps no other of its value.
    #[test]
    fn frames_share_nothing() {
        let value = value(&[b"small", &[7; 1_000]]);
        let Value::Frames(frames) = decode(&value, node(2)) else {
            panic!("expected frames");
        };
        assert!(frames.len() == 2 && frames.iter().all(Bytes::is_unique));
    }

    /// `P12`: what nobody of ours put is told from frames, whatever it is.
    #[test]
    fn nonsense_is_no_frame() {
        assert_eq!(decode(b"", node(2)), Value::Nudge);
        let whole = value(&[b"abc", b"d"]);
        for cut in 1..whole.len() {
            let decoded = decode(&whole[..cut], node(2));
            // Between two frames, or before the first, it is shorter and whole.
            let is_whole = cut == HEAD || cut == HEAD + SIZE + 3;
            assert_eq!(decoded == Value::Unreadable, !is_whole, "{cut}");
        }
        let mut other = whole.clone();
        other[0] = 2;
        assert_eq!(decode(&other, node(2)), Value::Unreadable);
        assert_eq!(decode(b"hello", node(2)), Value::Unreadable);
    }
}
