//! The quickstart on a PostgreSQL server, with few writes. Without a server it is reported as ignored, with the reason;
//! `REQUIRE_BACKENDS` makes that a failure.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use std::process::ExitCode;

use invalidation_testbed::{Backend, Offer, Required, Server, shared};
use libtest_mimic::{Arguments, Completion, Trial};
use program::example;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

fn main() -> ExitCode {
    let trials = vec![
        trial("P1_P3_all_acts_pass_on_postgres", |server| {
            all_acts_pass(server, "http");
        }),
        trial("P1_P3_all_acts_pass_with_notify", |server| {
            all_acts_pass(server, "postgres");
        }),
        trial("what_cannot_be_is_refused", |_| what_cannot_be_is_refused()),
    ];
    let mut arguments = Arguments::from_args();
    // Each run is three processes that must not be late.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, body: impl FnOnce(&Server) + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || {
        match Required::from_env()?.decide(shared(Backend::Postgres))? {
            Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => {
                body(server);
                Ok(Completion::Completed)
            }
        }
    })
}

/// P1, P3, P15: the acts are the same on a server: every write arrives, and no read is staler than its bound. Nothing is
/// left in the database.
fn all_acts_pass(server: &Server, transport: &str) {
    let output = example("quickstart")
        .args(["--json", "--short", "--transport", transport, "--log"])
        .arg(server.url())
        .output()
        .unwrap();
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
    assert!(told.contains("one PostgreSQL database"), "{told}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let left: i64 = runtime.block_on(async {
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'quickstart%'")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    });
    assert_eq!(left, 0, "schemas are left behind");
}

/// A log that this program does not know is named, without the password in its URL.
fn what_cannot_be_is_refused() {
    for (arguments, expected) in [
        (&["--log", "redis://u:hunter2@db"][..], "postgres://USER"),
        (&["--log", "postgres://u:hunter2@db:x/b"], "cannot be used"),
        (
            &["--log", "postgres://u:hunter2@%2Frun/b"],
            "a host and a port",
        ),
        (&["--transport", "postgres"], "needs --log"),
    ] {
        let output = example("quickstart").args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains("hunter2"), "{arguments:?}: {told}");
    }
}
