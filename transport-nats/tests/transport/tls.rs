//! Links that are encrypted: whom one trusts, whom the server trusts, and what is refused.

use std::sync::Arc;

use invalidation_core::ErrorKind;
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as Key, SanType};

use crate::stage::{Bed, Setup, builder, fresh_cluster, is_refused, node, trial_on, works};

/// Certificates and keys as PEM.
struct Papers {
    authority: String,
    server: (String, String),
    client: (String, String),
    /// Of another authority.
    foreign: (String, String),
}

impl Papers {
    /// A server for this host, and a client, of one authority.
    fn new(host: &str) -> Self {
        let authority = authority();
        let foreign = self::authority();
        Self {
            server: issued(&authority, host),
            client: issued(&authority, "client"),
            foreign: issued(&foreign, "client"),
            authority: authority.pem(),
        }
    }

    fn setup(&self, config: &str) -> Setup {
        let setup = Setup::new(config);
        setup.write("ca.pem", &self.authority);
        for (name, (certificate, key)) in [
            ("server", &self.server),
            ("client", &self.client),
            ("foreign", &self.foreign),
        ] {
            setup.write(&format!("{name}.pem"), certificate);
            setup.write(&format!("{name}.key"), key);
        }
        setup
    }
}

fn authority() -> CertifiedIssuer<'static, Key> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap()
}

fn issued(authority: &CertifiedIssuer<'static, Key>, host: &str) -> (String, String) {
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![match host.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(host.try_into().unwrap()),
    }];
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(crate) fn trials() -> Vec<Trial> {
    let papers = Arc::new(Papers::new("127.0.0.1"));
    let elsewhere = Arc::new(Papers::new("elsewhere.example"));
    let server = "tls { cert_file: \"server.pem\", key_file: \"server.key\" }";
    let mutual = "tls { cert_file: \"server.pem\", key_file: \"server.key\", ca_file: \"ca.pem\", verify: true }";
    vec![
        trial_on(
            "a_server_is_known_by_its_authority",
            move || located(&papers.clone(), server),
            a_server_is_known_by_its_authority,
        ),
        trial_on(
            "a_certificate_of_another_host_is_refused",
            move || located(&elsewhere, server),
            a_certificate_of_another_host_is_refused,
        ),
        trial_on(
            "a_client_is_known_by_its_certificate",
            move || located(&Papers::new("127.0.0.1"), mutual),
            a_client_is_known_by_its_certificate,
        ),
        trial_on(
            "a_server_without_tls_is_refused",
            || Setup::new(""),
            a_server_without_tls_is_refused,
        ),
    ]
}

/// The paths of the files are those of the folder, whatever the server's own is.
fn located(papers: &Papers, config: &str) -> Setup {
    let setup = papers.setup("");
    let mut config = config.to_owned();
    for name in ["server.pem", "server.key", "ca.pem"] {
        config = config.replace(name, setup.path(name).to_str().unwrap());
    }
    setup.write("nats.conf", &config);
    setup
}

fn encrypted(bed: &Bed) -> String {
    bed.server.url().replace("nats://", "tls://")
}

/// Only who trusts the server's authority, or says that anybody will do, gets through; in plain text nobody does.
async fn a_server_is_known_by_its_authority(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), encrypted(&bed));
    let trusting = builder(&cluster, &url).ca_file(bed.setup.path("ca.pem"));
    works(&trusting.build().unwrap()).await;
    // Whoever names an authority wants TLS.
    let plain = builder(&cluster, &bed.server.url()).ca_file(bed.setup.path("ca.pem"));
    works(&plain.build().unwrap()).await;
    works(&builder(&cluster, &url).insecure_tls().build().unwrap()).await;
    is_refused(builder(&cluster, &url), ErrorKind::Unavailable, &[]).await;
    let absent = builder(&cluster, &url).ca_file(bed.setup.path("absent"));
    is_refused(absent, ErrorKind::Invalid, &[]).await;
}

async fn a_certificate_of_another_host_is_refused(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), encrypted(&bed));
    let trusting = builder(&cluster, &url).ca_file(bed.setup.path("ca.pem"));
    is_refused(trusting, ErrorKind::Unavailable, &[]).await;
}

async fn a_client_is_known_by_its_certificate(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), encrypted(&bed));
    let path = |name: &str| bed.setup.path(name);
    let trusting = builder(&cluster, &url).ca_file(path("ca.pem"));
    let known = trusting
        .clone()
        .client_certificate(path("client.pem"), path("client.key"));
    works(&known.build().unwrap()).await;
    is_refused(trusting.clone(), ErrorKind::Denied, &[]).await;
    let foreign = trusting.client_certificate(path("foreign.pem"), path("foreign.key"));
    is_refused(foreign, ErrorKind::Denied, &[]).await;
}

/// Who wants TLS never speaks plain text.
async fn a_server_without_tls_is_refused(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), encrypted(&bed));
    let secret = "the-password-of-the-members";
    let wants = builder(&cluster, &url).user("app").password(secret);
    is_refused(wants.clone(), ErrorKind::Unavailable, &[secret]).await;
    is_refused(wants.insecure_tls(), ErrorKind::Unavailable, &[secret]).await;
    works(&node(&cluster, &bed.server.url())).await;
}
