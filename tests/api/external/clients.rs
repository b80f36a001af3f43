//! JWT libraries that nobody here wrote, set up as a service behind dualauth would set them up: they verify its tokens
//! by what it publishes, refuse what is forged, and go on when keys rotate.

mod conformance;
mod documented;
mod events;
mod services;
mod unit_tests;
mod verifiers;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use aws_lc_rs::hmac;
use dualauth::config::JwtAlgorithm;
use pem::Pem;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::{
    PATIENCE,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder, program, run, text},
    server::{CHEAP, registration},
    signer::{KeyFile, Role, Signer, key, message, part, signed},
    with, without,
};

/// The algorithms that have a public half to publish.
const ASYMMETRIC: [JwtAlgorithm; 3] = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Rs256];

/// The libraries' own: after an answer they don't ask again for so long, whatever they meet.
const COOLDOWN_SECONDS: &str = "30";

#[derive(Clone, Copy, Debug)]
enum Library {
    PyJwt,
    Jose,
}

impl Library {
    const ALL: [Self; 2] = [Self::PyJwt, Self::Jose];

    /// The script, ready for its arguments.
    fn command(self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = root.join("target/clients");
        let mut command = match self {
            Self::PyJwt => {
                let mut python = Command::new(installed.join("venv/bin/python"));
                python.arg(root.join("tests/clients/verify.py"));
                python
            }
            Self::Jose => {
                assert!(installed.join("node_modules/jose").exists(), "no jose: run scripts/clients");
                let mut node = Command::new("node");
                // So that it looks for jose from the folder that it runs in.
                node.args(["--input-type=module", "--eval", include_str!("../../clients/verify.mjs"), "--"]);
                node.current_dir(installed);
                node
            }
        };
        command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// One client object, that lives as long as the service it would be in.
struct Verifier {
    library: Library,
    _child: Child,
    tokens: ChildStdin,
    verdicts: Lines<BufReader<ChildStdout>>,
}

impl Verifier {
    fn start(library: Library, issuer: &Issuer, cooldown_seconds: &str) -> Self {
        let jwks = format!("{}/.well-known/jwks.json", issuer.url());
        let algorithm = issuer.algorithm.as_str();
        let mut command = library.command();
        command.args([&jwks, &issuer.url(), &issuer.url(), algorithm, cooldown_seconds]);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}: run scripts/clients"));
        let tokens = child.stdin.take().expect("its input");
        let verdicts = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { library, _child: child, tokens, verdicts }
    }

    async fn verdict(&mut self, token: &str) -> String {
        self.tokens.write_all(format!("{token}\n").as_bytes()).await.expect("it reads");
        let verdict = timeout(PATIENCE, self.verdicts.next_line()).await.expect("a verdict in time");
        let verdict = verdict.expect("a verdict").unwrap_or_else(|| panic!("{:?} has ended", self.library));
        assert!(verdict.starts_with("good ") || verdict.starts_with("bad "), "{verdict}");
        verdict
    }

    async fn assert_good(&mut self, token: &str, user: &str) {
        assert_eq!(self.verdict(token).await, format!("good {user}"), "{:?}: {token}", self.library);
    }

    async fn assert_bad(&mut self, token: &str, what: &str) {
        let verdict = self.verdict(token).await;
        assert!(verdict.starts_with("bad "), "{:?}, {what}: {verdict}", self.library);
    }
}

/// A dualauth that lives by the clock that the libraries live by, and a user who signs in there.
struct Issuer {
    server: Server,
    algorithm: JwtAlgorithm,
    folder: PathBuf,
    database: Arc<Database>,
    client: Client,
    user: String,
}

impl Issuer {
    async fn start(algorithm: JwtAlgorithm, settings: &[(&str, &str)]) -> Self {
        let (folder, database) = (folder(), Arc::new(Database::migrated().await));
        let url = database.url().to_string();
        let own = [("DATABASE_URL", url.as_str()), ("JWT_ALGORITHM", algorithm.as_str())];
        let server = Server::start(&folder, &[CHEAP, &own, settings].concat()).await;
        let user = server.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
        let user = crate::support::text(&user.json()["user_id"]).to_owned();
        let client = Client::at_address(server.address(), Pair::JWT_BEARER);
        let mut issuer = Self { server, algorithm, folder, database, client, user };
        issuer.token().await;
        issuer
    }

