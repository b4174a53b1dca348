//! TLS by rustls, with ring: nothing of it is installed for the whole process.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_rustls::TlsConnector;

/// What was asked of TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) ca_file: Option<PathBuf>,
    /// Its certificate and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    pub(super) insecure: bool,
}

/// What makes a link of TLS, with the files read; or what to mend.
pub(super) fn connector(wishes: &Wishes) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|refused| refused.to_string())?;
    let config = if wishes.insecure {
        let anybody = Arc::new(Anybody(provider));
        config.dangerous().with_custom_certificate_verifier(anybody)
    } else {
        config.with_root_certificates(roots(wishes.ca_file.as_deref())?)
    };
    let config = match &wishes.client {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("the client's key", key, &error))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|refused| format!("the client's certificate cannot be used: {refused}"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Those of the file, or of the system.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|refused| format!("{} cannot be used: {refused}", file.display()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "this system has no certificate authorities: install them, or name a ca_file"
                        .to_owned(),
                );
            }
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| unreadable("a certificate", file, &error))?;
    if read.is_empty() {
        return Err(format!("there is no certificate in {}", file.display()));
    }
    Ok(read)
}

fn unreadable(what: &str, file: &Path, error: &rustls::pki_types::pem::Error) -> String {
    format!("{what} cannot be read from {}: {error}", file.display())
}

/// Believes every certificate: for `insecure_tls` alone.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
