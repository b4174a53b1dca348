//! Speaking to a server over its wire, to learn whether it answers.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::error::Error;

/// Connects and exchanges one question and answer, so that more than the kernel's accept queue is heard:
/// `SELECT 1` (PostgreSQL, through pgbouncer too), the greeting (MariaDB), `PING` (Redis), `INFO` with JetStream
/// (NATS), `/health` (etcd).
///
/// # Errors
/// [`Error::Unanswered`] when the answer does not come within the time, or is another one.
pub fn ping(backend: Backend, address: SocketAddr, within: Duration) -> Result<(), Error> {
    let answered = Wire::connect(address, within).and_then(|mut wire| match backend {
        Backend::Postgres | Backend::Pgbouncer => wire.postgres("postgres", "select 1"),
        Backend::Mariadb => wire.mariadb(),
        Backend::Redis => wire.line("PING\r\n", "+PONG"),
        Backend::Nats => wire.line("", "\"jetstream\":true"),
        Backend::Etcd => wire.line(
            "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n",
            "\"health\":\"true\"",
        ),
    });
    answered.map_err(|error| unanswered(backend, address, &error))
}

/// Whether a server that just started can be given to a test.
pub(crate) fn ready(
    backend: Backend,
    wanted: Ready,
    address: SocketAddr,
    within: Duration,
) -> Result<(), Error> {
    if wanted == Ready::Answers {
        return ping(backend, address, within);
    }
    let answered = Wire::connect(address, within).and_then(|mut wire| match wanted {
        Ready::Listens => Ok(()),
        Ready::Answers | Ready::AnswersItself => wire.postgres("pgbouncer", "show version"),
        Ready::StandbyStreams => wire.postgres(
            "postgres",
            "select 1 / count(*) from pg_stat_wal_receiver where status = 'streaming'",
        ),
        Ready::ReplicaLinked => wire.line("INFO replication\r\nQUIT\r\n", "master_link_status:up"),
    });
    answered.map_err(|error| unanswered(backend, address, &error))
}

/// When a server is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It answers a ping.
    Answers,
    /// It takes connections: it speaks TLS, and no answer is understood here.
    Listens,
    /// pgbouncer answers, whether or not the server behind it does.
    AnswersItself,
    /// The standby receives from its primary. Division by zero otherwise.
    StandbyStreams,
    /// The replica has the link to its primary.
    ReplicaLinked,
}

fn unanswered(backend: Backend, address: SocketAddr, error: &io::Error) -> Error {
    let reason = match error.kind() {
        // What a read says when its time is over.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    };
    Error::Unanswered {
        backend,
        address,
        reason,
    }
}

/// A connection with one deadline for all it does.
struct Wire {
    stream: TcpStream,
    deadline: Instant,
}

impl Wire {
    fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + within;
        let stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_write_timeout(Some(within))?;
        Ok(Self { stream, deadline })
    }

    /// Reads what is there, at least one byte.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(buffer)? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "it closed the connection",
            )),
            length => Ok(length),
        }
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let length = self.read(buffer)?;
            buffer = &mut buffer[length..];
        }
        Ok(())
    }

    /// Sends a line and reads until the answer holds `expected`.
    fn line(&mut self, question: &str, expected: &str) -> io::Result<()> {
        self.stream.write_all(question.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&answer);
            if text.contains(expected) {
                return Ok(());
            }
            match self.read(&mut buffer) {
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(error) if answer.is_empty() => return Err(error),
                Err(error) => {
                    let reason = format!("{error}, after {text:?} without {expected:?}");
                    return Err(io::Error::other(reason));
                }
            }
        }
    }

    /// The greeting packet: length (3), sequence (1), protocol version 10, or 255 for a refusal.
    fn mariadb(&mut self) -> io::Result<()> {
        let mut greeting = [0; 5];
        self.read_exact(&mut greeting)?;
        match greeting[4] {
            10 => Ok(()),
            other => Err(io::Error::other(format!(
                "its greeting has version {other}"
            ))),
        }
    }

    /// Start-up, trust authentication and one simple query of protocol 3.0.
    fn postgres(&mut self, database: &str, query: &str) -> io::Result<()> {
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        start.extend_from_slice(format!("user\0postgres\0database\0{database}\0\0").as_bytes());
        self.postgres_message(None, &start)?;
        self.postgres_until_ready()?;
        self.postgres_message(Some(b'Q'), format!("{query}\0").as_bytes())?;
        self.postgres_until_ready()?;
        self.postgres_message(Some(b'X'), &[])
    }

    fn postgres_message(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message)
    }

    /// Reads messages up to ReadyForQuery.
    fn postgres_until_ready(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; 5];
            self.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; (length as usize).saturating_sub(4)];
            self.read_exact(&mut body)?;
            match head[0] {
                b'Z' => return Ok(()),
                b'E' => {
                    let text = String::from_utf8_lossy(&body).replace('\0', " ");
                    return Err(io::Error::other(text));
                }
                _ => {}
            }
        }
    }
}
