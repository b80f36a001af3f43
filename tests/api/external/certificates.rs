//! Whether a certificate is one that this machine trusts: the service's, as `doctor` and `compare` meet it behind nginx, and that of
//! a Postgres, as pgbouncer shows it.

use std::path::PathBuf;

use pem::Pem;
use rcgen::CertifiedKey;

use super::{nginx::Nginx, pgbouncer::PgBouncer};
use crate::{
    connecting::{assert_connected, assert_refused, connect},
    doctor::doctor_in,
    support::{
        cluster::Database,
        program::{folder, program, run, text},
        server::TestServer,
    },
};

#[tokio::test]
async fn a_doctor_takes_a_certificate_if_this_machine_trusts_it() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://auth.example.org")]).await;
    let nginx = Nginx::over_tls(&server).await;
    let database = ("DATABASE_URL", server.database_url().as_str());
    let url = format!("https://{}", nginx.address());
    let told = doctor_in(&folder(), &[database], &["--url", &url]).await;
    told.assert_has("problem", &["Nothing answers at", "certificate"]);

    let trusted = nginx.certificate();
    let told = doctor_in(&folder(), &[database, ("SSL_CERT_FILE", &trusted)], &["--url", &url]).await;
    // It was reached; nginx keeps /health/ to itself.
    told.assert_has("skipped", &["is ready"]);
    told.assert_has("problem", &["does not take https://127.0.0.1", "PUBLIC_URL"]);

    let told = doctor_in(&folder(), &[database, ("SSL_CERT_FILE", "nowhere.pem")], &["--url", &url]).await;
    told.assert_has("problem", &["Nothing answers at", "nowhere.pem"]);
}

#[tokio::test]
async fn a_service_behind_tls_is_measured_if_this_machine_trusts_it() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://auth.example.org")]).await;
    let nginx = Nginx::over_tls(&server).await;
    let url = format!("https://{}", nginx.address());
    let measured = async |settings: &[(&str, &str)]| {
        let mut command = program(&folder(), settings);
        command.args(["compare", "--quick", "--url", &url]);
        run(command, "").await
    };
    let stranger = measured(&[]).await;
    assert!(text(&stranger.stderr).contains("certificate"), "{}", text(&stranger.stderr));
    let known = measured(&[("SSL_CERT_FILE", &nginx.certificate())]).await;
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert!(text(&known.stdout).contains("session cookie"), "{}", text(&known.stdout));
}

/// The database at an IPv6 address, and over TLS.
async fn elsewhere(database: &Database) -> (PgBouncer, PathBuf) {
    let folder = folder();
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
    for (path, kind, der) in [
        (&certificate, "CERTIFICATE", cert.der().to_vec()),
        (&key, "PRIVATE KEY", signing_key.serialize_der()),
    ] {
        std::fs::write(path, pem::encode(&Pem::new(kind, der))).expect("a file");
    }
    let configuration = format!(
        "listen_addr = 127.0.0.1,::1\nclient_tls_sslmode = allow\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
        certificate.display(),
        key.display()
    );
    (PgBouncer::with(database.url(), &configuration).await, certificate)
}

#[tokio::test]
async fn a_postgres_is_known_by_the_certificates_that_the_machine_is_told_to_trust() {
    let database = Database::migrated().await;
    let (server, certificate) = elsewhere(&database).await;
    let certificate = certificate.to_str().expect("a path");
    let at = |host: &str, query: &str| {
        let (port, path) = (server.url().port().expect("a port"), server.url().path());
        format!("postgres://dualauth@{host}:{port}{path}?{query}")
    };
    assert_connected(connect(&at("[::1]", "sslmode=disable"), &[]).await);
    let verified = at("localhost", "sslmode=verify-full");
    assert_refused(connect(&verified, &[]).await, "UnknownIssuer");
    assert_connected(connect(&verified, &[("SSL_CERT_FILE", certificate)]).await);
    assert_connected(
        connect(&at("localhost", "sslrootcert=system"), &[("SSL_CERT_FILE", certificate)]).await,
    );
    let by_file = format!("sslmode=verify-full&sslrootcert={certificate}");
    assert_connected(connect(&at("localhost", &by_file), &[]).await);
    assert_refused(connect(&at("127.0.0.1", &by_file), &[]).await, "not valid for name");
}
