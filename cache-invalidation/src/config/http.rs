//! The HTTP fan-out.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    backend::Backend,
    log::LogChoice,
    peer::Peer,
    secret::Secret,
    sources,
    table::{Provenance, Table},
    value::quoted,
};

/// `[transport.http]`. `None` leaves a key to the transport's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where this node listens.
    pub listen: SocketAddr,
    /// Where the other nodes listen. This node itself may be among them.
    pub peers: Vec<Peer>,
    /// Where the others reach this node, for the peer `log`. `None` is where it listens.
    pub advertise: Option<Peer>,
    /// What authenticates frames. `None` only with `insecure = true`.
    pub secret: Option<Secret>,
    /// A second one that is accepted too, while the first is being changed.
    pub second_secret: Option<Secret>,
    /// The only networks in which discovered peers may be.
    pub allowed_networks: Option<Vec<IpNet>>,
    /// The only ports that discovered peers may have.
    pub allowed_ports: Option<Vec<u16>>,
    /// How often names are resolved again.
    pub dns_interval: Option<Duration>,
    /// How long a peer may take to answer.
    pub publish_timeout: Option<Duration>,
    /// The largest body accepted and sent, in bytes.
    pub body_cap: Option<usize>,
    /// How many frames may wait for one peer.
    pub queue_frames: Option<usize>,
    /// How many frames may wait for the node.
    pub subscription_frames: Option<usize>,
    /// How long a connection may take to send a request's header.
    pub header_deadline: Option<Duration>,
    /// How long a request's body may take.
    pub body_deadline: Option<Duration>,
    /// How many requests may be in flight whose signature is not verified yet.
    pub max_unverified: Option<usize>,
    /// How many connections the listener keeps.
    pub max_connections: Option<usize>,
    /// How many replay windows are kept, one for each sender.
    pub max_sessions: Option<usize>,
    /// How often an idle connection is tried.
    pub sign_of_life: Option<Duration>,
}

/// A secret is at least so long, in bytes.
const MIN_SECRET: usize = 16;
/// The smallest and the largest body cap, in bytes.
const BODY_CAP: RangeInclusive<usize> = 1 << 10..=1 << 30;

pub(super) fn parse(table: &Table<'_>) -> Option<HttpConfig> {
    if let Err(why) = Backend::Http.check("transport") {
        table.refuse_all(why);
        return None;
    }
    let listen = table.parsed("listen", |text| {
        text.trim().parse::<SocketAddr>().map_err(|_| {
            format!(
                "{} is no address to listen at: write an IP address and a port, such as \"0.0.0.0:7400\"",
                quoted(text)
            )
        })
    });
    if !table.has("listen") {
        table.missing(
            "listen",
            "say where this node listens, such as \"0.0.0.0:7400\"",
        );
    }
    let peers = table
        .list("peers", "peers", |text| text.parse::<Peer>())
        .unwrap_or_default();
    let allowed_ports = table.list("allowed_ports", "ports", port);
    if let Some(allowed) = &allowed_ports {
        for peer in &peers {
            if let Peer::Dns { port, .. } = peer
                && !allowed.contains(port)
            {
                table.refuse(
                    "allowed_ports",
                    format!("the port of {peer} is not among them: add it"),
                );
            }
        }
    }
    let body_cap = table.count("body_cap");
    if body_cap.is_some_and(|bytes| !BODY_CAP.contains(&bytes)) {
        let (least, most) = BODY_CAP.into_inner();
        table.refuse("body_cap", format!("must be {least} to {most} bytes"));
    }
    let number = |key| table.count::<u32>(key).map(|number| number as usize);
    let (secret, second_secret) = secrets(table);
    Some(HttpConfig {
        listen: listen?,
        peers,
        advertise: table.parsed("advertise", advertised),
        secret,
        second_secret,
        allowed_networks: table.list("allowed_networks", "networks", network),
        allowed_ports,
        dns_interval: table.positive_duration("dns_interval"),
        publish_timeout: table.positive_duration("publish_timeout"),
        body_cap,
        queue_frames: number("queue_frames"),
        subscription_frames: number("subscription_frames"),
        header_deadline: table.positive_duration("header_deadline"),
        body_deadline: table.positive_duration("body_deadline"),
        max_unverified: number("max_unverified"),
        max_connections: number("max_connections"),
        max_sessions: number("max_sessions"),
        sign_of_life: table.positive_duration("sign_of_life"),
    })
}

