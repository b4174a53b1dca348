//! From checked data to a node.

use invalidation_core::{Error, MemoryLog, Node, NodeBuilder};

use super::{Config, LogChoice};

impl Config {
    /// A builder with all that is configured; what is added to it before
    /// [`start`](NodeBuilder::start) comes on top. Opens the log's file and binds the listener.
    ///
    /// # Errors
    /// Those of the backends: a file that cannot be opened, an address in use. With
    /// `log.start_in_bypass` a log that cannot be opened now is opened later.
    pub async fn node(&self) -> Result<NodeBuilder, Error> {
        let mut settings = self.settings.clone();
        let timeouts = [
            self.http.as_ref().and_then(|http| http.publish_timeout),
            self.postgres.as_ref().and_then(|pg| pg.publish_timeout),
        ];
        for timeout in timeouts.into_iter().flatten() {
            // The node must not give up on a frame while the transport still waits for a peer.
            settings.publish_timeout = settings.publish_timeout.max(timeout);
        }
        let mut builder = Node::builder(self.cluster.as_str())
            .settings(settings)
            .clock(self.clock.clone())
            .cache_defaults(self.cache_defaults.clone());
        for (cache, settings) in &self.caches {
            builder = builder.cache_settings(cache.as_str(), settings.clone());
        }
        builder = match &self.log {
            LogChoice::None => builder,
            LogChoice::Memory => builder.log(MemoryLog::new()),
            LogChoice::Sqlite(sqlite) => self.with_sqlite(builder, sqlite).await?,
            LogChoice::Postgres(postgres) => self.with_postgres(builder, postgres).await?,
            LogChoice::MySql(mysql) => self.with_mysql(builder, mysql).await?,
        };
        if let Some(http) = &self.http {
            builder = self.with_http(builder, http)?;
        }
        if let Some(postgres) = &self.postgres {
            builder = self.with_postgres_transport(builder, postgres)?;
        }
        Ok(builder)
    }

    /// [`node`](Self::node), started.
    ///
    /// # Errors
    /// Those of [`node`](Self::node) and of [`NodeBuilder::start`].
    pub async fn start(&self) -> Result<Node, Error> {
        self.node().await?.start().await
    }
}

