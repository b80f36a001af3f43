//! The example services in `clients/` and `crates/verify`, each started as its own first line says, behind a server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::Issuer;
use crate::support::{
    PATIENCE, eventually,
    http::{Request, Response},
    program::PROGRAM,
    signer::part,
    text,
};

#[derive(Clone, Copy, Debug)]
pub enum Framework {
    FastApi,
    Django,
    Express,
    /// axum.
    Tower,
    Actix,
}

impl Framework {
    pub const ALL: [Self; 5] = [Self::FastApi, Self::Django, Self::Express, Self::Tower, Self::Actix];

    fn command(self) -> Command {
        match self {
            Self::FastApi => python(&["examples/fastapi_service.py", "0"]),
            Self::Django => python(&["examples/django_service.py", "0"]),
            Self::Express => node(&["examples/express.js", "0"]),
            Self::Tower => rust("tower"),
            Self::Actix => rust("actix"),
        }
    }
}

/// An example of `crates/verify`, which Cargo builds with the tests of the whole workspace.
fn rust(example: &str) -> Command {
    let mut command = Command::new(Path::new(PROGRAM).with_file_name("examples").join(example));
    command.arg("0").kill_on_drop(true);
    command
}

/// Python in the folder of its verifier, with what `scripts/clients` installs.
pub fn python(arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(root.join("target/clients/venv/bin/python"));
    let folder = root.join("clients/python");
    python.arg("-B").args(arguments).env("PYTHONPATH", &folder).current_dir(folder).kill_on_drop(true);
    python
}

/// Node in the folder of its verifier: in a copy of it, beside which it finds what `scripts/clients` installs.
pub fn node(arguments: &[&str]) -> Command {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let copy = root.join("target/clients/verify");
        // There is none at first.
        let _ = std::fs::remove_dir_all(&copy);
        let mut command = std::process::Command::new("cp");
        command.arg("-r").arg(root.join("clients/javascript/verify")).arg(&copy);
        assert!(command.status().expect("a copy").success(), "no target/clients: run scripts/clients");
        // Of what somebody installed beside the original, nothing is to be used.
        let _ = std::fs::remove_dir_all(copy.join("node_modules"));
        copy
    });
    let mut node = Command::new("node");
    node.args(arguments).current_dir(copy).kill_on_drop(true);
    node
}

pub struct Service {
    pub framework: Framework,
    address: SocketAddr,
    child: Child,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Service {
    /// One of each, registered at the issuer, and following it.
    pub async fn all(issuer: &Issuer, settings: &[(&str, &str)]) -> Vec<Self> {
        let [id, secret] = issuer.register_service().await;
        let client = [("DUALAUTH_CLIENT_ID", id.as_str()), ("DUALAUTH_CLIENT_SECRET", &secret)];
        let all = Self::start_all(issuer, &[&client, settings].concat()).await;
        for service in &all {
            eventually(&format!("{:?} is fresh", service.framework), async || service.is_fresh().await).await;
        }
        all
    }

    /// One of each, with nothing but these settings.
    pub async fn start_all(issuer: &Issuer, settings: &[(&str, &str)]) -> Vec<Self> {
        let children = Framework::ALL.map(|framework| {
            let mut command = framework.command();
            command.env("DUALAUTH_ISSUER", issuer.url()).env("DUALAUTH_AUDIENCE", issuer.url());
            command.envs(settings.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
            let child =
                command.spawn().unwrap_or_else(|error| panic!("{framework:?}: {error}: run scripts/test"));
            (framework, child)
        });
        let mut all = Vec::new();
        for (framework, child) in children {
            all.push(Self::listening(framework, child).await);
        }
        all
    }

    async fn listening(framework: Framework, mut child: Child) -> Self {
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = timeout(PATIENCE, output.next_line()).await.expect("a line in time").expect("text");
        let told = line.as_deref().and_then(|line| line.strip_prefix("listening on http://")?.parse().ok());
        let address = told.unwrap_or_else(|| panic!("{framework:?} says {line:?}: run scripts/clients"));
        Self { framework, address, child, _output: output }
    }

    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }

    pub async fn me(&self, token: &str) -> Response {
        self.send(Request::get("/me").bearer(token)).await
    }

    pub async fn is_fresh(&self) -> bool {
        let health = self.send(Request::get("/health")).await.expect(200).json();
        health["fresh"].as_bool().expect("a boolean")
    }

    /// Asserts that the token is accepted, and whose it is said to be.
    pub async fn assert_accepts(&self, token: &str) {
        let response = self.me(token).await;
        assert_eq!(response.status, 200, "{:?}: {response}", self.framework);
        self.assert_is_of(&response, token);
    }

    pub fn assert_is_of(&self, response: &Response, token: &str) {
        let claims = part(token, 1);
        let expected = json!({
            "sub": claims["sub"], "username": claims["username"], "roles": claims["roles"], "sid": claims["sid"],
        });
        assert_eq!(response.json(), expected, "{:?}", self.framework);
    }

    /// Asks until the token is answered like this; until then it is accepted.
    pub async fn comes_to_refuse(&self, token: &str, status: u16, code: &str) {
        eventually(&format!("{:?} answers {code}", self.framework), async || {
            let response = self.me(token).await;
            if response.status == 200 {
                return false;
            }
            assert_eq!(text(&response.json()["code"]), code, "{:?}: {response}", self.framework);
            response.problem(status, code);
            true
        })
        .await;
    }

    /// Asks until the token is accepted.
    pub async fn comes_to_accept(&self, token: &str) {
        eventually(&format!("{:?} accepts", self.framework), async || self.me(token).await.status == 200)
            .await;
    }

    /// As a service manager does.
    pub async fn terminate(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal that arrives");
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("it ends");
    }
}