/// Whether the peers that are wanted can be found, by the others as well.
pub(super) fn check_members(table: &Table<'_>, http: &HttpConfig, log: Option<&LogChoice>) {
    if !http.peers.contains(&Peer::Log) {
        if http.advertise.is_some() {
            table.refuse(
                "advertise",
                "is for nodes that find each other in the log: add \"log\" to the peers, or take it out",
            );
        }
        return;
    }
    if matches!(log, Some(LogChoice::None | LogChoice::Memory)) {
        table.refuse(
            "peers",
            "\"log\" needs a log in a database, which keeps the members: name one in log.url, or name the peers",
        );
    }
    if http.advertise.is_none() && http.listen.ip().is_unspecified() {
        table.missing(
            "advertise",
            "the peers find each other in the log, and where this node listens does not tell at which address they \
             reach it: say so, such as \"10.0.0.7:7400\"",
        );
    }
}

fn advertised(text: &str) -> Result<Peer, String> {
    let refuse = |why: &str| {
        format!(
            "{} is no address at which the others reach this node: {why}write \"host:port\" or \
             \"http://host:port/prefix\"",
            quoted(text)
        )
    };
    match text.parse::<Peer>() {
        Ok(Peer::Dns { .. } | Peer::Log) | Err(_) => Err(refuse("")),
        Ok(Peer::Node { host, .. } | Peer::Under { host, .. })
            if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) =>
        {
            Err(refuse("it stands for every address; "))
        }
        Ok(peer) => Ok(peer),
    }
}

/// None, one or two; none must be asked for.
fn secrets(table: &Table<'_>) -> (Option<Secret>, Option<Secret>) {
    let insecure = table.flag("insecure").unwrap_or(false);
    let first = secret(table, "secret", "secret_file");
    let second = secret(table, "second_secret", "second_secret_file");
    let given = table.has("secret") || table.has("secret_file");
    match (insecure, given) {
        (true, true) => table.refuse(
            "insecure",
            "is true, and a secret is given too: take one of them out",
        ),
        (false, false) => table.missing(
            "secret_file",
            "name a file that holds the secret which all nodes share, put the secret into the variable \
             CACHE_INVALIDATION__TRANSPORT__HTTP__SECRET, or write `insecure = true` to let anybody who reaches \
             this node invalidate its caches",
        ),
        _ => {}
    }
    if second.is_some() && !given {
        table.refuse_all("a second secret needs a first: set secret_file");
    }
    (first, second)
}

/// From a variable or a file, never from the text of the configuration, which is copied, committed and shown.
fn secret(table: &Table<'_>, key: &str, file_key: &str) -> Option<Secret> {
    if table.has(key) && table.has(file_key) {
        table.refuse(
            file_key,
            format!("{key} is given too: take one of them out"),
        );
        return None;
    }
    if table.provenance(key) == Some(Provenance::Text) {
        table.refuse(
            key,
            format!(
                "a secret does not stand in the configuration itself: name a file in {file_key}, or set the \
                 variable {}",
                sources::variable(&table.path_of(key))
            ),
        );
        return None;
    }
    let (key, secret) = if table.has(key) {
        let text = table.text(key)?;
        (
            key,
            Secret::new(text).ok_or("is empty: set it to the secret that all nodes share".into()),
        )
    } else if table.has(file_key) {
        let path = table.text(file_key)?;
        (file_key, Secret::read(path.as_ref()))
    } else {
        return None;
    };
    let secret = secret.and_then(|secret| match secret.expose().len() {
        MIN_SECRET.. => Ok(secret),
        short => Err(format!(
            "the secret has {short} bytes: use at least {MIN_SECRET}, random ones"
        )),
    });
    secret.map_err(|why| table.refuse(key, why)).ok()
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!(
                "{} is no network: write it like \"10.0.0.0/8\"",
                quoted(text)
            )
        })
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "{} is no port: write a number from 1 to 65535",
            quoted(text)
        )),
    }
}
