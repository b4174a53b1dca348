//! A man in the middle: passes requests on, keeps what passes, and can be pointed elsewhere.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by several tests, which may panic"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use super::{read_answer, read_message};

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) answer: Vec<u8>,
}

impl Passed {
    /// By the second byte of the body.
    pub(crate) fn is_frames(&self) -> bool {
        self.request[1] == 2
    }
}

/// What the tap does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// Passes it on to this node, over a connection of its own.
    Forward(SocketAddr),
    /// Answers 200 with this body.
    Answer(Vec<u8>),
}

pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    passed: Arc<Mutex<Vec<Passed>>>,
    connections: Arc<AtomicUsize>,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Tap {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Forward(upstream)));
        let passed = Arc::<Mutex<Vec<Passed>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let cut = Arc::<Notify>::default();
        let accepting = {
            let (mode, passed) = (mode.clone(), passed.clone());
            let (connections, cut) = (connections.clone(), cut.clone());
            async move {
                let mut open = JoinSet::new();
                loop {
                    tokio::select! {
                        () = cut.notified() => open.abort_all(),
                        accepted = listener.accept() => {
                            connections.fetch_add(1, Ordering::SeqCst);
                            open.spawn(pass_on(accepted.unwrap().0, mode.clone(), passed.clone()));
                        }
                    }
                }
            }
        };
        let task = tokio::spawn(accepting);
        Self {
            address,
            mode,
            passed,
            connections,
            cut,
            task,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// Closes all connections; new ones are accepted.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// How many were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.passed.lock().clone()
    }

    /// The last batch that passed.
    pub(crate) fn last_frames(&self) -> Passed {
        let passed = self.passed();
        passed.into_iter().rfind(Passed::is_frames).unwrap()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut stream: TcpStream, mode: Arc<Mutex<Mode>>, passed: Arc<Mutex<Vec<Passed>>>) {
    while let Some((_, request)) = read_message(&mut stream).await {
        let mode = mode.lock().clone();
        let (status, answer) = match mode {
            Mode::Answer(answer) => (200, answer),
            Mode::Forward(upstream) => {
                let Ok(mut upstream) = TcpStream::connect(upstream).await else {
                    return;
                };
                let head = format!(
                    "POST /cache-invalidation HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                    request.len()
                );
                upstream.write_all(head.as_bytes()).await.unwrap();
                upstream.write_all(&request).await.unwrap();
                let answer = read_answer(&mut upstream).await;
                (answer.status, answer.body)
            }
        };
        passed.lock().push(Passed {
            request,
            status,
            answer: answer.clone(),
        });
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all(head.as_bytes()).await.is_err()
            || stream.write_all(&answer).await.is_err()
        {
            return;
        }
    }
}
