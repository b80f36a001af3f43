//! The certificate authorities that this machine trusts, for TLS connections to Postgres and to a mail server.

use std::io;

use pem::Pem;
use rustls::RootCertStore;

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
    let machine = rustls_native_certs::load_native_certs();
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| std::env::var_os(name).is_some());
    if let (Some(name), Some(error)) = (named, machine.errors.into_iter().next()) {
        return Err(RootsError { name, error: io::Error::other(error) });
    }
    // Skip invalid certificates: sqlx would reject all because of one.
    let mut store = RootCertStore::empty();
    let readable = machine.certs.into_iter().filter(|certificate| store.add(certificate.clone()).is_ok());
    let certificates: Vec<Pem> = readable.map(|it| Pem::new("CERTIFICATE", it.to_vec())).collect();
    Ok(pem::encode_many(&certificates).into_bytes())
}
