//! TLS as a client speaks it (RFC 8446): who is believed to be whom.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What names other certificates to trust than the system's, here as for OpenSSL.
const TRUSTED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A connection that nobody else reads.
pub(super) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// How a server is known, which is connected to as often as need be.
#[derive(Clone, Debug)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Of the server with this name or address. It is believed with a certificate that this machine trusts
    /// (`SSL_CERT_FILE`, `SSL_CERT_DIR`, else the system's), or one of a public authority.
    ///
    /// # Errors
    /// When that is no name, or what the environment names can't be read.
    pub(super) fn for_host(host: &str) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots()?).with_no_client_auth();
        let name =
            ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Speaks to it over this connection.
    ///
    /// # Errors
    /// When there is no memory or no randomness; what the server says comes with the first byte.
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
    // A machine may have no list at all.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(machine.certs);
    Ok(roots)
}
