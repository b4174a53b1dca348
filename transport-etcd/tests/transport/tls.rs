//! TLS, by an authority of the trial's own.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Proxy, Server};
use invalidation_transport_etcd::EtcdTransportBuilder;
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::stage::{
    blocking, builder, fresh_cluster, hear, publish, refusal, subscribe, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_checked_certificate_serves", a_checked_certificate_serves),
        trial("an_unknown_client_is_denied", an_unknown_client_is_denied),
        trial(
            "a_member_that_refuses_is_passed_over",
            a_member_that_refuses_is_passed_over,
        ),
    ]
}

/// Files of an authority, a server of the name and a client, in a folder of their own.
struct Papers {
    folder: PathBuf,
}

impl Papers {
    fn for_server(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("etcd-papers-{}", fresh_cluster()));
        std::fs::create_dir(&folder).unwrap();
        let papers = Self { folder };
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        papers.write("ca.pem", &authority.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(authority, key);
        for (file, name) in [("server", name), ("client", "node")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            // Also of the server, which is a client of its own.
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let certificate = params.signed_by(&key, &issuer).unwrap();
            papers.write(&format!("{file}.pem"), &certificate.pem());
            papers.write(&format!("{file}.key"), &key.serialize_pem());
        }
        papers
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A server with its certificate, and which asks for one or not.
    async fn server(&self, asks: bool) -> Server {
        self.server_for(asks.then_some("ca.pem")).await
    }

    /// A server with its certificate, and which asks for one of this authority.
    async fn server_for(&self, authority: Option<&str>) -> Server {
        let [certificate, key] = ["server.pem", "server.key"].map(|name| self.path(name));
        let clients = authority.map(|name| self.path(name));
        blocking(move || Server::etcd_with_tls(&certificate, &key, clients.as_deref()))
            .await
            .unwrap()
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn serves(builder: impl Fn() -> EtcdTransportBuilder) {
    let (from, to) = (builder().build().unwrap(), builder().build().unwrap());
    let mut subscription = subscribe(&to).await;
    publish(&from, "x").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "x");
    within("probe", from.probe()).await.unwrap();
}

async fn is_refused(builder: impl Fn() -> EtcdTransportBuilder, kind: ErrorKind) {
    let build = || builder().build().unwrap();
    for error in [
        refusal("publish", publish(&build(), "x")).await,
        refusal("subscribe", build().subscribe()).await,
        refusal("probe", build().probe()).await,
    ] {
        assert_eq!(error.kind, kind, "{error:?}");
    }
}

/// The server's certificate is checked: its authority, and its name. Not checked only where that is asked for.
async fn a_checked_certificate_serves(_etcd: &'static Server) {
    let papers = Papers::for_server("etcd.example");
    let server = papers.server(false).await;
    let cluster = fresh_cluster();
    let url = format!("etcds://{}", server.address());
    let plain = format!("etcd://{}", server.address());
    let of = || builder(&cluster, &url);
    serves(|| {
        of().ca_file(papers.path("ca.pem"))
            .server_name("etcd.example")
    })
    .await;
    serves(|| of().insecure_tls()).await;
    is_refused(|| of().ca_file(papers.path("ca.pem")), ErrorKind::Denied).await;
    is_refused(|| of().server_name("etcd.example"), ErrorKind::Denied).await;
    is_refused(|| builder(&cluster, &plain), ErrorKind::Unavailable).await;
    let by_address = Papers::for_server("127.0.0.1");
    let server = by_address.server(false).await;
    let url = format!("etcds://{}", server.address());
    serves(|| builder(&cluster, &url).ca_file(by_address.path("ca.pem"))).await;
    is_refused(
        || builder(&cluster, &url).ca_file(papers.path("ca.pem")),
        ErrorKind::Denied,
    )
    .await;
}

/// Where certificates are asked for, who has none is denied, and who has one is let in.
async fn an_unknown_client_is_denied(_etcd: &'static Server) {
    let papers = Papers::for_server("127.0.0.1");
    let server = papers.server(true).await;
    let cluster = fresh_cluster();
    let url = format!("etcds://{}", server.address());
    let of = || builder(&cluster, &url).ca_file(papers.path("ca.pem"));
    serves(|| of().client_certificate(papers.path("client.pem"), papers.path("client.key"))).await;
    is_refused(of, ErrorKind::Denied).await;
    let others = Papers::for_server("127.0.0.1");
    is_refused(
        || of().client_certificate(others.path("client.pem"), others.path("client.key")),
        ErrorKind::Denied,
    )
    .await;
}

/// One member with a certificate of another authority, and one that wants another of ours, are no reason not to go to the
/// one that serves, whichever is asked first. What they said is told where none serves, whatever ails the others.
async fn a_member_that_refuses_is_passed_over(_etcd: &'static Server) {
    let (papers, others) = (
        Papers::for_server("127.0.0.1"),
        Papers::for_server("127.0.0.1"),
    );
    let good = papers.server(false).await;
    let strange = others.server(false).await;
    // With a certificate that is accepted, and an authority that knows none of ours.
    papers.write("ca-of-clients.pem", &others.read("ca.pem"));
    let picky = papers.server_for(Some("ca-of-clients.pem")).await;
    let down = Proxy::to(good.address()).unwrap();
    down.cut();
    let silent = Proxy::to(good.address()).unwrap();
    silent.black_hole();
    let cluster = fresh_cluster();
    let of = |members: &[SocketAddr], connect_timeout| {
        let members: Vec<_> = members.iter().map(SocketAddr::to_string).collect();
        builder(&cluster, &format!("etcds://{}", members.join(",")))
            .connect_timeout(connect_timeout)
            .ca_file(papers.path("ca.pem"))
            .client_certificate(papers.path("client.pem"), papers.path("client.key"))
    };
    let [good, strange, picky] = [&good, &strange, &picky].map(Server::address);
    // Each begins with any of them.
    let long = Duration::from_secs(4);
    for _ in 0..6 {
        serves(|| of(&[strange, good, picky], long)).await;
    }
    is_refused(|| of(&[picky, down.address()], long), ErrorKind::Denied).await;
    is_refused(|| of(&[picky, strange], long), ErrorKind::Denied).await;
    is_refused(|| of(&[down.address()], long), ErrorKind::Unavailable).await;
    // Nobody waits for the silent until the call's own time is over.
    let members = [strange, down.address(), silent.address()];
    let short = Duration::from_millis(1_500);
    for _ in 0..2 {
        is_refused(|| of(&members, short), ErrorKind::Denied).await;
    }
}
