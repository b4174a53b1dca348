//! Servers' own command-line clients, and Redis and NATS by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use invalidation_testbed::Backend;
use libtest_mimic::Failed;

/// The first value of a query's answer, over a connection of its own.
pub(crate) fn psql(address: SocketAddr, query: &str) -> Result<String, Failed> {
    let url = Backend::Postgres.url(address);
    output(Command::new(Backend::Postgres.program("psql")?).args(["-AtqX", "-c", query, &url]))
}

/// The same for MariaDB.
pub(crate) fn mariadb(address: SocketAddr, query: &str) -> Result<String, Failed> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut client = Command::new(Backend::Mariadb.program("mariadb")?);
    output(client.args([
        "--no-defaults",
        "-N",
        "-h",
        &host,
        "-P",
        &port,
        "-u",
        "root",
        "-e",
        query,
    ]))
}

fn output(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?.trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// One inline command to a Redis, and the beginning of its answer.
pub(crate) fn redis(address: SocketAddr, command: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// What a NATS answers to one request, over a connection of its own.
pub(crate) fn nats(address: SocketAddr, subject: &str, payload: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = payload.len();
    write!(
        stream,
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {length}\r\n{payload}\r\n"
    )?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = lines.next().ok_or("it closed the connection")??;
        if line.starts_with("MSG answer ") {
            return Ok(lines.next().ok_or("an answer without a payload")??);
        }
        if line.starts_with("-ERR") {
            return Err(line.into());
        }
    }
}

/// A psql that stays connected.
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Failed> {
        let mut child = Command::new(Backend::Postgres.program("psql")?)
            .args(["-AtqX", &Backend::Postgres.url(address)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    pub(crate) fn ask(&mut self, query: &str) -> Result<(), Failed> {
        Ok(writeln!(self.input, "{query};")?)
    }

    /// The next line of an answer.
    pub(crate) fn answer(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
