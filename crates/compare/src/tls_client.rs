//! TLS client (RFC 8446): configuration, trusted root certificates, and the expected server name.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Variables that replace the system's root certificates, as for OpenSSL.
const TRUSTED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// An encrypted connection.
pub(super) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// TLS configuration and name of one server, for any number of connections.
#[derive(Clone, Debug)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// For the server with this name or address. Trusted are the root certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else
    /// the system's, and those of the public authorities.
    ///
    /// # Errors
    /// When `host` is no valid name, or the files that these variables name can't be read.
    pub(super) fn for_host(host: &str) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots()?).with_no_client_auth();
        let name =
            ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Wraps a TCP connection. The handshake takes place with the first write or read.
    ///
    /// # Errors
    /// When the TLS session can't be created. A failed handshake is an error of the first write or read.
    pub(super) fn wrap(&self, stream: TcpStream) -> io::Result<Encrypted> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(StreamOwned::new(session.map_err(io::Error::other)?, stream))
    }
}

fn roots() -> io::Result<RootCertStore> {
    let machine = rustls_native_certs::load_native_certs();
    let is_named = TRUSTED.iter().any(|name| std::env::var_os(name).is_some());
    if is_named && let Some(error) = machine.errors.into_iter().next() {
        return Err(io::Error::other(error));
    }
    // The system may have no root certificates at all.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(machine.certs);
    Ok(roots)
}
