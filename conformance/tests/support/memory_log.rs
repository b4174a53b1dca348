//! The harness of the memory log.

use async_trait::async_trait;
use invalidation_conformance::{LogHarness, LogSpace, Unable};
use invalidation_core::{MemoryLog, SharedLog};

/// Makes memory logs.
#[derive(Debug, Default)]
pub(crate) struct MemoryLogs;

#[async_trait]
impl LogHarness for MemoryLogs {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        Ok(Box::new(Space {
            log: MemoryLog::new(),
        }))
    }
}

struct Space {
    log: MemoryLog,
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(std::sync::Arc::new(self.log.connect()))
    }
}
