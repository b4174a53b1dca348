//! The quickstart on servers, with few writes. Without a server it is reported as ignored, with the reason;
//! `REQUIRE_BACKENDS` makes that a failure.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use std::process::ExitCode;

use invalidation_testbed::{Backend, Offer, Required, Server, shared};
use libtest_mimic::{Arguments, Completion, Trial};
use program::example;
use serde_json::Value;
use sqlx::{Connection, MySqlConnection, PgConnection};

fn main() -> ExitCode {
    let on = |backend, log, transport| {
        let url = |asked: bool, server: &Server| {
            asked.then(|| server.url().replace("http://", "etcd://"))
        };
        move |server: &Server| all_acts_pass(backend, url(log, server), transport, server)
    };
    let mut trials = vec![
        trial(
            "P1_P3_all_acts_pass_on_postgres",
            Backend::Postgres,
            on(Backend::Postgres, true, Some("http")),
        ),
        trial(
            "P1_P3_all_acts_pass_with_notify",
            Backend::Postgres,
            on(Backend::Postgres, true, Some("postgres")),
        ),
        trial(
            "P1_P3_all_acts_pass_on_mariadb",
            Backend::Mariadb,
            on(Backend::Mariadb, true, Some("http")),
        ),
        Trial::test("what_cannot_be_is_refused", || {
            what_cannot_be_is_refused();
            Ok(())
        }),
    ];
    for (compiled, name, backend) in [
        (cfg!(feature = "redis"), "redis", Backend::Redis),
        (cfg!(feature = "nats"), "nats", Backend::Nats),
        (cfg!(feature = "etcd"), "etcd", Backend::Etcd),
    ] {
        if compiled {
            let both = format!("P1_P3_all_acts_pass_on_{name}");
            trials.push(trial(&both, backend, on(backend, true, Some(name))));
            let frames = format!("P1_P3_all_acts_pass_with_frames_by_{name}");
            trials.push(trial(&frames, backend, on(backend, false, None)));
        }
    }
    let mut arguments = Arguments::from_args();
    // Each run is three processes that must not be late.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, backend: Backend, body: impl FnOnce(&Server) + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        match Required::from_env()?.decide(shared(backend))? {
            Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => {
                body(server);
                Ok(Completion::Completed)
            }
        }
    })
}

/// P1, P3, P15: the acts are the same on a server: every write arrives, and no read is staler than its bound. Nothing is
/// left on it. Without a `log` the log is a file; without a `transport` it is the server, by its URL.
fn all_acts_pass(backend: Backend, log: Option<String>, transport: Option<&str>, server: &Server) {
    let mut program = example("quickstart");
    // The testbed names etcd by the URL of its API.
    let url = server.url().replace("http://", "etcd://");
    program.args([
        "--json",
        "--short",
        "--transport",
        transport.unwrap_or(&url),
    ]);
    let with_log = log.is_some();
    if let Some(log) = log {
        program.arg("--log").arg(log);
    }
    let output = program.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["stale_reads_beyond_bound"], 0, "{summary}");
    for (path, most) in [("/writes", 30), ("/reads", 1_000)] {
        let number = summary.pointer(path).and_then(Value::as_u64);
        assert!(number.unwrap() > most, "{path} of {summary}");
    }
    for act in 1..=6 {
        let begins = format!("{act}  ");
        assert!(told.lines().any(|line| line.starts_with(&begins)), "{told}");
    }
    let name = match backend {
        Backend::Postgres => "PostgreSQL",
        Backend::Mariadb => "MariaDB",
        Backend::Redis => "Redis",
        Backend::Nats => "NATS",
        _ => "etcd",
    };
    assert!(told.contains(name), "{told}");
    assert_eq!(told.contains("one SQLite file with"), !with_log, "{told}");
    let left = left_behind(backend, &url);
    assert!(left.is_empty(), "{left:?} are left behind");
}

/// What carries this program's name on the server.
fn left_behind(backend: Backend, url: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match backend {
            Backend::Postgres => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'quickstart%'";
                sqlx::query_scalar(sql)
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
            }
            Backend::Mariadb => {
                let mut connection = MySqlConnection::connect(url).await.unwrap();
                let sql = "SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata \
                     WHERE schema_name LIKE 'quickstart%'";
                sqlx::query_scalar(sql)
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
            }
            #[cfg(feature = "redis")]
            Backend::Redis => {
                let client = redis::Client::open(url).unwrap();
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                redis::AsyncCommands::keys(&mut connection, "*quickstart*")
                    .await
                    .unwrap()
            }
            #[cfg(feature = "nats")]
            Backend::Nats => {
                use futures_util::TryStreamExt as _;
                let client = async_nats::connect(url).await.unwrap();
                let streams = async_nats::jetstream::new(client);
                streams.stream_names().try_collect().await.unwrap()
            }
            #[cfg(feature = "etcd")]
            Backend::Etcd => {
                let address = url.rsplit('/').next().unwrap();
                let mut client = etcd_client::Client::connect([address], None).await.unwrap();
                let all = etcd_client::GetOptions::new()
                    .with_prefix()
                    .with_keys_only();
                let found = client.get("/cache-invalidation/", Some(all)).await.unwrap();
                found
                    .kvs()
                    .iter()
                    .map(|kv| kv.key_str().unwrap().to_owned())
                    .collect()
            }
            _ => panic!("nobody looks there"),
        }
    })
}

/// A log that this program does not know is named, without the password in its URL.
fn what_cannot_be_is_refused() {
    for (arguments, expected) in [
        (&["--log", "mongodb://u:hunter2@db"][..], "postgres://USER"),
        (&["--log", "mysql://u:hunter2@db:x/b"], "cannot be used"),
        (&["--log", "postgres://u:hunter2@db:x/b"], "cannot be used"),
        (
            &["--log", "postgres://u:hunter2@%2Frun/b"],
            "a host and a port",
        ),
        (&["--transport", "postgres"], "needs --log"),
        (&["--transport", "redis"], "needs --log redis://"),
        (&["--transport", "pigeons"], "the URL of a broker"),
    ] {
        let output = example("quickstart").args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains("hunter2"), "{arguments:?}: {told}");
    }
}
