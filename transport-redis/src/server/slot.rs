//! The slots of a cluster, and who owns one.
//! See <https://valkey.io/topics/cluster-spec/> and <https://valkey.io/commands/cluster-slots/>.

use std::{ops::RangeInclusive, sync::LazyLock};

use redis::{Cmd, Value};

use super::{greeting::text, place::Address};

const SLOTS: u16 = 16_384;

static ASK: LazyLock<Cmd> = LazyLock::new(|| {
    let mut ask = Cmd::new();
    ask.arg("CLUSTER").arg("SLOTS");
    ask
});

/// The command whose answer [`owner`] reads.
pub(super) fn ask() -> &'static Cmd {
    &ASK
}

/// That of a key: by its hash tag, what stands between the first `{` and the next `}`, where there is one.
pub(crate) fn of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inner = &key[open + 1..];
        let close = inner.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inner[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    })
}

/// The primary of `slot`, in the answer of the node at `asked`; `None` when nobody serves it.
pub(super) fn owner(answer: &Value, slot: u16, asked: &Address) -> Option<Address> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let mut ranges = ranges.iter().filter_map(range);
    let (_, primary) = ranges.find(|(range, _)| range.contains(&i64::from(slot)))?;
    let Value::Array(primary) = primary else {
        return None;
    };
    let [host, Value::Int(port), ..] = &primary[..] else {
        return None;
    };
    let host = match text(host) {
        // It does not know by which name it is reached, and says that one is to use the same.
        None | Some("") => asked.host.clone(),
        // A node that was told to announce a host's name, and was given none.
        Some("?") => return None,
        Some(host) => host.to_owned(),
    };
    let port = u16::try_from(*port).ok()?;
    Some(Address { host, port })
}

fn range(value: &Value) -> Option<(RangeInclusive<i64>, &Value)> {
    let Value::Array(parts) = value else {
        return None;
    };
    match &parts[..] {
        [Value::Int(first), Value::Int(last), primary, ..] => Some((*first..=*last, primary)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server computes them: `CLUSTER KEYSLOT`.
    #[test]
    fn keys_fall_into_slots() {
        for (key, slot) in [
            ("", 0),
            ("123456789", 0x31c3 % SLOTS),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("x{foo}{bar}", 12_182),
            ("hello", 866),
        ] {
            assert_eq!(of(key.as_bytes()), slot, "{key:?}");
        }
        assert_eq!(of(b"{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(of(b"{foo"), crc16(b"{foo") % SLOTS);
    }

    /// The first of a range's nodes is its primary; one without a name is reached by the name that was asked.
    #[test]
    fn a_slot_has_an_owner() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port)]);
        let host = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let answer = Value::Array(vec![
            range(0, 9, vec![node(host("a"), 1), node(host("b"), 2)]),
            range(10, 10, vec![node(Value::Nil, 3)]),
        ]);
        let asked = Address {
            host: "asked".to_owned(),
            port: 7,
        };
        let owner = |slot| owner(&answer, slot, &asked).map(|owner| owner.to_string());
        assert_eq!(owner(9).as_deref(), Some("a:1"));
        assert_eq!(owner(10).as_deref(), Some("asked:3"));
        assert_eq!(owner(11), None);
    }
}
