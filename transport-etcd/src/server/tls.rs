//! TLS by rustls, with ring, and no provider installed for the process.

use std::{fs, path::PathBuf, sync::Arc};

use invalidation_core::{Error, ErrorKind};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::error::error;

/// Whom to trust, and who one is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// The only authorities; the system's without.
    pub(crate) ca_file: Option<PathBuf>,
    /// The files of the client's certificate and key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate; that of the URL without.
    pub(crate) server_name: Option<String>,
    pub(crate) is_insecure: bool,
}

impl Tls {
    /// Whether anything was said that has a meaning with TLS alone.
    pub(crate) fn is_said(&self) -> bool {
        self.ca_file.is_some()
            || self.client.is_some()
            || self.server_name.is_some()
            || self.is_insecure
    }

    /// The endpoint with TLS. The files are read each time, so that renewed ones are taken.
    pub(crate) fn apply(
        &self,
        endpoint: Endpoint,
        operation: &'static str,
    ) -> Result<Endpoint, Error> {
        let mut config = ClientTlsConfig::new();
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        if let Some((certificate, key)) = &self.client {
            config = config.identity(Identity::from_pem(
                read(certificate, operation)?,
                read(key, operation)?,
            ));
        }
        let secured = if self.is_insecure {
            endpoint.tls_config_with_verifier(config, Arc::new(Anybody(ring::default_provider())))
        } else {
            config = match &self.ca_file {
                Some(file) => config.ca_certificate(Certificate::from_pem(read(file, operation)?)),
                None => config.with_native_roots(),
            };
            endpoint.tls_config(config)
        };
        secured.map_err(|source| {
            error(
                ErrorKind::Invalid,
                operation,
                "the TLS settings cannot be used: check the files of the CA, the certificate and the key, which are to \
                 be PEM, and the server's name",
            )
            .with_source(source)
        })
    }
}

fn read(path: &PathBuf, operation: &'static str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| {
        let message = format!("{} cannot be read: {source}", path.display());
        error(ErrorKind::Invalid, operation, message).with_source(source)
    })
}

/// Whoever answers is the server, if it has the key of the certificate that it shows: `insecure_tls`.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
