//! A stream to a server, plain or by TLS.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use invalidation_core::{Error, ErrorKind};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::place::Address;
use crate::error::{error, unreachable};

/// After so long without an answer to a TLS handshake the server is asked whether it speaks plain text.
const HANDSHAKE_SILENCE: Duration = Duration::from_millis(300);
/// An idle link is tried so often, so that one which a firewall forgot is found before it is needed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects. Not bounded in time.
    pub(super) async fn open(
        operation: &'static str,
        to: &Address,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, Error> {
        let plain = tcp(to)
            .await
            .map_err(|source| unreachable(operation, &to.to_string(), source))?;
        let Some(tls) = tls else {
            return Ok(Self::Plain(plain));
        };
        let name = ServerName::try_from(to.host.clone()).map_err(|_| {
            let message = format!("{} is no name that a certificate could have", to.host);
            error(ErrorKind::Invalid, operation, message)
        })?;
        let mut handshake = pin!(tls.connect(name, plain));
        let ended = tokio::select! {
            ended = &mut handshake => ended,
            // Such a server waits for the end of a line, and says nothing.
            () = is_plain(to) => return Err(no_tls(operation, to, "it speaks plain text", None)),
        };
        match ended {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err(source) => Err(no_tls(operation, to, &source.to_string(), Some(source))),
        }
    }
}

async fn tcp(to: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE / 2);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

/// Returns once the server has answered to plain text, and else never.
async fn is_plain(to: &Address) {
    sleep(HANDSHAKE_SILENCE).await;
    let asking = async {
        let mut stream = tcp(to).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut first = [0];
        stream.read_exact(&mut first).await?;
        Ok::<_, io::Error>(matches!(first[0], b'+' | b'-'))
    };
    if !matches!(asking.await, Ok(true)) {
        std::future::pending().await
    }
}

fn no_tls(operation: &'static str, to: &Address, why: &str, source: Option<io::Error>) -> Error {
    let error = error(
        ErrorKind::Unavailable,
        operation,
        format!(
            "no TLS with {to}: {why}: check the server's certificate and tls-port, the ca_file and the client's \
             certificate, or write redis:// for a link without TLS"
        ),
    );
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
