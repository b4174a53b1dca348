//! Links by TLS, with a certificate authority of our own.

use std::path::PathBuf;

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{RedisSetup, Server};
use invalidation_transport_redis::RedisTransportBuilder;
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::stage::{
    builder, fresh_cluster, hear, not_subscribed, publish, start, subscribe, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_known_authority_is_believed",
            a_known_authority_is_believed,
        ),
        trial("nobody_else_is_believed", nobody_else_is_believed),
        trial(
            "a_client_shows_its_certificate",
            a_client_shows_its_certificate,
        ),
        trial("plain_text_is_told_from_tls", plain_text_is_told_from_tls),
    ]
}

/// An authority, and the files that it made.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Or it is taken for a certificate that it made.
        let name = format!("authority {}", fresh_cluster());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), own.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    /// A certificate for this name or address, and its key.
    fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [chain, secret] = ["pem", "key"].map(|end| self.file(&format!("{name}.{end}")));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (chain, secret)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn own(&self) -> PathBuf {
        self.file("ca.pem")
    }

    async fn server(&self, name: &str, directive: &str) -> Server {
        let (certificate, key) = self.certify(name);
        let setup = RedisSetup::new()
            .tls(&certificate, &key, &self.own())
            .directive(directive);
        start(setup).await
    }
}

fn by_tls(server: &Server) -> RedisTransportBuilder {
    let url = format!("rediss://{}", server.second_address());
    builder(&fresh_cluster(), &url)
}

async fn serves(builder: RedisTransportBuilder) {
    let node = builder.build().unwrap();
    let mut subscription = subscribe(&node).await;
    publish(&node, "frame").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "frame");
}

async fn is_refused(builder: RedisTransportBuilder) -> String {
    let node = builder.build().unwrap();
    let probed = within("probe", node.probe()).await.unwrap_err();
    let subscribed = not_subscribed(&node).await;
    for error in [&probed, &subscribed] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    subscribed.message.into_owned()
}

async fn a_known_authority_is_believed() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", "").await;
    serves(by_tls(&server).ca_file(authority.own())).await;
}

/// Neither another authority's, nor another host's certificate; unless one asked for that by name.
async fn nobody_else_is_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", "").await;
    let refused = is_refused(by_tls(&server).ca_file(other.own())).await;
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let impostor = authority.server("db.internal", "").await;
    let refused = is_refused(by_tls(&impostor).ca_file(authority.own())).await;
    assert!(refused.contains("not valid for name"), "{refused}");
    serves(by_tls(&impostor).insecure_tls()).await;
}

/// A server that asks for a certificate takes one of its authority, and no connection without.
async fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", "tls-auth-clients yes").await;
    let (certificate, key) = authority.certify("node");
    let node = || by_tls(&server).ca_file(authority.own());
    serves(node().client_certificate(&certificate, &key)).await;
    is_refused(node()).await;
}

/// Whoever speaks TLS to a port of plain text, or the other way round, is told at once, and not by a time-out.
async fn plain_text_is_told_from_tls() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", "").await;
    let longer = crate::stage::PATIENCE * 2;
    let url = format!("rediss://{}", server.address());
    let mistaken = builder(&fresh_cluster(), &url)
        .ca_file(authority.own())
        .publish_timeout(longer);
    let refused = is_refused(mistaken).await;
    assert!(refused.contains("no TLS with"), "{refused}");
    let url = format!("redis://{}", server.second_address());
    is_refused(builder(&fresh_cluster(), &url).publish_timeout(longer)).await;
}
