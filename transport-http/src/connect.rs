//! One keep-alive connection to a peer, driven by whoever uses it: no task of its own, so that a request
//! costs no extra hop.

use std::{net::SocketAddr, pin::Pin};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use invalidation_core::BoxError;
use tokio::net::TcpStream;

/// Where a peer is, and how to address it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// The `Host` of requests.
    pub(crate) host: HeaderValue,
    /// The path of requests.
    pub(crate) path: Uri,
}

/// What to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// A name, resolved at each connect, and a port.
    Name(String, u16),
    /// An address that was discovered and allowed. Never resolved again, so that what is connected to is
    /// what was checked.
    Fixed(SocketAddr),
}

/// A connection over which requests go one after the other.
pub(crate) struct Link {
    requests: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    ended: bool,
}

impl Link {
    /// Connects. The caller bounds it by a timeout.
    pub(crate) async fn open(address: &Address) -> Result<Self, BoxError> {
        let stream = match address {
            Address::Name(name, port) => TcpStream::connect((name.as_str(), *port)).await?,
            Address::Fixed(address) => TcpStream::connect(address).await?,
        };
        // Frames are small and urgent: never hold them back for more (Nagle).
        stream.set_nodelay(true)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            requests,
            connection: Box::pin(connection),
            ended: false,
        })
    }

    /// One request and its answer, of at most `cap` bytes. Redirects are answers like any other. When this
    /// is dropped half-way or fails, the connection is of no use any more.
    pub(crate) async fn post(
        &mut self,
        endpoint: &Endpoint,
        body: Bytes,
        cap: usize,
    ) -> Result<(StatusCode, Bytes), BoxError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.path.clone();
        request
            .headers_mut()
            .insert(header::HOST, endpoint.host.clone());
        let requests = &mut self.requests;
        let exchange = async move {
            requests.ready().await?;
            let (head, body) = requests.send_request(request).await?.into_parts();
            let body = Limited::new(body, cap).collect().await?;
            Ok((head.status, body.to_bytes()))
        };
        if self.ended {
            return Err("the connection has ended".into());
        }
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = &mut self.connection => {
                self.ended = true;
                // It may have ended right after the answer.
                exchange.await
            }
        }
    }

    /// Waits, while nothing is in flight, until the peer closes the connection. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        if !self.ended {
            let _ = (&mut self.connection).await;
            self.ended = true;
        }
    }
}
