//! The setters that both builders have.

/// Setters that say where the cluster is, for a builder with a field `servers`.
macro_rules! server_setters {
    () => {
        /// The cluster's members: `etcd://USER:PASSWORD@HOST:PORT,HOST:PORT`, with `etcds://` for TLS. Port 2379 need
        /// not be said.
        ///
        /// One member is used at a time, a random one first, and the next when it fails.
        pub fn url(mut self, url: &str) -> Self {
            self.servers.url(url);
            self
        }

        /// The user, where the URL does not hold it.
        pub fn user(mut self, user: &str) -> Self {
            self.servers.user(user);
            self
        }

        /// The user's password, where the URL does not hold it.
        pub fn password(mut self, password: &str) -> Self {
            self.servers.password(password);
            self
        }

        /// The only certificate authorities to trust, PEM, instead of the system's. Read at each connection.
        pub fn ca_file(mut self, file: impl Into<std::path::PathBuf>) -> Self {
            self.servers.ca_file(file.into());
            self
        }

        /// Files of the certificate and its key to show to the server, PEM. Read at each connection.
        pub fn client_certificate(
            mut self,
            certificate: impl Into<std::path::PathBuf>,
            key: impl Into<std::path::PathBuf>,
        ) -> Self {
            self.servers
                .client_certificate(certificate.into(), key.into());
            self
        }

        /// The name that the server's certificate is to have, where that is not the host's.
        pub fn server_name(mut self, name: &str) -> Self {
            self.servers.server_name(name);
            self
        }

        /// Takes whoever answers for the server: the link is encrypted, and somebody in between can read along and be the
        /// server. For trials alone.
        pub fn insecure_tls(mut self) -> Self {
            self.servers.insecure_tls();
            self
        }

        /// How long one member may take to let in, before the next is asked. The last one may take as long as the call.
        /// Default: 1 s.
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.servers.connect_timeout(timeout);
            self
        }
    };
}

pub(crate) use server_setters;
