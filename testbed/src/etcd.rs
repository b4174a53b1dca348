//! An etcd that speaks TLS, and one of several members.

use std::ffi::OsString;
use std::path::Path;

use crate::backend::Backend;
use crate::error::Error;
use crate::ping::Ready;
use crate::recipe::Role;
use crate::server::Server;

impl Server {
    /// Starts an etcd that speaks TLS with its clients, with this certificate and key, and that lets in only who shows a
    /// certificate of this authority, if there is one. It is not waited for until it answers, but until it listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn etcd_with_tls(
        certificate: &Path,
        key: &Path,
        clients: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut server = Self::assemble(Backend::Etcd, Role::Single)?;
        let url = format!("https://{}", server.address());
        let mut arguments: Vec<OsString> = Vec::new();
        for (flag, value) in [
            ("--listen-client-urls", url.as_ref()),
            ("--advertise-client-urls", url.as_ref()),
            ("--cert-file", certificate.as_os_str()),
            ("--key-file", key.as_os_str()),
        ] {
            arguments.extend([flag.into(), value.to_owned()]);
        }
        if let Some(authority) = clients {
            arguments.push("--client-cert-auth".into());
            arguments.extend(["--trusted-ca-file".into(), authority.into()]);
        }
        server.add_arguments(arguments);
        server.ready_when(Ready::Listens);
        server.begin()?;
        Ok(server)
    }

    /// Starts an etcd of so many members, and waits until each answers. They take half a second without a leader for the
    /// loss of it, so that a busy machine is none.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn etcd_cluster(members: usize) -> Result<Vec<Self>, Error> {
        let mut servers = (0..members)
            .map(|_| Self::assemble(Backend::Etcd, Role::Single))
            .collect::<Result<Vec<_>, _>>()?;
        let peers: Vec<String> = servers
            .iter()
            .enumerate()
            .map(|(at, server)| format!("n{at}=http://{}", server.second_address()))
            .collect();
        let peers = peers.join(",");
        for (at, server) in servers.iter_mut().enumerate() {
            let name = format!("n{at}");
            let arguments = [
                ["--name", &name],
                ["--initial-cluster", &peers],
                ["--heartbeat-interval", "50"],
                ["--election-timeout", "500"],
            ];
            server.add_arguments(arguments.iter().flatten().map(OsString::from));
        }
        // None is ready before a majority is.
        std::thread::scope(|scope| {
            let starting: Vec<_> = servers
                .iter()
                .map(|server| scope.spawn(|| server.begin()))
                .collect();
            starting.into_iter().try_for_each(|one| {
                one.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        Ok(servers)
    }
}
