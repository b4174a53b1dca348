//! Entries made ready to be stored.

use bytes::Bytes;
use invalidation_core::{Entry, Error, ErrorKind};

use super::{entry, ring::MAX_APPEND};
use crate::error::error;

/// The entries of one append as they are stored, and how many bytes they take.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) entries: Vec<Bytes>,
    pub(crate) bytes: usize,
}

/// Packs entries that are to be appended in one step. Where they are too large for a ring, the largest give up their keys or
/// tags and clear their caches (`P11`).
///
/// # Errors
/// [`ErrorKind::TooLarge`] when they are too large even so.
pub(crate) fn pack(operation: &'static str, entries: &[Entry]) -> Result<Packed, Error> {
    let mut sizes: Vec<_> = entries.iter().map(entry::size).enumerate().collect();
    let mut bytes: usize = sizes.iter().map(|(_, size)| size).sum();
    let mut is_widened = vec![false; entries.len()];
    if bytes > MAX_APPEND {
        let asked = bytes;
        sizes.sort_unstable_by_key(|(_, size)| std::cmp::Reverse(*size));
        for (at, size) in sizes {
            if bytes <= MAX_APPEND {
                break;
            }
            is_widened[at] = true;
            bytes = bytes - size + entry::encode_widened(&entries[at]).len();
        }
        if bytes > MAX_APPEND {
            return Err(error(
                ErrorKind::TooLarge,
                operation,
                format!(
                    "{} entries do not fit into {MAX_APPEND} bytes, which is what one append can hold: append fewer at a \
                     time",
                    entries.len()
                ),
            ));
        }
        tracing::warn!(
            bytes = asked,
            most = MAX_APPEND,
            "an append is too large for the log: the caches of its largest entries are cleared instead"
        );
    }
    let entries = entries.iter().zip(is_widened);
    let entries = entries.map(|(entry, is_widened)| match is_widened {
        true => entry::encode_widened(entry),
        false => entry::encode(entry),
    });
    Ok(Packed {
        entries: entries.collect(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use invalidation_core::{CacheName, Invalidation, Payload, Scope};

    use super::*;

    fn key(length: usize) -> Entry {
        Entry::new(Invalidation::Cache {
            cache: CacheName::new("users").unwrap(),
            scope: Scope::keys(["k".repeat(length)]),
        })
    }

    /// P11: what does not fit clears its cache, the others stay as they are, and nothing is dropped.
    #[test]
    fn p11_the_largest_widen() {
        let entries = [key(10), key(MAX_APPEND * 2), key(20)];
        let packed = pack("append", &entries).unwrap();
        assert!(packed.bytes <= MAX_APPEND);
        let read: Vec<_> = packed.entries.iter().map(entry::decode).collect();
        assert_eq!(read[0], Payload::Entry(entries[0].clone()));
        assert!(matches!(
            &read[1],
            Payload::Undecodable { cache: Some(cache), .. } if cache.as_str() == "users"
        ));
        assert_eq!(read[2], Payload::Entry(entries[2].clone()));
    }

    /// Each entry has a place of its own, so that there is an end to widening.
    #[test]
    fn too_many_are_refused() {
        let many = vec![key(1); MAX_APPEND / 10];
        assert_eq!(pack("append", &many).unwrap_err().kind, ErrorKind::TooLarge);
    }
}