/// Says once that a link is not verified, by which mode, and what would.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn warn_of_weak_tls(of: &'static str, mode: Option<&'static str>, verified: &'static str) {
    if let Some(mode) = mode {
        tracing::warn!(
            of,
            mode,
            "insecure_tls: nobody checks that the database server is the one that is meant, so that whoever is in \
             between can read and write what it is asked: use {verified}"
        );
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::time::Duration;

    use invalidation_core::{Error, NodeBuilder};
    use invalidation_log_sqlite::{Access, Durability, SqliteLog};

    use crate::config::{Config, Peer, SqliteConfig};

    /// What the log takes at most.
    const LONGEST: Duration = Duration::from_secs(3_600);

    impl Config {
        pub(super) async fn with_sqlite(
            &self,
            builder: NodeBuilder,
            sqlite: &SqliteConfig,
        ) -> Result<NodeBuilder, Error> {
            self.warn_of_other_hosts();
            let mut log = SqliteLog::builder(&sqlite.path)
                .create_if_missing(sqlite.create_if_missing)
                .access(if sqlite.read_only {
                    Access::ReadOnly
                } else {
                    Access::ReadWrite
                })
                .durability(if sqlite.survives_power_loss {
                    Durability::PowerLoss
                } else {
                    Durability::ProcessCrash
                })
                // Less than the node waits, so that a lock is told as such, and not as silence.
                .read_timeout((self.settings.read_timeout / 2).min(LONGEST))
                .append_timeout((self.settings.append_timeout / 5 * 4).min(LONGEST));
            if let Some(pages) = sqlite.max_pages {
                log = log.max_pages(pages);
            }
            Ok(builder.log(if self.settings.start_in_bypass {
                log.open_later()?
            } else {
                log.open().await?
            }))
        }

        /// One host shares an SQLite file. A peer on another host would have a log of its own, and miss what
        /// is written here without a word.
        fn warn_of_other_hosts(&self) {
            let peers = self.http.iter().flat_map(|http| &http.peers);
            if let Some(peer) = peers.into_iter().find(|peer| !is_here(peer)) {
                tracing::warn!(
                    %peer,
                    "the log is an SQLite file, which only the processes of one host can share: if this peer is on \
                     another host, its caches and these miss each other's invalidations"
                );
            }
        }
    }

    fn is_here(peer: &Peer) -> bool {
        match peer {
            Peer::Node { host, .. } | Peer::Under { host, .. } => {
                host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
            // They announce themselves in the file.
            Peer::Log => true,
            Peer::Dns { .. } => false,
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::time::Duration;

    use invalidation_core::{Error, ErrorKind, NodeBuilder, Sender};
    use invalidation_transport_pg::{PgLog, PgTransport, Pooling};

    use super::warn_of_weak_tls;
    use crate::config::{Config, PoolingChoice, PostgresConfig, PostgresTransportConfig, Secret};

    /// How long a node that was killed counts as a peer, unless polls are rare.
    const MEMBERS_EXPIRE_AFTER: Duration = Duration::from_secs(15);

    /// What the log takes at most, and at least.
    const BOUNDS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3_600));

    impl Config {
        pub(super) async fn with_postgres(
            &self,
            builder: NodeBuilder,
            postgres: &PostgresConfig,
        ) -> Result<NodeBuilder, Error> {
            let within = |timeout: Duration| timeout.clamp(BOUNDS.0, BOUNDS.1);
            warn_of_weak_tls("log", postgres.insecure_tls, "sslmode=verify-full");
            let mut log = PgLog::builder(text(&postgres.url)?)
                .pooling(match postgres.pooling {
                    PoolingChoice::Detect => Pooling::Detect,
                    PoolingChoice::Direct => Pooling::Direct,
                    PoolingChoice::Transaction => Pooling::Transaction,
                })
                .read_timeout(within(self.settings.read_timeout))
                // Less than the node waits, so that a lock is told as such, and not as silence.
                .write_timeout(within(self.settings.append_timeout / 5 * 4))
                // Each heartbeat goes with a poll.
                .members_expire_after(within(
                    MEMBERS_EXPIRE_AFTER.max(self.settings.poll_interval * 4),
                ));
            if let Some(schema) = &postgres.schema {
                log = log.schema(schema);
            }
            if let Some(password) = &postgres.password {
                log = log.password(text(password)?);
            }
            Ok(builder.log(if self.settings.start_in_bypass {
                log.connect_later()?
            } else {
                log.connect().await?
            }))
        }

        pub(super) fn with_postgres_transport(
            &self,
            builder: NodeBuilder,
            postgres: &PostgresTransportConfig,
        ) -> Result<NodeBuilder, Error> {
            // Every field, so that none is forgotten.
            let PostgresTransportConfig {
                url,
                password,
                insecure_tls,
                authenticated,
                publish_timeout,
                notices_loss_within,
                buffered_frames,
            } = postgres;
            warn_of_weak_tls("transport", *insecure_tls, "sslmode=verify-full");
            let mut transport = PgTransport::builder(self.cluster.as_str()).url(text(url)?);
            if let Some(password) = password {
                transport = transport.password(text(password)?);
            }
            if *authenticated {
                transport = transport.sender(Sender::Authenticated);
            }
            if let Some(timeout) = publish_timeout {
                transport = transport.publish_timeout(*timeout);
            }
            if let Some(time) = notices_loss_within {
                transport = transport.notices_loss_within(*time);
            }
            if let Some(frames) = buffered_frames {
                transport = transport.buffered(*frames);
            }
            Ok(builder.transport(transport.build()?))
        }
    }

    fn text(secret: &Secret) -> Result<&str, Error> {
        let refuse = |_| {
            let why = "the URL or the password of the log is not UTF-8: write it so";
            Error::new(ErrorKind::Invalid, "config", "start", why)
        };
        std::str::from_utf8(secret.expose()).map_err(refuse)
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use std::time::Duration;

    use invalidation_core::{Error, ErrorKind, NodeBuilder};
    use invalidation_log_mysql::{MySqlLog, protection};

    use super::warn_of_weak_tls;
    use crate::config::{Config, MySqlConfig, Secret};

    /// What the log takes at most, and at least.
    const BOUNDS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3_600));

    impl Config {
        pub(super) async fn with_mysql(
            &self,
            builder: NodeBuilder,
            mysql: &MySqlConfig,
        ) -> Result<NodeBuilder, Error> {
            warn_of_weak_tls("log", mysql.insecure_tls, protection::VERIFIED);
            let within = |timeout: Duration| timeout.clamp(BOUNDS.0, BOUNDS.1);
            let mut log = MySqlLog::builder(text(&mysql.url)?)
                .read_timeout(within(self.settings.read_timeout))
                // Less than the node waits, so that a lock is told as such, and not as silence.
                .write_timeout(within(self.settings.append_timeout / 5 * 4));
            if let Some(database) = &mysql.database {
                log = log.database(database);
            }
            if let Some(password) = &mysql.password {
                log = log.password(text(password)?);
            }
            Ok(builder.log(if self.settings.start_in_bypass {
                log.connect_later()?
            } else {
                log.connect().await?
            }))
        }
    }

    fn text(secret: &Secret) -> Result<&str, Error> {
        let refuse = |_| {
            let why = "the URL or the password of the log is not UTF-8: write it so";
            Error::new(ErrorKind::Invalid, "config", "start", why)
        };
        std::str::from_utf8(secret.expose()).map_err(refuse)
    }
}

