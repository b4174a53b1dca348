//! Three node processes and the network between them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::RngExt;
use tokio::process::Command;

use crate::{child::SECRET, process::NodeProcess, protocol::Reads, proxy::Proxy};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// The nodes, each in its own process, and a proxy for each direction between two.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    secret: String,
    nodes: Vec<Arc<NodeProcess>>,
    links: Vec<Link>,
    /// What the processes read that are no more.
    pub(crate) buried: Vec<(usize, Reads)>,
}

#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Cluster {
    /// Starts all nodes on the database in `folder`.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Self {
            folder: folder.into(),
            secret: random_secret(),
            nodes: Vec::new(),
            links: Vec::new(),
            buried: Vec::new(),
        };
        for from in 0..NODES {
            for to in (0..NODES).filter(|to| *to != from) {
                let proxy = Proxy::start().await?;
                cluster.links.push(Link { from, to, proxy });
            }
        }
        for index in 0..NODES {
            symlink(cluster.database(), cluster.log(index))?;
            let node = cluster.start_node(index).await?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    async fn start_node(&self, index: usize) -> anyhow::Result<Arc<NodeProcess>> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("node")
            .arg("--database")
            .arg(self.database())
            .arg("--log")
            .arg(self.log(index))
            .env(SECRET, &self.secret);
        for link in self.links.iter().filter(|link| link.from == index) {
            command.arg("--peer").arg(link.proxy.address().to_string());
        }
        let node = NodeProcess::start(index + 1, command).await?;
        for link in self.links.iter().filter(|link| link.to == index) {
            link.proxy.lead_to(node.port);
        }
        Ok(Arc::new(node))
    }

    /// The node at `index`, round and round.
    pub(crate) fn node(&self, index: usize) -> &Arc<NodeProcess> {
        &self.nodes[index % NODES]
    }

    pub(crate) fn nodes(&self) -> &[Arc<NodeProcess>] {
        &self.nodes
    }

    /// All nodes but this one.
    pub(crate) fn others(&self, index: usize) -> Vec<Arc<NodeProcess>> {
        (1..NODES).map(|on| self.node(index + on).clone()).collect()
    }

    /// Starts another process in the place of one that is gone, of which `reads` is what it had read.
    pub(crate) async fn replace(&mut self, index: usize, reads: Reads) -> anyhow::Result<()> {
        let index = index % NODES;
        self.buried.push((index + 1, reads));
        self.nodes[index] = self.start_node(index).await?;
        Ok(())
    }

    /// Cuts the whole fan-out.
    pub(crate) fn cut_fan_out(&self) {
        self.links.iter().for_each(|link| link.proxy.cut());
    }

    /// Cuts the fan-out to one node.
    pub(crate) fn cut_fan_out_to(&self, index: usize) {
        let to = self.links.iter().filter(|link| link.to == index);
        to.for_each(|link| link.proxy.cut());
    }

    /// Mends the fan-out.
    pub(crate) fn mend_fan_out(&self) {
        self.links.iter().for_each(|link| link.proxy.mend());
    }

    /// Takes the log away from one node: its name for the file leads nowhere.
    pub(crate) fn lose_log(&self, index: usize) -> anyhow::Result<()> {
        self.point_log(index, Path::new("/nonexistent/log.db"))
    }

    /// Gives it back.
    pub(crate) fn find_log(&self, index: usize) -> anyhow::Result<()> {
        self.point_log(index, &self.database())
    }

    fn point_log(&self, index: usize, to: &Path) -> anyhow::Result<()> {
        let fresh = self.folder.join("next-link");
        symlink(to, &fresh)?;
        Ok(fs::rename(fresh, self.log(index))?) // At once: there is no moment without either.
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("items.db")
    }

    fn log(&self, index: usize) -> PathBuf {
        self.folder.join(format!("log-of-node-{}.db", index + 1))
    }
}

fn random_secret() -> String {
    let secret: [u8; 32] = rand::rng().random();
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}
