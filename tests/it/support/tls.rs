//! Certificates of a private authority, for servers that tests start. They are valid for a hundred years.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The certificate that a server shows. Both are for `localhost`.
#[derive(Debug, Clone, Copy)]
pub enum Certificate {
    Good,
    Expired,
}

impl Certificate {
    fn der(self) -> &'static [u8] {
        match self {
            Self::Good => include_bytes!("keys/tls-localhost.der"),
            Self::Expired => include_bytes!("keys/tls-expired.der"),
        }
    }

    /// The configuration of a server with this certificate.
    pub fn server(self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&include_bytes!("keys/tls-key.der")[..]));
        let chain = vec![CertificateDer::from(self.der())];
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

/// The authority of both certificates, as a PEM file.
pub fn authority() -> String {
    let text = STANDARD.encode(include_bytes!("keys/tls-authority.der"));
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
