//! TLS: rustls with ring, and no provider for the whole process.

use std::{path::PathBuf, sync::Arc};

use async_nats::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use invalidation_core::{Error, ErrorKind};

use crate::error::error;

/// What is known of the server's certificate, and of the client's own.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    /// The authorities to trust, in place of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// The client's chain and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// The server's certificate is not looked at.
    pub(super) insecure: bool,
}

impl Tls {
    /// Whether it was configured at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.ca_file.is_some() || self.client.is_some() || self.insecure
    }

    /// The driver's configuration. Reads files: not for a thread of the runtime.
    pub(super) fn config(&self, operation: &'static str) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| refused(operation, "TLS cannot be used", source))?;
        let builder = if self.insecure {
            let anybody = Arc::new(Anybody(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(anybody)
        } else {
            builder.with_root_certificates(self.authorities(operation)?)
        };
        let Some((chain, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| unreadable(operation, "client certificate", chain, source))?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| unreadable(operation, "client key", key, source))?;
        builder
            .with_client_auth_cert(certificates, key)
            .map_err(|source| refused(operation, "the client certificate cannot be used", source))
    }

    fn authorities(&self, operation: &'static str) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(file) => {
                let certificates = CertificateDer::pem_file_iter(file)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|source| unreadable(operation, "CA file", file, source))?;
                roots.add_parsable_certificates(certificates);
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(error(
                ErrorKind::Invalid,
                operation,
                "no certificate authority is known to check the server by: name a CA file, or install the system's",
            ));
        }
        Ok(roots)
    }
}

fn unreadable(
    operation: &'static str,
    what: &str,
    path: &std::path::Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    error(
        ErrorKind::Invalid,
        operation,
        format!("the {what} {} cannot be read as PEM", path.display()),
    )
    .with_source(source)
}

fn refused(operation: &'static str, what: &'static str, source: TlsError) -> Error {
    error(ErrorKind::Invalid, operation, what).with_source(source)
}

/// Takes any certificate, of a server that can use its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
