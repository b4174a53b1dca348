//! The proxy's modes, over plain TCP to an echo.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use invalidation_testbed::Proxy;

/// For what must come.
const ANSWER: Duration = Duration::from_secs(20);
/// For what must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Echoes each connection until its end, for as long as the test process lives.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut copy = stream.try_clone().expect("a copy");
                let _ = std::io::copy(&mut copy, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).expect("a connection through the proxy")
}

fn say(mut stream: &TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("a write");
}

fn hear(mut stream: &TcpStream, text: &str) {
    stream.set_read_timeout(Some(ANSWER)).expect("a timeout");
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).expect("an echo");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

fn hear_nothing(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let heard = stream.read(&mut [0]);
    let kind = heard.as_ref().map_err(std::io::Error::kind);
    assert!(
        matches!(kind, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        "heard {heard:?}"
    );
}

fn is_lost(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(ANSWER)).expect("a timeout");
    let heard = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::ConnectionReset));
}

fn is_refused(address: SocketAddr) {
    let refused = TcpStream::connect(address).map_err(|error| error.kind());
    assert!(
        matches!(refused, Err(ErrorKind::ConnectionRefused)),
        "{refused:?}"
    );
}

#[test]
fn forwards_all_bytes_and_the_end_of_each_direction() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let mut writer = stream.try_clone().expect("a copy");
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).expect("a write");
        writer.shutdown(Shutdown::Write).expect("an end");
    });
    let mut heard = Vec::new();
    stream.set_read_timeout(Some(ANSWER)).expect("a timeout");
    stream.read_to_end(&mut heard).expect("the end");
    writing.join().expect("a writer");
    assert!(
        heard == sent,
        "{} of {} bytes, or others",
        heard.len(),
        sent.len()
    );
}

#[test]
fn a_cut_resets_every_connection_refuses_new_ones_and_keeps_the_port() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let (used, idle) = (connect(&proxy), connect(&proxy));
    for stream in [&used, &idle] {
        say(stream, "before");
        hear(stream, "before");
    }
    proxy.cut();
    is_lost(&used);
    is_lost(&idle);
    is_refused(proxy.address());
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    let taken = taken.bind(proxy.address()).map_err(|error| error.kind());
    assert_eq!(
        taken,
        Err(ErrorKind::AddrInUse),
        "the port went to somebody else"
    );
    proxy.cut(); // a second one changes nothing
    proxy.heal();
    let after = connect(&proxy);
    say(&after, "after");
    hear(&after, "after");
}

#[test]
fn a_delay_holds_each_piece_back_in_order_and_is_no_limit_on_how_many_are_on_their_way() {
    let delay = Duration::from_millis(250);
    let pieces = 100;
    let proxy = Proxy::to(echo()).expect("a proxy");
    let stream = connect(&proxy);
    stream.set_nodelay(true).expect("no delay of its own");
    proxy.delay(delay);
    let begun = Instant::now();
    let mut all = String::new();
    for number in 0..pieces {
        let piece = format!("{number};");
        say(&stream, &piece);
        all.push_str(&piece);
    }
    hear(&stream, &all);
    let took = begun.elapsed();
    assert!(took >= 2 * delay, "there and back in {took:?}");
    // One after the other they would take a hundred times as long.
    assert!(
        took < pieces * delay / 2,
        "{took:?}: each waited for the one before"
    );
    proxy.heal();
    say(&stream, "healed");
    hear(&stream, "healed");
}

#[test]
fn a_black_hole_accepts_and_keeps_and_delivers_only_when_it_is_healed() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let old = connect(&proxy);
    say(&old, "before");
    hear(&old, "before");
    proxy.black_hole();
    let new = connect(&proxy);
    for stream in [&old, &new] {
        say(stream, "during");
        hear_nothing(stream);
    }
    proxy.heal();
    for stream in [&old, &new] {
        hear(stream, "during");
    }
}

/// A lost server sends nothing that passes a black hole, not even its end.
#[test]
fn a_black_hole_hides_that_the_server_has_gone() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let proxy = Proxy::to(listener.local_addr().expect("an address")).expect("a proxy");
    let stream = connect(&proxy);
    say(&stream, "unread");
    let (server, _) = listener.accept().expect("a connection");
    server.peek(&mut [0]).expect("a byte");
    proxy.black_hole();
    drop((server, listener)); // with something unread: a reset
    hear_nothing(&stream);
    proxy.heal();
    is_lost(&stream);
}

/// A connection counts while it is there, and one that never reached the server does not.
#[test]
fn counts_its_connections() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let counts = |expected: usize| {
        let deadline = Instant::now() + ANSWER;
        while proxy.connections() != expected {
            assert!(Instant::now() < deadline, "{}", proxy.connections());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(proxy.connections(), 0);
    let [one, other] = [connect(&proxy), connect(&proxy)];
    for stream in [&one, &other] {
        say(stream, "here");
        hear(stream, "here");
    }
    assert_eq!(proxy.connections(), 2);
    drop(one);
    counts(1);
    proxy.black_hole();
    let unheard = connect(&proxy);
    say(&unheard, "unheard");
    hear_nothing(&unheard);
    assert_eq!(proxy.connections(), 1);
    proxy.cut();
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_black_hole_can_be_cut() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    proxy.black_hole();
    let stream = connect(&proxy);
    say(&stream, "unheard");
    hear_nothing(&stream);
    proxy.cut();
    is_lost(&stream);
}

#[test]
fn a_server_that_is_down_resets_the_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let proxy = Proxy::to(listener.local_addr().expect("an address")).expect("a proxy");
    drop(listener);
    is_lost(&connect(&proxy));
}

#[test]
fn a_dropped_proxy_ends_its_connections_and_frees_its_port() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let address = proxy.address();
    let mut stream = connect(&proxy);
    say(&stream, "before");
    hear(&stream, "before");
    drop(proxy);
    let heard = stream.read(&mut [0]);
    assert!(matches!(heard, Ok(0) | Err(_)), "{heard:?}");
    let deadline = Instant::now() + ANSWER;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The proxy runs on a thread of its own: it goes on while this blocks the only thread of a runtime.
#[tokio::test(flavor = "current_thread")]
async fn works_from_within_a_runtime() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let stream = connect(&proxy);
    proxy.black_hole();
    say(&stream, "during");
    hear_nothing(&stream);
    proxy.heal();
    hear(&stream, "during");
}

/// New connections lead to the other server, and open ones stay.
#[test]
fn it_leads_elsewhere() {
    let proxy = Proxy::to(echo()).expect("a proxy");
    let before = connect(&proxy);
    say(&before, "one");
    hear(&before, "one");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    proxy.lead_to(silent.local_addr().expect("an address"));
    let after = connect(&proxy);
    say(&after, "two");
    let (other, _) = silent.accept().expect("it comes here");
    hear(&other, "two");
    say(&before, "three");
    hear(&before, "three");
}
