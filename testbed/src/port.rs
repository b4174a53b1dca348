//! A loopback port that stays a server's own while the server is down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A reserved port of 127.0.0.1.
///
/// A socket is bound to it with `SO_REUSEADDR` and never listens. Linux then lets a server that sets the same
/// option listen there, and gives the port to nobody who asks for a free one, neither to listen nor to connect
/// from: a restart on the same port finds it free.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _reservation: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self {
            address: socket.local_addr()?,
            _reservation: socket,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
