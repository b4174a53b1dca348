//! The REST service as two real processes.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use program::{Running, eventually, example, within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Below the service's TTLs, of which the shortest is 30 s and at most a tenth less: what is seen by then was told.
const BEFORE_ANY_TTL: Duration = Duration::from_secs(20);

/// P1, P6, P2: what one instance writes, it reads at once, and the other soon; also what was not there, and what is
/// no more. SIGTERM ends both in order.
#[test]
fn two_instances_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (free_port(), free_port());
    let mut instances = [
        Instance::start(folder.path(), first, &[second]),
        Instance::start(folder.path(), second, &[first]),
    ];
    let [one, other] = &instances;

    // Absent on both, and remembered as absent.
    assert_eq!(one.get("/users/1").0, 404);
    assert_eq!(other.get("/users/1").0, 404);
    assert_eq!(one.put(1, "Ada", "ada@example.org").0, 200);
    assert_eq!(
        one.get("/users/1"),
        (200, user(1, "Ada", "ada@example.org"))
    );
    within(
        BEFORE_ANY_TTL,
        "the other instance sees the new user",
        || other.get("/users/1") == (200, user(1, "Ada", "ada@example.org")),
    );

    assert_eq!(other.put(1, "Ada Lovelace", "ada@example.org").0, 200);
    assert_eq!(other.get("/users/1").1["name"], "Ada Lovelace");
    within(BEFORE_ANY_TTL, "the first instance sees the change", || {
        one.get("/users/1").1["name"] == "Ada Lovelace"
    });

    assert_eq!(one.send("DELETE", "/users/1", None).0, 204);
    assert_eq!(one.get("/users/1").0, 404);
    within(
        BEFORE_ANY_TTL,
        "the other instance sees that the user is gone",
        || other.get("/users/1").0 == 404,
    );

    for instance in &mut instances {
        instance.process.signal(Signal::TERM);
        assert_eq!(instance.process.code(), Some(0));
    }
}

/// P15: without any fan-out the log alone brings the write.
#[test]
fn without_fan_out_the_log_tells() {
    let folder = tempfile::tempdir().unwrap();
    let one = Instance::start(folder.path(), free_port(), &[]);
    let other = Instance::start(folder.path(), free_port(), &[]);
    assert_eq!(other.get("/users/1").0, 404);
    assert_eq!(one.put(1, "Ada", "ada@example.org").0, 200);
    within(
        BEFORE_ANY_TTL,
        "the other instance sees the new user",
        || other.get("/users/1").0 == 200,
    );
}

/// Bad requests get an answer that says so, and change nothing.
#[test]
fn bad_requests_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let service = Instance::start(folder.path(), free_port(), &[]);
    assert_eq!(service.put(1, "Ada", "ada@example.org").0, 200);
    assert_eq!(service.put(2, "Charles", "charles@example.org").0, 200);

    assert_eq!(service.put(2, "Charles", "ada@example.org").0, 409);
    assert_eq!(service.put(2, " ", "charles@example.org").0, 422);
    assert_eq!(service.put(2, "Charles", "nobody").0, 422);
    assert_eq!(service.get("/users/x").0, 400);
    assert_eq!(service.send("DELETE", "/users/3", None).0, 404);
    // The fan-out is there, and believes no stranger (P18).
    let (status, _) = service.send("POST", "/internal/cache-invalidation", Some("nonsense"));
    assert!((400..500).contains(&status), "{status}");

    let (ada, charles) = (
        user(1, "Ada", "ada@example.org"),
        user(2, "Charles", "charles@example.org"),
    );
    assert_eq!(service.get("/users/2"), (200, charles.clone()));
    assert_eq!(service.get("/users"), (200, json!([ada, charles])));
    assert_eq!(
        service.get("/users?after=1&limit=5"),
        (200, json!([charles]))
    );
    assert_eq!(service.get("/health").1["cache"], "ok");
}

/// Without a secret it does not start, and says what is missing.
#[test]
fn it_wants_a_secret() {
    let output = example("axum_service")
        .env_remove("INVALIDATION_SECRET")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--secret"), "{told}");
}

fn user(id: i64, name: &str, email: &str) -> Value {
    json!({ "id": id, "name": name, "email": email })
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

struct Instance {
    process: Running,
    port: u16,
}

impl Instance {
    /// Starts one, and waits until it answers.
    fn start(folder: &Path, port: u16, peers: &[u16]) -> Self {
        let mut command = example("axum_service");
        command
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--database")
            .arg(folder.join("users.db"))
            .env("INVALIDATION_SECRET", "a secret for this test alone")
            .env("RUST_LOG", "warn");
        for peer in peers {
            command.args(["--peer", &format!("http://127.0.0.1:{peer}/internal")]);
        }
        let mut instance = Self {
            process: Running::start(&mut command),
            port,
        };
        eventually("the service answers", || {
            let ended = instance.process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended at once: {ended:?}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        instance
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None)
    }

    fn put(&self, id: i64, name: &str, email: &str) -> (u16, Value) {
        let body = json!({ "name": name, "email": email }).to_string();
        self.send("PUT", &format!("/users/{id}"), Some(&body))
    }

    /// One request on a connection of its own; status and body, `Null` where that is no JSON.
    fn send(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(program::DEADLINE)).unwrap();
        let body = body.unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}