    /// Started with this key.
    async fn with_key(key: &Signer) -> Self {
        let file = KeyFile::of(&[&key.file]);
        Self::start(key.algorithm, &[file.setting()]).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// A new one.
    async fn token(&mut self) -> String {
        self.client.login(&Pair::JWT_BEARER.credentials("ada")).await.ok();
        self.client.credential()
    }

    /// What a command of its operator prints.
    async fn command(&self, words: &[&str]) -> String {
        let url = self.database.url().to_string();
        let own = [("DATABASE_URL", url.as_str())];
        let mut command = program(&self.folder, &[CHEAP, &own].concat());
        command.args(words);
        let output = run(command, "").await;
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Id and secret of a service, registered by the command that its operator would use.
    async fn register_service(&self) -> [String; 2] {
        let printed = self.command(&["client", "create", "the orders' service"]).await;
        ["client_id: ", "client_secret: "].map(|name| {
            let value = printed.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_else(|| panic!("no {name} in {printed}")).to_owned()
        })
    }

    /// Has the next key sign, and gives a token that it has signed.
    async fn rotate(&mut self) -> String {
        let old = part(&self.token().await, 0)["kid"].clone();
        self.command(&["keys", "rotate"]).await;
        eventually("a token by the next key", async || part(&self.token().await, 0)["kid"] != old).await;
        self.client.credential()
    }

    async fn stop(self) {
        self.server.terminate().await;
        // A test that fails has more to say than that something is left over.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn others_verify_our_tokens_by_what_we_publish() {
    for algorithm in ASYMMETRIC {
        let mut issuer = Issuer::start(algorithm, &[]).await;
        for library in Library::ALL {
            let mut verifier = Verifier::start(library, &issuer, COOLDOWN_SECONDS);
            let token = issuer.token().await;
            assert_eq!(part(&token, 0)["alg"], algorithm.as_str());
            verifier.assert_good(&token, &issuer.user).await;
            issuer.client.refresh().await.ok();
            verifier.assert_good(&issuer.client.credential(), &issuer.user).await;
        }
        issuer.stop().await;
    }
}

/// Tokens that are none of the server's, though some have its own key's signature; and what is wrong with each.
fn forged(issuer: &Issuer, key: &Signer) -> Vec<(&'static str, String)> {
    let good = issuer.client.credential();
    let (header, claims) = (part(&good, 0), part(&good, 1));
    let (signed_part, signature) = good.rsplit_once('.').expect("a signature");
    let strange = self::key(key.algorithm, Role::Strange);
    let now = claims["iat"].as_i64().expect("a time");
    let says = |claim: &str, value: Value| key.token(&header, &with(claims.clone(), claim, value));
    let headed = |member: &str, value: Value| key.token(&with(header.clone(), member, value), &claims);
    let admin = message(&header, &with(claims.clone(), "roles", json!(["admin"])));
    let none = message(&with(header.clone(), "alg", "none"), &claims);
    let mut forged = vec![
        ("other claims", format!("{admin}.{signature}")),
        ("another key", strange.token(&header, &claims)),
        ("a key that is not published", strange.token(&with(header.clone(), "kid", strange.kid()), &claims)),
        ("no algorithm and a signature", format!("{none}.{signature}")),
        ("no algorithm and no signature", format!("{none}.")),
        ("no signature", format!("{signed_part}.")),
        ("a signature of zeros", signed(signed_part, &vec![0; key.signature(b"").len()])),
        ("it has expired", says("exp", json!(now - 1))),
        ("it does not expire", key.token(&header, &without(claims.clone(), "exp"))),
        ("another issuer", says("iss", json!("https://evil.example.org"))),
        ("another audience", says("aud", json!("https://evil.example.org"))),
        ("another type", headed("typ", json!("JWT"))),
        ("a header that it must understand", headed("crit", json!(["x"]))),
        ("another algorithm's name", headed("alg", json!("PS256"))),
    ];
    let [spki, own_form] = key.public_der().expect("a public half");
    let pem = pem::encode(&Pem::new("PUBLIC KEY", spki.clone()));
    for secret in [pem.trim_end().as_bytes(), pem.as_bytes(), &spki, &own_form] {
        let message = message(&with(header.clone(), "alg", "HS256"), &claims);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        forged.push(("a public key as a secret", signed(&message, mac.as_ref())));
    }
    forged
}

#[tokio::test]
async fn what_is_forged_they_refuse_and_so_do_we() {
    for algorithm in ASYMMETRIC {
        let key = key(algorithm, Role::Active);
        let issuer = Issuer::with_key(key).await;
        let good = issuer.client.credential();
        let (header, claims) = (part(&good, 0), part(&good, 1));
        let as_good = key.token(&header, &claims);
        for library in Library::ALL {
            let mut verifier = Verifier::start(library, &issuer, COOLDOWN_SECONDS);
            for token in [&good, &as_good] {
                verifier.assert_good(token, &issuer.user).await;
            }
            for (what, token) in forged(&issuer, key) {
                verifier.assert_bad(&token, what).await;
                let response = issuer.server.send(Request::get("/jwt/profile").bearer(&token)).await;
                assert_eq!(response.status, 401, "{what}: {response}");
            }
            verifier.assert_good(&good, &issuer.user).await;
        }
        issuer.stop().await;
    }
}

#[tokio::test]
async fn a_token_of_a_secret_key_nobody_else_verifies() {
    let issuer = Issuer::start(JwtAlgorithm::Hs256, &[]).await;
    for library in Library::ALL {
        let mut verifier = Verifier::start(library, &issuer, COOLDOWN_SECONDS);
        verifier.assert_bad(&issuer.client.credential(), "nothing is published").await;
    }
    issuer.stop().await;
}

/// They don't ask again: the next key was in what they were told before it signed.
#[tokio::test]
async fn a_rotation_does_not_disturb_who_remembers_our_keys() {
    for algorithm in ASYMMETRIC {
        let mut issuer = Issuer::start(algorithm, &[]).await;
        let mut verifiers = Library::ALL.map(|it| Verifier::start(it, &issuer, COOLDOWN_SECONDS));
        let old = issuer.token().await;
        for verifier in &mut verifiers {
            verifier.assert_good(&old, &issuer.user).await;
        }

        let new = issuer.rotate().await;

        for verifier in &mut verifiers {
            verifier.assert_good(&new, &issuer.user).await;
            verifier.assert_good(&old, &issuer.user).await;
        }
        issuer.stop().await;
    }
}

#[tokio::test]
async fn who_remembers_our_keys_and_meets_one_that_is_newer_asks_and_goes_on() {
    for algorithm in ASYMMETRIC {
        let mut issuer = Issuer::start(algorithm, &[]).await;
        // Two rotations within their cooldown are a matter of tests.
        let mut verifiers = Library::ALL.map(|it| Verifier::start(it, &issuer, "0"));
        let old = issuer.token().await;
        for verifier in &mut verifiers {
            verifier.assert_good(&old, &issuer.user).await;
        }

        let newer = issuer.rotate().await;
        let newest = issuer.rotate().await;

        for verifier in &mut verifiers {
            for token in [&newest, &newer, &old] {
                verifier.assert_good(token, &issuer.user).await;
            }
        }
        issuer.stop().await;
    }
}
