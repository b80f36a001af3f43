//! Where settings come from: the environment, files, `.env`; and names that are none of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    http::Request,
    program::{Server, folder, program, run, text},
    server::{APP_SECRET, CHEAP, ONE_NAME, TestServer, credentials, registration},
};

/// Nobody is there, so that what would start says so and ends.
const NOWHERE: (&str, &str) = ("DATABASE_URL", "postgres://127.0.0.1:1/nowhere");

async fn started(folder: &Path, settings: &[(&str, &str)]) -> Output {
    run(program(folder, settings), "").await
}

/// What it complains of that does not start. It has made nothing, above all no database.
async fn refusal(folder: &Path, settings: &[(&str, &str)]) -> String {
    let output = started(folder, settings).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{settings:?}: {}{told}", text(&output.stdout));
    assert!(!folder.join(".data").exists(), "{settings:?} made a database: {told}");
    assert!(!told.contains("hunter2"), "{told}");
    told
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[tokio::test]
async fn every_setting_that_is_documented_may_come_from_a_file() {
    let folder = folder();
    let example =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).expect("it is there");
    let names = example.lines().filter_map(|line| line.trim_start_matches("# ").split_once('='));
    let names: BTreeSet<_> =
        names.map(|(name, _)| name).filter(|name| is_name(name) && !name.ends_with("_FILE")).collect();
    assert!(names.len() > 30, "{names:?}");
    let files: Vec<_> = names.iter().map(|name| (format!("{name}_FILE"), "hunter2".to_owned())).collect();
    let files: Vec<_> = files.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    let told = refusal(&folder, &files).await;
    for (name, _) in files.iter().filter(|(name, _)| *name != "LISTEN_FILE") {
        assert!(told.contains(&format!("{name} can't be read")), "{name} is not in {told}");
    }
    // It is set already.
    assert!(told.contains("LISTEN and LISTEN_FILE are both set"), "{told}");
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[tokio::test]
async fn a_service_runs_on_the_database_and_the_secret_that_files_have() {
    let (folder, database) = (folder(), Database::migrated().await);
    let url = file(&folder, "url", &format!("{}\r\n", database.url()));
    let secret = file(&folder, "secret", &format!("{APP_SECRET}\n"));
    let server =
        Server::start(&folder, &[("DATABASE_URL_FILE", &url), ("APP_SECRET_FILE", &secret), ONE_NAME]).await;
    server.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
    assert!(!server.output().contains("APP_SECRET is not set") && !folder.join(".data").exists());
    let login = server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200).json();
    assert!(server.terminate().await.success());

    // The secret is that without its last line break.
    let settings = [&[("DATABASE_URL", database.url().as_str()), ONE_NAME], CHEAP].concat();
    let server = Server::start(&folder, &settings).await;
    let token = login["access_token"].as_str().expect("a token");
    server.send(Request::get("/jwt/profile").bearer(token)).await.expect(200);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn a_secret_may_come_by_a_pipe() {
    let folder = folder();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut &writer, b"postgres://me:hunter2@127.0.0.1:1/nowhere\n").expect("a line");
    drop(writer);
    // As a shell's <(…) does.
    let path = format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd());
    let told = refusal(&folder, &[("DATABASE_URL_FILE", &path)]).await;
    assert!(told.contains("can't open the database"), "{told}");
}

