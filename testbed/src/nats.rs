//! Several NATS servers that are one cluster.

use std::ffi::OsString;

use crate::backend::Backend;
use crate::error::Error;
use crate::recipe::Role;
use crate::server::Server;

impl Server {
    /// Starts a NATS cluster of so many servers, each with further arguments, and waits until each answers. That they know
    /// of each other, and have a leader for JetStream, is not waited for.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn nats_cluster(members: usize, arguments: &[&str]) -> Result<Vec<Self>, Error> {
        let mut servers = (0..members)
            .map(|_| Self::assemble(Backend::Nats, Role::Single))
            .collect::<Result<Vec<_>, _>>()?;
        let routes: Vec<String> = servers
            .iter()
            .map(|server| format!("nats://{}", server.second_address()))
            .collect();
        for (at, server) in servers.iter_mut().enumerate() {
            let name = format!("n{at}");
            let own = [
                ["--name", &name],
                ["--cluster_name", "testbed"],
                ["--cluster", &routes[at]],
                ["--routes", &routes.join(",")],
            ];
            let all = own.iter().flatten().chain(arguments);
            server.add_arguments(all.map(OsString::from));
            server.begin()?;
        }
        Ok(servers)
    }
}
