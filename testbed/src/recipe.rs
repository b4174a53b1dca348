//! How each server is prepared and started.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;

use crate::account::Account;
use crate::backend::Backend;
use crate::command::Call;
use crate::error::Error;
use crate::folder::Folder;
use crate::ping::Ready;

/// What a recipe is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// A server of its own.
    Single,
    /// A copy of the server at the address, or a pooler in front of it.
    Of(SocketAddr),
}

/// A server that is ready to be started, again and again.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) call: Call,
    /// When a fresh one is ready.
    pub(crate) ready: Ready,
}

impl Recipe {
    /// When one that is started again is ready: a copy may have been promoted since, or have lost its primary.
    pub(crate) fn ready_again(&self) -> Ready {
        match self.ready {
            Ready::StandbyStreams | Ready::ReplicaLinked => Ready::Answers,
            ready @ (Ready::Answers | Ready::AnswersItself | Ready::Listens) => ready,
        }
    }
}

/// Where a recipe cooks.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) account: Option<Account>,
    pub(crate) address: SocketAddr,
    /// A second port, for those that need one.
    pub(crate) peer: SocketAddr,
}

impl Place<'_> {
    pub(crate) fn prepare(&self, backend: Backend, role: Role) -> Result<Recipe, Error> {
        match backend {
            Backend::Postgres => self.postgres(role),
            Backend::Pgbouncer => self.pgbouncer(role),
            Backend::Mariadb => self.mariadb(),
            Backend::Redis => self.redis(role),
            Backend::Nats => self.nats(),
            Backend::Etcd => self.etcd(),
        }
    }

    /// Without fsync: a test's crash is that of the processes, never of the machine. The settings stand in the server's
    /// own file, where `ALTER SYSTEM` can overrule them.
    fn postgres(&self, role: Role) -> Result<Recipe, Error> {
        let data = self.path("data");
        match role {
            Role::Single => {
                let mut arguments = list(["-U", "postgres", "-A", "trust", "--no-sync"]);
                arguments.extend(list(["-E", "UTF8", "--locale=C", "-D", &data]));
                self.call(Backend::Postgres, "initdb", arguments)?
                    .run(self.folder)?;
                self.append(
                    "data/postgresql.conf",
                    "fsync = off\nmax_connections = 200\nmax_prepared_transactions = 10\n",
                )?;
            }
            Role::Of(primary) => {
                let host = primary.ip().to_string();
                let port = primary.port().to_string();
                let mut arguments = list(["-h", &host, "-p", &port, "-U", "postgres"]);
                arguments.extend(list([
                    "-R",
                    "-X",
                    "stream",
                    "-c",
                    "fast",
                    "--no-sync",
                    "-D",
                    &data,
                ]));
                self.call(Backend::Postgres, "pg_basebackup", arguments)?
                    .run(self.folder)?;
            }
        }
        let port = self.port();
        let mark = format!("cluster_name={}", self.folder.mark());
        let mut arguments = list(["-D", &data, "-p", &port, "-h", "127.0.0.1"]);
        // No Unix socket: its path may be too long under a deep TMPDIR.
        arguments.extend(list(["-k", "", "-c", &mark]));
        let ready = match role {
            Role::Single => Ready::Answers,
            Role::Of(_) => Ready::StandbyStreams,
        };
        self.recipe(Backend::Postgres, "postgres", arguments, ready)
    }

    fn pgbouncer(&self, role: Role) -> Result<Recipe, Error> {
        let Role::Of(server) = role else {
            unreachable!("a pooler is made for the address of a server");
        };
        let users = self.path("users.txt");
        let config = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {users}\nadmin_users = postgres\n\
             pool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = 20\n\
             server_login_retry = 0.1\nignore_startup_parameters = extra_float_digits\n",
            server.ip(),
            server.port(),
            self.port(),
        );
        // Who may log in: also an ordinary user, and one of fewer rights, whom a test makes on the server.
        let known = ["postgres", "app", "weak"].map(|user| format!("\"{user}\" \"\"\n"));
        self.write("users.txt", &known.concat())?;
        self.write("pgbouncer.ini", &config)?;
        let arguments = list([&self.path("pgbouncer.ini")]);
        self.recipe(
            Backend::Pgbouncer,
            "pgbouncer",
            arguments,
            Ready::AnswersItself,
        )
    }

    fn mariadb(&self) -> Result<Recipe, Error> {
        let data = format!("--datadir={}", self.path("data"));
        let mut arguments = list(["--no-defaults", &data, "--skip-test-db"]);
        arguments.push("--auth-root-authentication-method=normal".into());
        self.call(Backend::Mariadb, "mariadb-install-db", arguments)?
            .run(self.folder)?;
        let port = format!("--port={}", self.port());
        // Relative to the data folder: an absolute path of a socket may be too long under a deep TMPDIR.
        let mut arguments = list([
            "--no-defaults",
            &data,
            &port,
            "--socket=s.sock",
            "--pid-file=pid",
        ]);
        arguments.extend(list([
            "--bind-address=127.0.0.1",
            "--log-bin",
            "--binlog-format=ROW",
        ]));
        arguments.extend(list([
            "--server-id=1",
            "--innodb-flush-log-at-trx-commit=2",
        ]));
        self.recipe(Backend::Mariadb, "mariadbd", arguments, Ready::Answers)
    }

    fn redis(&self, role: Role) -> Result<Recipe, Error> {
        let port = self.port();
        let folder = self.path("");
        // Redis writes a command line of its own.
        let title = format!("{{title}} {{listen-addr}} {}", self.folder.mark());
        let mut arguments = list(["--port", &port, "--bind", "127.0.0.1", "--dir", &folder]);
        arguments.extend(list(["--save", "", "--appendonly", "no"]));
        arguments.extend(list(["--proc-title-template", &title]));
        // A primary waits five seconds for more replicas otherwise.
        arguments.extend(list(["--repl-diskless-sync-delay", "0"]));
        let mut ready = Ready::Answers;
        if let Role::Of(primary) = role {
            let (host, port) = (primary.ip().to_string(), primary.port().to_string());
            arguments.extend(list(["--replicaof", &host, &port]));
            ready = Ready::ReplicaLinked;
        }
        self.recipe(Backend::Redis, "redis-server", arguments, ready)
    }

    fn nats(&self) -> Result<Recipe, Error> {
        let (port, folder) = (self.port(), self.path("jetstream"));
        let arguments = list(["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &folder]);
        self.recipe(Backend::Nats, "nats-server", arguments, Ready::Answers)
    }

    fn etcd(&self) -> Result<Recipe, Error> {
        let (client, peer) = (
            format!("http://{}", self.address),
            format!("http://{}", self.peer),
        );
        let (data, cluster) = (self.path("data"), format!("n={peer}"));
        let mut arguments = list(["--name", "n", "--data-dir", &data]);
        arguments.extend(list(["--listen-client-urls", &client]));
        arguments.extend(list(["--advertise-client-urls", &client]));
        arguments.extend(list(["--listen-peer-urls", &peer]));
        arguments.extend(list(["--initial-advertise-peer-urls", &peer]));
        arguments.extend(list(["--initial-cluster", &cluster, "--unsafe-no-fsync"]));
        arguments.extend(list([
            "--heartbeat-interval",
            "10",
            "--election-timeout",
            "100",
            // The cheapest hash of passwords: it is the tests' time.
            "--bcrypt-cost",
            "4",
        ]));
        self.recipe(Backend::Etcd, "etcd", arguments, Ready::Answers)
    }

    pub(crate) fn recipe(
        &self,
        backend: Backend,
        program: &str,
        arguments: Vec<OsString>,
        ready: Ready,
    ) -> Result<Recipe, Error> {
        let call = self.call(backend, program, arguments)?;
        Ok(Recipe { call, ready })
    }

    fn call(
        &self,
        backend: Backend,
        program: &str,
        arguments: Vec<OsString>,
    ) -> Result<Call, Error> {
        Ok(Call {
            backend,
            account: self.account,
            program: backend.program(program)?,
            arguments,
        })
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.path().join(name);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))?;
        self.account.map_or(Ok(()), |account| account.own(&path))
    }

    fn append(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.path().join(name);
        let mut file = fs::File::options()
            .append(true)
            .open(&path)
            .map_err(Error::io(format!("open {}", path.display())))?;
        file.write_all(text.as_bytes())
            .map_err(Error::io(format!("write {}", path.display())))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }
}

pub(crate) fn list<const N: usize>(arguments: [&str; N]) -> Vec<OsString> {
    arguments.map(OsString::from).to_vec()
}