#[tokio::test]
async fn nothing_that_names_a_database_or_a_secret_is_passed_over() {
    let folder = folder();
    let missing = folder.join("hunter2").to_str().expect("a path").to_owned();
    let (empty, blank) = (file(&folder, "empty", ""), file(&folder, "blank", " \n"));
    let database = |name: &'static str| [(name, "hunter2")];
    for settings in [
        "PGHOST",
        "PGDATABASE",
        "PGSERVICE",
        "PGPASSWORD",
        "POSTGRES_URL",
        "POSTGRES_HOST",
        "DB_URL",
        "DB_HOST",
        "PG_URL",
        "DATABASE_URI",
        "DATABASE_HOST",
        "DUALAUTH_DATABASE_URL",
        "DATABASE_URLL",
        "database_url",
        "POSTGRES_PASSWORD_FILE",
        "DATABASE_PRIVATE_URL",
        "HEROKU_POSTGRESQL_RED_URL",
        "DSN",
    ]
    .map(database)
    .iter()
    .chain(&[
        [("STORE", "postgres://me:hunter2@db/x")],
        [("DATABASE_DIRECT_URL", "postgres://me:hunter2@db/x")],
    ])
    .chain(&[[("DATABASE_URL", "")], [("DATABASE_URL", " \t")], [("DATABASE_URL_FILE", "")]])
    {
        let told = refusal(&folder, settings).await;
        assert!(told.contains("DATABASE_URL") && told.contains(settings[0].0), "{told}");
    }
    for path in [&missing, &empty, &blank, "/"] {
        let told = refusal(&folder, &[("DATABASE_URL_FILE", path)]).await;
        assert!(told.contains("DATABASE_URL_FILE"), "{told}");
    }
    for settings in [
        [("SECRET_KEY", "hunter2")],
        [("JWT_SECRET", "hunter2")],
        [("DUALAUTH_APP_SECRET", "hunter2")],
        [("APP_SECERT", "hunter2")],
        [("APP_SECRET", "")],
        [("APP_SECRET", "   ")],
        [("APP_SECRET_FILE", &missing)],
        [("APP_SECRET_FILE", &empty)],
        [("APP_SECRET_FILE_FILE", &empty)],
        [("APP_SECRET_NEW", "hunter2")],
        [("AUTH_JWT_SECRET", "hunter2")],
    ] {
        let told = refusal(&folder, &[&[NOWHERE], &settings[..]].concat()).await;
        assert!(
            told.contains("invalid settings") && told.contains("APP_SECRET") && told.contains(settings[0].0),
            "{told}"
        );
    }
    let both =
        [NOWHERE, ("APP_SECRET", "hunter2 hunter2 hunter2 hunter2 hunter2"), ("APP_SECRET_FILE", &missing)];
    assert!(refusal(&folder, &both).await.contains("APP_SECRET and APP_SECRET_FILE are both set"));
}

