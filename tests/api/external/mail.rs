//! A mail server that nobody here wrote (aiosmtpd), with TLS and passwords: what it has to prove before it is told the password.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use pem::Pem;
use rcgen::CertifiedKey;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::started;
use crate::{
    doctor::doctor_in,
    support::{
        eventually,
        program::{folder, program, run, text},
    },
};

const ADDRESS: &str = "canary-address@example.org";

struct Aiosmtpd {
    /// Is killed with it.
    _process: Child,
    port: u16,
    certificate: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Aiosmtpd {
    async fn start(mode: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder();
        // Linux connects to this machine by 0.0.0.0, and it is no loopback address: STARTTLS is demanded.
        let names = ["localhost".to_owned(), "0.0.0.0".to_owned()];
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).expect("a certificate");
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        for (path, kind, der) in [
            (&certificate, "CERTIFICATE", cert.der().to_vec()),
            (&key, "PRIVATE KEY", signing_key.serialize_der()),
        ] {
            std::fs::write(path, pem::encode(&Pem::new(kind, der))).expect("a file");
        }
        let start = |address: std::net::SocketAddr| {
            let mut command = Command::new(root.join("target/tools/mail/venv/bin/python"));
            command.arg(root.join("tests/mail/server.py")).arg(address.port().to_string()).arg(mode);
            if mode != "plain" {
                command.args([&certificate, &key]);
            }
            command.stdout(Stdio::piped()).kill_on_drop(true).env("PYTHONDONTWRITEBYTECODE", "1");
            command.spawn().expect("it starts: scripts/tools mail gets it")
        };
        let listens = async |address| TcpStream::connect(address).await.is_ok();
        let (mut process, address) =
            started::on_a_free_port(start, listens).await.expect("aiosmtpd that listens");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, output) = (Arc::clone(&lines), process.stdout.take().expect("its output"));
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { _process: process, port: address.port(), certificate, lines }
    }

    fn trusted(&self) -> (&'static str, &str) {
        ("SSL_CERT_FILE", self.certificate.to_str().expect("a path"))
    }

    /// What it saw: whoever tried a password, and each mail.
    fn saw(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends a test mail; the error of one that is not sent.
async fn send(url: &str, settings: &[(&str, &str)]) -> Result<(), String> {
    let settings: Vec<_> = [("SMTP_URL", url)].iter().chain(settings).copied().collect();
    let mut command = program(&folder(), &settings);
    command.args(["mail", "test", ADDRESS]);
    let output = run(command, "").await;
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
}

async fn doctor(url: &str, settings: &[(&str, &str)], level: &str, words: &[&str]) {
    let settings: Vec<_> = [("SMTP_URL", url)].iter().chain(settings).copied().collect();
    doctor_in(&folder(), &settings, &[]).await.assert_has(level, words);
}

#[tokio::test]
async fn over_tls_and_starttls_a_server_that_proves_who_it_is_gets_password_and_mail() {
    for (mode, url) in
        [("tls", "smtps://me:canary-password@localhost"), ("starttls", "smtp://me:canary-password@0.0.0.0")]
    {
        let server = Aiosmtpd::start(mode).await;
        let url = format!("{url}:{}", server.port);
        send(&url, &[server.trusted()]).await.expect(mode);
        let expected = ["TRIED me canary-password".to_owned(), format!("MAIL {ADDRESS} tls")];
        eventually("it says what it saw", async || server.saw().len() >= expected.len()).await;
        assert_eq!(server.saw(), expected, "{mode}");
        doctor(&url, &[server.trusted()], "ok", &["over TLS", "takes the credentials"]).await;
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_nobody_or_of_another_is_told_no_password() {
    for (mode, url) in
        [("tls", "smtps://me:canary-password@localhost"), ("starttls", "smtp://me:canary-password@0.0.0.0")]
    {
        let server = Aiosmtpd::start(mode).await;
        let other = Aiosmtpd::start(mode).await;
        let url = format!("{url}:{}", server.port);
        let named_otherwise = format!("smtps://me:canary-password@127.0.0.1:{}", server.port);
        let mut tries = vec![(url.as_str(), vec![]), (&url, vec![other.trusted()])];
        if mode == "tls" {
            tries.push((&named_otherwise, vec![server.trusted()]));
        }
        for (url, settings) in tries {
            let error = send(url, &settings).await.expect_err(url);
            assert!(error.contains("certificate"), "{error}");
            assert!(!error.contains("canary"), "{error}");
            doctor(url, &settings, "problem", &["can't be reached", "certificate"]).await;
        }
        assert!(server.saw().is_empty(), "{:?}", server.saw());
    }
}

#[tokio::test]
async fn where_starttls_is_not_offered_nothing_is_told() {
    let server = Aiosmtpd::start("plain").await;
    let url = format!("smtp://me:canary-password@0.0.0.0:{}", server.port);
    let error = send(&url, &[server.trusted()]).await.expect_err("no TLS");
    assert!(error.contains("STARTTLS") && !error.contains("canary"), "{error}");
    // Neither does a server that speaks no TLS at all get anything.
    let url = format!("smtps://me:canary-password@localhost:{}", server.port);
    send(&url, &[server.trusted()]).await.expect_err("no TLS");
    assert!(server.saw().is_empty(), "{:?}", server.saw());
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_told_from_a_server_that_is_away() {
    let server = Aiosmtpd::start("tls").await;
    let at = |user: &str| format!("smtps://{user}localhost:{}", server.port);
    let error = send(&at("me:canary-wrong@"), &[server.trusted()]).await.expect_err("a wrong password");
    assert!(error.contains("does not accept the credentials") && !error.contains("canary"), "{error}");
    doctor(&at("me:canary-wrong@"), &[server.trusted()], "problem", &["535", "SMTP_URL"]).await;
    let error = send(&at(""), &[server.trusted()]).await.expect_err("no password");
    assert!(error.contains("does not accept the credentials"), "{error}");
    assert!(!server.saw().iter().any(|line| line.starts_with("MAIL")), "{:?}", server.saw());
}
