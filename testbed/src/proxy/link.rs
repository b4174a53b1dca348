//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Forward { delay: Duration },
    BlackHole,
    Cut,
}

/// A piece of data on its way; none for the end of the stream.
struct Piece {
    due: Instant,
    data: Option<Vec<u8>>,
}

/// How many pieces are on their way in one direction: with a delay, what the link holds.
const ON_THE_WAY: usize = 256;

/// A link, counted from when it is connected to the server until it ends.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(connected: &'a AtomicUsize) -> Self {
        connected.fetch_add(1, Ordering::SeqCst);
        Self(connected)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Forwards between a client and the server until both directions ended, one failed, or the link is cut.
pub(super) async fn run(
    mut client: TcpStream,
    upstream: SocketAddr,
    mode: watch::Receiver<Mode>,
    connected: Arc<AtomicUsize>,
) {
    let mut server = None;
    let ended = tokio::select! {
        biased;
        () = until(&mode, |mode| mode == Mode::Cut) => Err(io::ErrorKind::ConnectionReset.into()),
        ended = forward(&mut client, upstream, &mut server, &mode, &connected) => ended,
    };
    if ended.is_err() {
        // RST instead of a polite end: to a peer that is what a lost link is. It cannot fail on an open socket.
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn forward(
    client: &mut TcpStream,
    upstream: SocketAddr,
    slot: &mut Option<TcpStream>,
    mode: &watch::Receiver<Mode>,
    connected: &AtomicUsize,
) -> io::Result<()> {
    until(mode, |mode| mode != Mode::BlackHole).await;
    let server = slot.insert(TcpStream::connect(upstream).await?);
    let _counted = Counted::one_more(connected);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        direction(from_client, to_server, mode),
        direction(from_server, to_client, mode),
    )?;
    Ok(())
}

/// Reads on while pieces wait for their time, so that a delay is no limit on the throughput.
async fn direction(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mode: &watch::Receiver<Mode>,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<Piece>(ON_THE_WAY);
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = match from.read(&mut buffer).await {
                Ok(length) => length,
                Err(error) => {
                    // A black hole hides a lost connection, too.
                    until(mode, |mode| mode != Mode::BlackHole).await;
                    return Err(error);
                }
            };
            let delay = match *mode.borrow() {
                Mode::Forward { delay } => delay,
                Mode::BlackHole | Mode::Cut => Duration::ZERO,
            };
            let piece = Piece {
                due: Instant::now() + delay,
                data: (length > 0).then(|| buffer[..length].to_vec()),
            };
            if sender.send(piece).await.is_err() || length == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some(Piece { due, data }) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            match data {
                Some(data) => write_all(&to, &data, mode).await?,
                None => {
                    until(mode, |mode| mode != Mode::BlackHole).await;
                    to.shutdown().await?;
                }
            }
        }
        io::Result::Ok(())
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

/// Writes all, and nothing of it in a black hole: not even what waited for room when that began.
async fn write_all(
    to: &WriteHalf<'_>,
    mut data: &[u8],
    mode: &watch::Receiver<Mode>,
) -> io::Result<()> {
    while !data.is_empty() {
        until(mode, |mode| mode != Mode::BlackHole).await;
        to.writable().await?;
        if *mode.borrow() == Mode::BlackHole {
            continue;
        }
        match to.try_write(data) {
            Ok(length) => data = &data[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for a mode. The sender lives as long as the listener, and the listener ends all links.
async fn until(mode: &watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    let _ = mode.clone().wait_for(|mode| wanted(*mode)).await;
}
