//! Three node processes and the network between them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::RngExt;
use tokio::process::Command;

use crate::{
    carrier::Carrier,
    child::{FRAMES, HOME, SECRET},
    home::{Home, Rows},
    process::NodeProcess,
    protocol::Reads,
    proxy::Proxy,
};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// The nodes, each in its own process, and a proxy for each direction between two.
#[derive(Debug)]
pub(crate) struct Cluster {
    home: Home,
    carrier: Carrier,
    folder: PathBuf,
    secret: String,
    nodes: Vec<Arc<NodeProcess>>,
    links: Vec<Link>,
    /// Of each node to the log, where that is no file.
    log_links: Vec<Proxy>,
    /// What the processes read that are no more.
    pub(crate) buried: Vec<(usize, Reads)>,
}

/// Between two nodes; or of one to the server that carries frames, from and to itself.
#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Cluster {
    /// Starts all nodes on the database.
    pub(crate) async fn start(home: Home, carrier: Carrier, folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Self {
            folder: folder.into(),
            secret: random_secret(),
            nodes: Vec::new(),
            links: links(&home, &carrier).await?,
            carrier,
            log_links: Vec::new(),
            buried: Vec::new(),
            home,
        };
        for index in 0..NODES {
            if let Some((host, port)) = cluster.home.log_server()? {
                let proxy = Proxy::start().await?;
                proxy.lead_to(&host, port);
                cluster.log_links.push(proxy);
            } else if let Rows::Sqlite(file) = &cluster.home.rows {
                symlink(file, cluster.log(index))?;
            }
            let node = cluster.start_node(index).await?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    async fn start_node(&self, index: usize) -> anyhow::Result<Arc<NodeProcess>> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("node")
            .env(SECRET, &self.secret)
            .env(HOME, serde_json::to_string(&self.home)?);
        match self.log_links.get(index) {
            Some(link) => command.arg("--log-through").arg(link.address().to_string()),
            None => command.arg("--log").arg(self.log(index)),
        };
        if let Carrier::Broker(broker) = &self.carrier {
            command.env(FRAMES, serde_json::to_string(broker)?);
        }
        for link in self.links.iter().filter(|link| link.from == index) {
            let which = match self.carrier {
                Carrier::Http => "--peer",
                Carrier::Postgres | Carrier::Broker(_) => "--frames-through",
            };
            command.arg(which).arg(link.proxy.address().to_string());
        }
        let node = NodeProcess::start(index + 1, command).await?;
        if matches!(self.carrier, Carrier::Http) {
            for link in self.links.iter().filter(|link| link.to == index) {
                link.proxy.lead_to("127.0.0.1", node.port);
            }
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

    /// Takes the log away from one node: its name for the file leads nowhere, or its link to the database is cut.
    pub(crate) fn lose_log(&self, index: usize) -> anyhow::Result<()> {
        match self.log_links.get(index) {
            Some(link) => link.cut(),
            None => self.point_log(index, Path::new("/nonexistent/log.db"))?,
        }
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn find_log(&self, index: usize) -> anyhow::Result<()> {
        match (self.log_links.get(index), &self.home.rows) {
            (Some(link), _) => link.mend(),
            (None, Rows::Sqlite(file)) => self.point_log(index, file)?,
            (None, _) => {}
        }
        Ok(())
    }

    fn point_log(&self, index: usize, to: &Path) -> anyhow::Result<()> {
        let fresh = self.folder.join("next-link");
        symlink(to, &fresh)?;
        Ok(fs::rename(fresh, self.log(index))?) // At once: there is no moment without either.
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    fn log(&self, index: usize) -> PathBuf {
        self.folder.join(format!("log-of-node-{}.db", index + 1))
    }
}

/// The ways of the frames.
async fn links(home: &Home, carrier: &Carrier) -> anyhow::Result<Vec<Link>> {
    let mut links = Vec::new();
    for from in 0..NODES {
        if let Some((host, port)) = carrier.server(home)? {
            let proxy = Proxy::start().await?;
            proxy.lead_to(&host, port);
            let to = from;
            links.push(Link { from, to, proxy });
            continue;
        }
        for to in (0..NODES).filter(|to| *to != from) {
            let proxy = Proxy::start().await?;
            links.push(Link { from, to, proxy });
        }
    }
    Ok(links)
}

fn random_secret() -> String {
    let secret: [u8; 32] = rand::rng().random();
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}