#[tokio::test]
async fn an_empty_value_that_nothing_reads_says_nothing() {
    let names = ["PGHOST", "POSTGRES_URL", "SECRET_KEY", "JWT_KEY", "DUALAUTH_LISTEN"];
    let (given, in_file) = (folder(), folder());
    file(&in_file, ".env", &names.map(|name| format!("{name}=\n")).concat());
    for (folder, settings) in [(&given, names.map(|name| (name, "")).to_vec()), (&in_file, vec![])] {
        // It is started: its own folder is in the way of a database.
        file(folder, ".data", "in the way");
        let told = text(&started(folder, &settings).await.stderr);
        assert!(told.contains(".data") && !names.iter().any(|name| told.contains(name)), "{told}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_utf_8_is_refused_by_its_name() {
    let folder = folder();
    for name in
        ["JWT_ISSUER", "JWT_AUDIENCE", "LISTEN", "APP_SECRET", "APP_SECRET_FILE", "COOKIE_NAME_PREFIX"]
    {
        let mut command = program(&folder, &[NOWHERE]);
        command.env(name, OsStr::from_bytes(b"https://\xff.hunter2"));
        let told = text(&run(command, "").await.stderr);
        let lines: Vec<_> = told.lines().filter(|line| line.contains(": expected UTF-8")).collect();
        assert!(lines.len() == 1 && lines[0].trim().starts_with(&format!("{name}: ")), "{name}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    // What nothing reads stops nothing.
    let mut command = program(&folder, &[NOWHERE]);
    command.env("SHOES", OsStr::from_bytes(b"\xff"));
    let told = text(&run(command, "").await.stderr);
    assert!(told.contains("can't open the database"), "{told}");
}

#[tokio::test]
async fn a_switch_of_opentelemetry_that_is_no_true_is_told() {
    let folder = folder();
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let told = refusal(&folder, &[NOWHERE, collector, ("OTEL_SDK_DISABLED", "1")]).await;
    assert!(told.contains("can't open the database"), "{told}");
    assert!(told.contains("OTEL_SDK_DISABLED is neither true nor false"), "{told}");
}

#[tokio::test]
async fn what_others_call_a_setting_is_named_at_the_start_and_by_doctor() {
    let folder = folder();
    let others = [
        ("PORT", "80"),
        ("HOST", "0.0.0.0"),
        ("BIND", ":80"),
        ("DUALAUTH_LISTEN", ":80"),
        ("DUALAUTH_SHOES", "43"),
        ("POSTGRES_URL", "postgres://hunter2"),
        ("SECRET_KEY", "hunter2"),
        ("RUST_LOG", "info"),
    ];
    let settings = [&others[..], &[NOWHERE, ("APP_SECRET", APP_SECRET)]].concat();
    let told = refusal(&folder, &settings).await;
    let mut doctor = program(&folder, &settings);
    let doctor = text(
        &run(
            {
                doctor.arg("doctor");
                doctor
            },
            "",
        )
        .await
        .stdout,
    );
    for (name, _) in others {
        let about = format!("{name} is not a known setting.");
        assert!(told.contains(&about) && doctor.contains(&about), "{name}: {told}{doctor}");
    }
}

#[tokio::test]
async fn values_in_the_file_of_settings_are_taken_as_they_are() {
    let folder = folder();
    let secret = r"$HOME${x}#$$\n`date`% äö=hunter3";
    let write = |text: &str| file(&folder, ".env", text);
    // Expanded, it would be too short.
    write(&format!(
        "# of the service\nexport APP_SECRET={secret}   # a note\nLOG='$LOG'\nDATABASE_URL=\"postgres://me:a$b%24@127.0.0.1:1/x\"\n"
    ));
    let told = refusal(&folder, &[("LOG", "info")]).await;
    assert!(told.contains("can't open the database"), "{told}");
    let told = refusal(&folder, &[]).await;
    assert!(told.contains("LOG: expected"), "{told}");

    // A node that has the same from the environment knows the other's tokens.
    let database = Database::migrated().await;
    let url = ("DATABASE_URL", database.url().as_str());
    let node = Server::start(&folder, &[url, ("APP_SECRET", secret), ONE_NAME, ("LOG", "info")]).await;
    node.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
    let mut client = Client::at_address(node.address(), Pair::JWT_BEARER);
    client.login(&client.pair.credentials("ada")).await.ok();
    assert!(node.terminate().await.success());
    write(&format!("DATABASE_URL={}\nAPP_SECRET={secret} \n", database.url()));
    let node = Server::start(&folder, &[ONE_NAME]).await;
    client.at_node(node.address()).refresh().await.ok();
    assert!(node.terminate().await.success());

    for wrong in ["APP_SECRET", "APP_SECRET='hunter2", "APP_SECRET='a'hunter2", "A=1\nA=hunter2"] {
        write(&format!("LOG=info\n{wrong}\n"));
        let told = refusal(&folder, &[]).await;
        assert!(told.contains(".env, line "), "{told}");
    }
}

#[tokio::test]
async fn a_folder_that_can_t_be_written_is_told_with_what_to_set_instead() {
    // Nobody may make a folder there, root included.
    let told = text(&started(Path::new("/proc"), &[]).await.stderr);
    assert!(told.contains(".data") && told.contains("DATABASE_URL"), "{told}");
    let folder = folder();
    std::fs::write(folder.join(".data"), "in the way").expect("a file");
    let told = text(&started(&folder, &[]).await.stderr);
    assert!(told.contains(".data") && told.contains("DATABASE_URL"), "{told}");
}

fn audience(token: &Value) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = token.as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
    claims["aud"].clone()
}

#[tokio::test]
async fn several_audiences_are_an_array_and_one_in_common_is_enough() {
    let server = TestServer::with(&[ONE_NAME, ("JWT_AUDIENCE", "api")]).await;
    server.user("ada").await;
    let both = server.another_node_with(&[("JWT_AUDIENCE", "api, web")]).await;
    let other = server.another_node_with(&[("JWT_AUDIENCE", "mail")]).await;
    for (node, expected) in [(&server, json!("api")), (&both, json!(["api", "web"]))] {
        let login = node.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200).json();
        assert_eq!(audience(&login["access_token"]), expected);
        let token = login["access_token"].as_str().expect("a token");
        for (node, status) in [(&server, 200), (&both, 200), (&other, 401)] {
            node.send(Request::get("/jwt/profile").bearer(token)).await.expect(status);
        }
    }
}
