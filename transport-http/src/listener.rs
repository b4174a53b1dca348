//! The transport's own listener.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::counter;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    refusal::Refusal,
    server::{PATH, Receiver, respond},
};

/// How long to wait after the system refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is stopped.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) tasks: TaskTracker,
    /// Finish what has begun.
    pub(crate) closing: CancellationToken,
    /// Finish nothing.
    pub(crate) kill: CancellationToken,
    pub(crate) max_connections: usize,
    /// Also bounds how long a connection may stay idle.
    pub(crate) header_deadline: Duration,
    pub(crate) grace: Duration,
}

impl Listener {
    pub(crate) async fn run(self) {
        let closing = self.closing.clone();
        // Dropping the loop closes the socket; the connections go on, each with its own deadline.
        closing.run_until_cancelled(self.accept_all()).await;
    }

    async fn accept_all(self) {
        let connections = Arc::new(Semaphore::new(self.max_connections));
        loop {
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = connections.clone().try_acquire_owned() else {
                counter!("cache_invalidation_http_rejected_total", "reason" => "connections")
                    .increment(1);
                continue;
            };
            // Answers are small and waited for: never hold them back for more (Nagle).
            let _ = stream.set_nodelay(true);
            let serving = self.serve(stream);
            let kill = self.kill.clone();
            self.tasks.spawn(async move {
                kill.run_until_cancelled(serving).await;
                drop(permit);
            });
        }
    }

    fn serve(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let receiver = self.receiver.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let receiver = receiver.clone();
            async move {
                Ok::<_, Infallible>(if request.uri().path() == PATH {
                    receiver.answer(request).await
                } else {
                    let refusal = Refusal::Path;
                    counter!("cache_invalidation_http_rejected_total", "reason" => refusal.as_str())
                        .increment(1);
                    respond(refusal.status().as_u16(), bytes::Bytes::new(), "text/plain")
                })
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_deadline)
            .serve_connection(TokioIo::new(stream), service);
        let closing = self.closing.clone();
        let grace = self.grace;
        async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    match timeout(grace, connection).await {
                        Ok(ended) => ended,
                        Err(_) => return,
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        }
    }
}
