//! Every read of this node, kept until the parent has judged it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::protocol::{Reads, VersionReads};

/// One read that gave a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) key: i64,
    pub(crate) version: i64,
    pub(crate) started: u64,
    pub(crate) ended: u64,
}

/// All reads so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Guards the reads; held for one batch, never across an await.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    versions: HashMap<(i64, i64), Starts>,
    faults: Vec<String>,
}

#[derive(Debug)]
struct Starts {
    first_end: u64,
    /// When each read began, in no order.
    starts: Vec<u64>,
}

/// So many faults are kept as text; one is enough to fail.
const KEPT_FAULTS: usize = 10;

impl Ledger {
    pub(crate) fn record(&self, reads: impl IntoIterator<Item = Read>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for read in reads {
            let version = inner
                .versions
                .entry((read.key, read.version))
                .or_insert_with(|| Starts {
                    first_end: u64::MAX,
                    starts: Vec::new(),
                });
            version.first_end = version.first_end.min(read.ended);
            version.starts.push(read.started);
        }
    }

    pub(crate) fn fault(&self, fault: String) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.faults.len() < KEPT_FAULTS {
            inner.faults.push(fault);
        }
    }

    /// Every read so far, version by version.
    pub(crate) fn report(&self) -> Reads {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reads = Reads {
            faults: inner.faults.clone(),
            ..Reads::default()
        };
        for ((key, version), starts) in &inner.versions {
            reads.count += starts.starts.len() as u64;
            reads.versions.push(VersionReads {
                key: *key,
                version: *version,
                first_end: starts.first_end,
                last_start: starts.starts.iter().copied().max().unwrap_or_default(),
            });
        }
        reads
    }

    /// How many reads of this version began after `after`.
    pub(crate) fn reads_after(&self, key: i64, version: i64, after: u64) -> u64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = inner.versions.get(&(key, version));
        starts.map_or(0, |version| {
            version
                .starts
                .iter()
                .filter(|start| **start > after)
                .count() as u64
        })
    }
}