#[cfg(feature = "http")]
mod http {
    use invalidation_core::{Error, NodeBuilder};
    use invalidation_transport_http::HttpTransport;

    use crate::config::{Config, HttpConfig};

    impl Config {
        pub(super) fn with_http(
            &self,
            builder: NodeBuilder,
            http: &HttpConfig,
        ) -> Result<NodeBuilder, Error> {
            // Every field, so that none is forgotten.
            let HttpConfig {
                listen,
                peers,
                advertise,
                secret,
                second_secret,
                allowed_networks,
                allowed_ports,
                dns_interval,
                publish_timeout,
                body_cap,
                queue_frames,
                subscription_frames,
                header_deadline,
                body_deadline,
                max_unverified,
                max_connections,
                max_sessions,
                sign_of_life,
            } = http.clone();
            let mut transport = HttpTransport::builder(self.cluster.as_str())
                .listen(listen)
                .peers(peers.iter().map(ToString::to_string))
                .insecure(secret.is_none());
            /// Hands on what is configured; the rest keeps the transport's default.
            macro_rules! pass {
                ($($key:ident => $setter:ident),* $(,)?) => {
                    $(if let Some(value) = $key {
                        transport = transport.$setter(value);
                    })*
                };
            }
            pass!(
                allowed_networks => allow_networks,
                allowed_ports => allow_ports,
                dns_interval => dns_interval,
                publish_timeout => publish_timeout,
                body_cap => body_cap,
                queue_frames => queue_frames,
                subscription_frames => subscription_frames,
                header_deadline => header_deadline,
                body_deadline => body_deadline,
                max_unverified => max_unverified,
                max_connections => max_connections,
                max_sessions => max_sessions,
                sign_of_life => sign_of_life,
            );
            if let Some(address) = advertise {
                transport = transport.advertise(address.to_string());
            }
            if let Some(secret) = secret {
                transport = transport.secret(secret.expose());
            }
            if let Some(secret) = second_secret {
                transport = transport.second_secret(secret.expose());
            }
            Ok(builder.transport(transport.build()?))
        }
    }
}

/// Parsing refuses what is not compiled in; these stand where a feature is off.
#[cfg(not(all(
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "http"
)))]
mod absent {
    use invalidation_core::{Error, ErrorKind, NodeBuilder};

    use crate::config::Config;

    impl Config {
        #[cfg(not(feature = "sqlite"))]
        pub(super) async fn with_sqlite(
            &self,
            _: NodeBuilder,
            _: &crate::config::SqliteConfig,
        ) -> Result<NodeBuilder, Error> {
            Err(not_compiled_in(
                "the SQLite log is not compiled in: enable the cargo feature `sqlite`",
            ))
        }

        #[cfg(not(feature = "postgres"))]
        pub(super) async fn with_postgres(
            &self,
            _: NodeBuilder,
            _: &crate::config::PostgresConfig,
        ) -> Result<NodeBuilder, Error> {
            Err(not_compiled_in(
                "the Postgres log is not compiled in: enable the cargo feature `postgres`",
            ))
        }

        #[cfg(not(feature = "postgres"))]
        pub(super) fn with_postgres_transport(
            &self,
            _: NodeBuilder,
            _: &crate::config::PostgresTransportConfig,
        ) -> Result<NodeBuilder, Error> {
            Err(not_compiled_in(
                "the Postgres transport is not compiled in: enable the cargo feature `postgres`",
            ))
        }

        #[cfg(not(feature = "mysql"))]
        pub(super) async fn with_mysql(
            &self,
            _: NodeBuilder,
            _: &crate::config::MySqlConfig,
        ) -> Result<NodeBuilder, Error> {
            Err(not_compiled_in(
                "the MySQL log is not compiled in: enable the cargo feature `mysql`",
            ))
        }

        #[cfg(not(feature = "http"))]
        pub(super) fn with_http(
            &self,
            _: NodeBuilder,
            _: &crate::config::HttpConfig,
        ) -> Result<NodeBuilder, Error> {
            Err(not_compiled_in(
                "the HTTP transport is not compiled in: enable the cargo feature `http`",
            ))
        }
    }

    fn not_compiled_in(message: &'static str) -> Error {
        Error::new(ErrorKind::Unsupported, "config", "start", message)
    }
}
