//! The certificate authorities that this machine trusts, for TLS connections to Postgres, to a mail server and to other HTTP servers.

use std::io;
use std::sync::Arc;

use pem::Pem;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The file or folder with certificates can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{name} can't be read: {error}")]
pub struct RootsError {
    /// The variable that names it.
    pub name: &'static str,
    /// Why.
    pub error: io::Error,
}

/// The trusted certificates of this machine, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`, in PEM format (RFC 7468).
///
/// # Errors
/// When one of these is set, and can't be read.
pub fn machine_roots() -> Result<Vec<u8>, RootsError> {
    // Skip invalid certificates: sqlx would reject all because of one.
    let mut store = RootCertStore::empty();
    let readable = trusted()?.into_iter().filter(|certificate| store.add(certificate.clone()).is_ok());
    let certificates: Vec<Pem> = readable.map(|it| Pem::new("CERTIFICATE", it.to_vec())).collect();
    Ok(pem::encode_many(&certificates).into_bytes())
}

/// The TLS settings of an HTTP client that trusts the same certificates; if there are none, Mozilla's.
///
/// # Errors
/// When `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, and can't be read.
pub fn http_client_tls() -> Result<TlsConfig, RootsError> {
    let certificates: Vec<_> =
        trusted()?.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let roots = if certificates.is_empty() { RootCerts::WebPki } else { certificates.into() };
    let crypto = Arc::new(aws_lc_rs::default_provider());
    Ok(TlsConfig::builder().unversioned_rustls_crypto_provider(crypto).root_certs(roots).build())
}

fn trusted() -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let machine = rustls_native_certs::load_native_certs();
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| std::env::var_os(name).is_some());
    match (named, machine.errors.into_iter().next()) {
        (Some(name), Some(error)) => Err(RootsError { name, error: io::Error::other(error) }),
        _ => Ok(machine.certs),
    }
}
