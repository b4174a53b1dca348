//! The contract of a transport, on the one over a directory of files.

#[path = "../custom_transport/directory.rs"]
mod directory;
#[path = "../custom_transport/inbox.rs"]
mod inbox;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cache_invalidation::{CacheInvalidationTransport, NodeId};
use invalidation_conformance::{
    Disruption, Member, Stranger, TransportCluster, TransportHarness, Unable, transport_suite,
};
use tempfile::TempDir;

use crate::directory::DirectoryTransport;

fn main() -> ExitCode {
    transport_suite(Directories).run()
}

/// Makes a directory for each cluster.
struct Directories;

#[async_trait]
impl TransportHarness for Directories {
    fn name(&self) -> &'static str {
        "directory"
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let root = tempfile::tempdir().expect("a directory");
        let cluster = root.path().join("cluster");
        std::fs::create_dir(&cluster).expect("a directory");
        Ok(Box::new(Cluster {
            members: (0..nodes).map(|_| member(&cluster)).collect(),
            cluster,
            root,
        }))
    }
}

/// A node's end: built, bound, and not subscribed.
fn member(directory: &Path) -> Member {
    let transport = DirectoryTransport::new(directory);
    let id = NodeId::random();
    transport.bind(id);
    let transport = Arc::new(transport);
    Member { id, transport }
}

struct Cluster {
    members: Vec<Member>,
    cluster: PathBuf,
    root: TempDir,
}

impl Cluster {
    fn away(&self) -> PathBuf {
        self.root.path().join("away")
    }
}

#[async_trait]
impl TransportCluster for Cluster {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn give_away(&mut self) -> Option<Member> {
        self.members.pop()
    }

    async fn rejoin(&mut self) -> Result<Member, Unable> {
        Ok(member(&self.cluster))
    }

    async fn stranger(&self, stranger: Stranger, _: Duration) -> Result<Member, Unable> {
        match stranger {
            Stranger::OtherCluster => {
                let other = self.root.path().join("other");
                std::fs::create_dir(&other).expect("a directory");
                Ok(member(&other))
            }
            Stranger::WrongHost => Ok(member(&self.root.path().join("nowhere"))),
            _ => Err(Unable::because(
                "it has no credentials and no TLS: the directory's permissions are all there is",
            )),
        }
    }

    /// The directory is what carries the frames of all nodes.
    async fn disrupt(&self, _of: usize, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Cut => std::fs::rename(&self.cluster, self.away()).expect("goes away"),
            Disruption::Heal => std::fs::rename(self.away(), &self.cluster).expect("comes back"),
            Disruption::BlackHole | Disruption::Delay(_) => {
                return Err(Unable::because("a local directory is never silent or slow"));
            }
            _ => return Err(Unable::because("there is no server")),
        }
        Ok(())
    }

    fn buffered(&self) -> usize {
        inbox::ROOM + inbox::AT_ONCE
    }

    fn in_transit(&self) -> Option<usize> {
        Some(0)
    }
}
