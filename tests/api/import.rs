//! Taking users over from another system, with the hashes of their passwords.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use sqlx::{PgConnection, query_scalar};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    program::{folder, program, run, text},
    server::TestServer,
    with,
};

/// Everybody's password of the tests, as other systems hash it: `src/users/passwords/schemes/tests.rs` says how.
const HASHES: [&str; 15] = [
    "pbkdf2_sha256$1000$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=",
    "argon2$argon2id$v=19$m=64,t=1,p=2$c2FsdHNhbHRzYWx0c2FsdA$+6hNuNqZF+RK0jj0fagqBPIg7KeksBiI3MpwqP72n/Q",
    "argon2$argon2id$v=19$m=102400,t=2,p=8$U0JudUx3M2I2SVR5bWJwd0pWdFd5dw$SxthiFN85D6a9xtwAHtKJugd81JRzoKTsuXaLed+vhc",
    "bcrypt_sha256$$2b$04$YGVsp9ISsd.eMqNewYv99.FC8DPR6OzokfnnNsQa4VhSJlaoZCel.",
    "bcrypt$$2b$04$SdZv9nhOoXbAasLdv8BEruv7ib7W56Jil14VeCxe6E83oMvLRVMim",
    "scrypt$16$saltsaltsalt$8$2$w6ICAGtfgtwKLYhxmLn4wC6V2Ug/iExIiXtLRFakUvYj680+xFl3CLzDAUWZjA+6K323nxPq46AiQFsyLqki7g==",
    "$2a$04$qP1GC/ZVmfKE6ZitKVzPmO5TnVYmJnBB7kIbchUu7DfMDM8QlycsO",
    "$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q",
    "$2y$04$QRBHz6dR3/4OBEX6ilyfI.whwYlsGa18EuSeb8xdgUXRu9KrKotkS",
    "$argon2d$v=19$m=64,t=2,p=1$zLsXXAC9Ur8ZXTpaylt1TQ$ThDMPk6ICP1ZgVPYKCmO8rhN/S+Ak9P3lig1/dYU0TU",
    "$argon2i$v=19$m=64,t=2,p=1$ULsUrVy3DVt8qtU3oSFQxw$A3VpUJGcK599PQl5OR3OI9S0+VH+U8U3DL2XAKZApR0",
    "$argon2id$v=19$m=128,t=1,p=4$tOsKZ3zINBkY3UGF4B4Vug$qtCzOPYdRDPohaAhJEieP2/wy89VFQoDMV0eIRTrW/A",
    "$argon2id$v=19$m=64,t=2,p=1$dulzHxGSd3I$5TJ3O4GUn+xdvM7IJuo3Bg",
    "$scrypt$ln=4,r=8,p=1$2Pu/V6q1NkZIaU0pRWhNaQ$uNJ45psWHdF2iKI5lemeLkjY9YI+xE/s59Icxg4tttw",
    "$scrypt$ln=5,r=4,p=2$cy7FWMt5T6n1XqtVKmXM+Q$yiuV0cmr9ERNJzwfU81PJU+1UHpXAglwuzCgs2ZkFBI",
];

/// What the tests' servers make: above the cost of those that may be ours.
const TODAY: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "256"), ("ARGON2_ITERATIONS", "2")];
const BEGINS: &str = "$argon2id$v=19$m=256,t=2,p=1$";

/// Everybody's password of the tests.
const PASSWORD: &str = "a quiet lantern over the weir";

/// argon2-cffi: `PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD)`
const ARGON2ID: &str =
    "$argon2id$v=19$m=64,t=2,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA";

/// A database, and files to import into it.
struct Stage {
    database: Arc<Database>,
    folder: PathBuf,
}

impl Stage {
    async fn set() -> Self {
        Self { database: Arc::new(Database::migrated().await), folder: folder() }
    }

    async fn import(&self, name: &str, content: impl AsRef<[u8]>, options: &[&str]) -> Import {
        std::fs::write(self.folder.join(name), content).expect("a file");
        let mut command = program(&self.folder, &[("DATABASE_URL", self.database.url().as_str())]);
        command.args(["user", "import", name]).args(options);
        Import::of(&run(command, "").await)
    }

    /// What comes on standard input.
    async fn import_input(&self, content: &str, options: &[&str]) -> Import {
        let mut command = program(&self.folder, &[("DATABASE_URL", self.database.url().as_str())]);
        command.args(["user", "import", "-"]).args(options);
        Import::of(&run(command, content).await)
    }

    async fn sql(&self) -> PgConnection {
        self.database.connect().await
    }

    async fn users(&self) -> Vec<String> {
        let query = query_scalar("select username from users order by username collate \"C\"");
        query.fetch_all(&mut self.sql().await).await.expect("names")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A test that fails has more to say than that something is left over.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What an import has said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Import {
    exit: Option<i32>,
    /// A line of the file, who is on it, and what is wrong with it.
    refused: Vec<(u64, String)>,
    names: Vec<String>,
    /// Who has no password, and on which line.
    without_password: Vec<(u64, String)>,
    summary: Vec<String>,
    complaint: String,
}

impl Import {
    fn of(output: &Output) -> Self {
        let said = text(&output.stdout);
        let complaint = text(&output.stderr);
        for secret in ["$2", "$argon2", "pbkdf2", "saltsalt", "jxspr8Ki0RYycV"] {
            assert!(!said.contains(secret) && !complaint.contains(secret), "a hash is in {said}{complaint}");
        }
        let mut import = Self { exit: output.status.code(), complaint, ..Self::default() };
        for line in said.lines() {
            match told(line) {
                Some((number, name, what))
                    if what.ends_with("imported without a password: none can match") =>
                {
                    import.without_password.push((number, name));
                }
                Some((number, name, why)) => {
                    import.refused.push((number, why));
                    import.names.push(name);
                }
                None => import.summary.push(line.to_owned()),
            }
        }
        import
    }

    /// The lines that were refused.
    fn lines(&self) -> Vec<u64> {
        self.refused.iter().map(|(line, _)| *line).collect()
    }

    #[track_caller]
    fn assert(&self, exit: i32, done: &str, imported: usize) {
        let mut summary = vec![format!("{done}: {imported}")];
        if !self.without_password.is_empty() {
            summary.push(format!("of them without a password: {}", self.without_password.len()));
        }
        summary.push(format!("refused: {}", self.refused.len()));
        assert_eq!((self.exit, &self.summary[..]), (Some(exit), &summary[..]), "{self:?}");
    }
}

/// The number of a line or user, its name, and what is said of it.
fn told(line: &str) -> Option<(u64, String, String)> {
    let place = line.strip_prefix("line ").or_else(|| line.strip_prefix("user "))?;
    let (place, what) = place.split_once(": ")?;
    let (number, name) = place.split_once(" (").unwrap_or((place, ")"));
    Some((number.parse().ok()?, name.strip_suffix(')')?.to_owned(), what.to_owned()))
}

/// A system, a password, and its hash there, as `tests/imports/make.py` makes them.
fn others() -> Vec<(String, String, String)> {
    serde_json::from_str(include_str!("../imports/hashes.json")).expect("triples")
}

/// How this system hashes everybody's password of the tests.
fn hash_of(begins: &str) -> String {
    let found =
        others().into_iter().find(|(_, password, hash)| password == PASSWORD && hash.starts_with(begins));
    found.expect(begins).2
}

fn csv(users: impl IntoIterator<Item = (impl std::fmt::Display, impl std::fmt::Display)>) -> String {
    let lines = users.into_iter().map(|(name, hash)| format!("{name},{name}@example.org,\"{hash}\"\n"));
    format!("username,email,password_hash\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn a_user_of_another_system_signs_in_in_every_way_and_gets_a_hash_of_today() {
    let stage = Stage::set().await;
    let users = HASHES.iter().enumerate().flat_map(|(kind, hash)| {
        Pair::ALL.into_iter().enumerate().map(move |(way, _)| (format!("user-{kind}-{way}"), *hash))
    });
    stage.import("users.csv", csv(users), &[]).await.assert(0, "imported", HASHES.len() * 4);

    let server = TestServer::on(stage.database.clone(), &TODAY).await;
    let mut sql = server.sql().await;
    for (kind, hash) in HASHES.into_iter().enumerate() {
        for (way, pair) in Pair::ALL.into_iter().enumerate() {
            let name = format!("user-{kind}-{way}");
            let mut stored = async || -> (String, i32) {
                let row = "select password_hash, password_version from users where username = $1";
                sqlx::query_as(row).bind(&name).fetch_one(&mut sql).await.expect("a user")
            };
            let wrong = with(pair.credentials(&name), "password", "another lantern, no weir");
            Client::new(&server, pair).login(&wrong).await.problem(401, "invalid_credentials");
            assert_eq!(stored().await, (hash.to_owned(), 0));

            let mut first = Client::new(&server, pair);
            let body = first.login(&pair.credentials(&format!("{name}@example.org"))).await.ok();
            assert_eq!(body["user"]["roles"], serde_json::json!(["user"]));

            let renewed = stored().await;
            assert_eq!((renewed.0.starts_with(BEGINS), renewed.1), (true, 0), "{hash}: {}", renewed.0);
            let second = Client::signed_in(&server, pair, &name).await;
            Client::new(&server, pair).login(&wrong).await.problem(401, "invalid_credentials");
            assert_eq!(stored().await, renewed);
            first.assert_goes_on().await;
            second.assert_goes_on().await;
        }
    }
}

#[tokio::test]
async fn whoever_signed_in_elsewhere_signs_in_here_with_the_same_password() {
    let stage = Stage::set().await;
    let users: Vec<_> = others()
        .into_iter()
        .filter(|(_, password, _)| !password.contains("weir ") && password.len() < 72)
        .collect();
    let name = |number: usize| format!("user-{number}");
    let file = csv(users.iter().enumerate().map(|(number, (.., hash))| (name(number), hash)));
    stage.import("users.csv", file, &[]).await.assert(0, "imported", users.len());

    let server = TestServer::on(stage.database.clone(), &TODAY).await;
    let mut sql = server.sql().await;
    for (number, (system, password, hash)) in users.iter().enumerate() {
        let pair = Pair::JWT_BEARER;
        let credentials = with(pair.credentials(&name(number)), "password", password.as_str());
        Client::new(&server, pair).login(&credentials).await.ok();
        let stored = query_scalar("select password_hash from users where username = $1").bind(name(number));
        let stored: String = stored.fetch_one(&mut sql).await.expect("a user");
        assert!(stored.starts_with(BEGINS), "{system}: {hash}");
    }
}

#[tokio::test]
async fn who_had_no_password_there_is_imported_and_no_password_fits() {
    let stage = Stage::set().await;
    let unusable = ["!NmQ5LHPW0wVpFi5Bz4D1Z8XlrMe0tZQa2zYzUCHM", "!", "*", "!$6$salt$digest"];
    let file = csv(unusable.iter().enumerate().map(|(number, hash)| (format!("user-{number}"), hash)));
    let expected: Vec<_> = (0..4).map(|number| (number + 2, format!("user-{number}"))).collect();
    for (option, done) in [(&["--dry-run"][..], "would be imported"), (&[], "imported")] {
        let import = stage.import("users.csv", &file, option).await;
        import.assert(0, done, 4);
        assert_eq!(import.without_password, expected);
    }
    let server = TestServer::on(stage.database.clone(), &TODAY).await;
    for (number, hash) in unusable.iter().enumerate() {
        for password in [PASSWORD, "!", *hash] {
            let credentials =
                with(Pair::JWT_BEARER.credentials(&format!("user-{number}")), "password", password);
            Client::new(&server, Pair::JWT_BEARER)
                .login(&credentials)
                .await
                .problem(401, "invalid_credentials");
        }
    }
    let mut sql = server.sql().await;
    // As the trail has it, they are what they were meant to be, and no hash is broken.
    eventually("the trail", async || {
        let failed = query_scalar("select detail->>'reason' from audit_events where event = 'login_failed'");
        let reasons: Vec<String> = failed.fetch_all(&mut sql).await.expect("reasons");
        assert!(reasons.iter().all(|reason| reason == "wrong_password"), "{reasons:?}");
        reasons.len() == 3 * unusable.len()
    })
    .await;
}

/// Imports it once to see and once for good, and signs in as whoever shall be able to.
async fn assert_all_sign_in(stage: &Stage, document: &str, options: &[&str], expected: &[&str]) -> Import {
    let dry = stage.import_input(document, &[options, &["--dry-run"]].concat()).await;
    let import = stage.import_input(document, options).await;
    assert_eq!(
        (&dry.refused, &dry.names, &dry.without_password),
        (&import.refused, &import.names, &import.without_password)
    );
    import.assert(
        i32::from(!import.refused.is_empty()),
        "imported",
        expected.len() + import.without_password.len(),
    );
    let server = TestServer::on(stage.database.clone(), &TODAY).await;
    for name in expected {
        Client::signed_in(&server, Pair::SESSION_BEARER, name).await;
    }
    import
}

#[tokio::test]
async fn a_realm_that_keycloak_exported_is_imported() {
    let credential = |secret: serde_json::Value, computation: serde_json::Value| {
        serde_json::json!([
            { "type": "otp", "secretData": "{\"value\":\"x\"}", "credentialData": "{}" },
            { "type": "password", "userLabel": "My password", "createdDate": 1_740_654_903_754_u64,
              "secretData": secret.to_string(), "credentialData": computation.to_string() },
        ])
    };
    let pbkdf2 = |begins: &str, algorithm: &str| {
        let hash = hash_of(begins);
        let [salt, value] = [3, 4].map(|at| hash.split('$').nth(at).expect("a part"));
        let secret = serde_json::json!({ "value": format!("{value}=="), "salt": format!("{salt}=="), "additionalParameters": {} });
        credential(
            secret,
            serde_json::json!({ "hashIterations": 1000, "algorithm": algorithm, "additionalParameters": {} }),
        )
    };
    let [salt, value] = [4, 5].map(|at| ARGON2ID.split('$').nth(at).expect("a part"));
    let argon2 = credential(
        serde_json::json!({ "value": format!("{value}="), "salt": format!("{salt}==") }),
        serde_json::json!({ "hashIterations": 2, "algorithm": "argon2", "additionalParameters":
            { "hashLength": ["32"], "memory": ["64"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"] } }),
    );
    let stage = Stage::set().await;
    let user = |name: &str, enabled: bool, credentials: serde_json::Value| {
        serde_json::json!({ "id": "x", "username": name, "email": format!("{name}@example.org"), "enabled": enabled,
            "emailVerified": true, "credentials": credentials, "realmRoles": ["default-roles-main"] })
    };
    let unknown = credential(
        serde_json::json!({ "value": "x", "salt": "x" }),
        serde_json::json!({ "hashIterations": 1, "algorithm": "rot13" }),
    );
    let realm = serde_json::json!({
        "realm": "main", "accessTokenLifespan": 300,
        "users": [
            user("ada", true, pbkdf2("$pbkdf2-sha256$i=1000,l=64$", "pbkdf2-sha256")),
            user("grace", true, pbkdf2("$pbkdf2-sha512$i=1000,l=64$", "pbkdf2-sha512")),
            user("hedy", true, pbkdf2("$pbkdf2-sha1$i=1000,l=20$", "pbkdf2")),
            user("radia", true, argon2),
            user("mary", false, pbkdf2("$pbkdf2-sha1$i=1000,l=20$", "pbkdf2")),
            user("joan", true, serde_json::json!([])),
            user("barbara", true, unknown),
            user("frances", true, serde_json::json!([{ "type": "password", "value": "in the clear" }])),
            { "username": "service-account-x", "enabled": true, "serviceAccountClientId": "x" },
            17,
        ],
    });
    let document = serde_json::to_string_pretty(&realm).expect("JSON");
    let import = assert_all_sign_in(&stage, &document, &[], &["ada", "grace", "hedy", "radia"]).await;
    assert_eq!(import.without_password, [(6, "joan".to_owned())]);
    assert_eq!(import.lines(), [5, 7, 8, 9, 10]);
    assert_eq!(import.names, ["mary", "barbara", "frances", "service-account-x", ""]);
    assert!(import.refused[0].1.contains("disabled"), "{import:?}");
}

#[tokio::test]
async fn what_firebase_exported_is_imported_with_the_projects_parameters() {
    let stage = Stage::set().await;
    let hash = hash_of("$fbscrypt$");
    let [salt, digest] = [3, 4].map(|at| hash.split('$').nth(at).expect("a part"));
    let url_safe = digest.replace('+', "-").replace('/', "_");
    let user = |name: &str, digest: &str| {
        serde_json::json!({ "localId": name, "email": format!("{name}@example.org"), "emailVerified": true,
            "passwordHash": digest, "salt": salt, "createdAt": "1508893925000", "providerUserInfo": [] })
    };
    let export = serde_json::json!({ "users": [
        user("ada", digest),
        user("grace", &url_safe),
        { "localId": "3", "email": "hedy@example.org", "providerUserInfo": [{ "providerId": "google.com" }] },
        { "localId": "4", "phoneNumber": "+12025550142" },
        with(user("mary", digest), "disabled", true),
    ] });
    let parameters = "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: \
        jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,\n  \
        base64_salt_separator: Bw==,\n  rounds: 8,\n  mem_cost: 14,\n}\n";
    std::fs::write(stage.folder.join("firebase.txt"), parameters).expect("a file");
    let document = export.to_string();

    let without = stage.import_input(&document, &[]).await;
    assert_eq!(
        (without.exit, without.complaint.contains("--firebase-hash-config")),
        (Some(1), true),
        "{without:?}"
    );
    let options = ["--firebase-hash-config", "firebase.txt"];
    let import = assert_all_sign_in(&stage, &document, &options, &["ada", "grace"]).await;
    assert_eq!(import.without_password, [(3, "hedy@example.org".to_owned())]);
    assert_eq!((import.lines(), &import.names[1]), (vec![4, 5], &"mary@example.org".to_owned()));
    assert_eq!(stage.users().await, ["ada", "grace", "hedy"]);

    let other = stage.import("users.csv", csv([("joan", HASHES[0])]), &options).await;
    assert_eq!(
        (other.exit, other.complaint.contains("--firebase-hash-config")),
        (Some(1), true),
        "{other:?}"
    );
}

#[tokio::test]
async fn what_auth0_exports_and_what_it_imports_is_imported() {
    let stage = Stage::set().await;
    let exported = |name: &str| {
        serde_json::json!({ "_id": { "$oid": "60425dc43519d90068f82973" }, "email": format!("{name}@example.org"),
            "email_verified": false, "passwordHash": HASHES[7], "tenant": "main", "connection": "Users" })
    };
    let lines = [
        exported("ada").to_string(),
        r#"{"_id": {}, "email": "hedy@example.org", "connection": "google-oauth2"}"#.to_owned(),
        with(exported("mary"), "blocked", true).to_string(),
    ];
    let import = assert_all_sign_in(&stage, &lines.join("\n"), &[], &["ada"]).await;
    assert_eq!(import.without_password, [(2, "hedy@example.org".to_owned())]);
    assert_eq!((import.lines(), &import.names[..]), (vec![3], &["mary@example.org".to_owned()][..]));

    let custom = |name: &str, algorithm: &str, value: &str| {
        serde_json::json!({ "email": format!("{name}@example.org"), "username": name,
            "custom_password_hash": { "algorithm": algorithm, "hash": { "value": value, "encoding": "utf8" } } })
    };
    let [salt, digest] = [3, 4].map(|at| HASHES[13].split('$').nth(at).expect("a part"));
    let scrypt = serde_json::json!({ "algorithm": "scrypt", "keylen": 32, "cost": 16, "blockSize": 8, "parallelization": 1,
        "hash": { "value": format!("{digest}="), "encoding": "base64" },
        "salt": { "value": format!("{salt}=="), "encoding": "base64" } });
    let users = serde_json::json!([
        custom("grace", "bcrypt", HASHES[6]),
        custom("radia", "argon2", HASHES[12]),
        custom("joan", "pbkdf2", &hash_of("$pbkdf2-sha256$i=1000,l=32$")),
        with(custom("barbara", "scrypt", ""), "custom_password_hash", scrypt),
        custom("frances", "md5", "5f4dcc3b5aa765d61d8327deb882cf99"),
        { "email": "katherine@example.org", "password_hash": HASHES[7], "app_metadata": {} },
    ]);
    let expected = ["grace", "radia", "joan", "barbara", "katherine"];
    let import = assert_all_sign_in(&stage, &users.to_string(), &[], &expected).await;
    assert_eq!((import.lines(), &import.names[..]), (vec![5], &["frances".to_owned()][..]));
}

#[tokio::test]
async fn who_has_no_username_gets_one_from_the_address() {
    let stage = Stage::set().await;
    let server = TestServer::on(stage.database.clone(), &[]).await;
    server.user("ada").await;
    let hash = HASHES[7];
    let file = format!(
        "email,username,password_hash\nada@example.com,,{hash}\nAda@example.net,ada@EXAMPLE.net,{hash}\n\
         grace+news@example.com,,{hash}\nhedy@example.com,,{hash}\nx@example.com,hedy,{hash}\nme@example.com,,{hash}\n"
    );
    for (option, done) in [(&["--dry-run"][..], "would be imported"), (&[], "imported")] {
        stage.import("users.csv", &file, option).await.assert(0, done, 6);
    }
    assert_eq!(stage.users().await, ["Ada-3", "ada", "ada-2", "grace+news", "hedy", "hedy-2", "user-me"]);
    let lines = format!("email,password_hash\nada@example.edu,{hash}\nada@example.com,{hash}\n");
    let import = stage.import_input(&lines, &[]).await;
    import.assert(1, "imported", 1);
    assert_eq!((import.lines(), &import.names[..]), (vec![3], &["ada@example.com".to_owned()][..]));
    Client::signed_in(&server, Pair::JWT_COOKIE, "ada-4").await;
}

#[tokio::test]
async fn a_file_without_anybody_is_an_error_and_marks_at_its_beginning_are_none() {
    let stage = Stage::set().await;
    for nobody in
        ["", "\n \r\n", "\u{feff}", "username,email,password_hash\n", "[]", "{\"users\": []}", "{\n"]
    {
        for import in
            [stage.import("users", nobody, &[]).await, stage.import_input(nobody, &["--dry-run"]).await]
        {
            assert_eq!((import.exit, import.summary.len()), (Some(1), 0), "{nobody:?}: {import:?}");
            assert!(
                import.complaint.contains("users: ") || import.complaint.contains("standard input: "),
                "{import:?}"
            );
        }
    }
    let file = csv([("ada", HASHES[7])]).replace('\n', "\r\n");
    stage.import_input(&format!("\u{feff}{file}"), &[]).await.assert(0, "imported", 1);
    let user = serde_json::json!({ "email": "grace@example.org", "password_hash": HASHES[7] });
    stage.import("users", format!("\u{feff}{user}\r\n"), &[]).await.assert(0, "imported", 1);
    let list = serde_json::json!([with(user, "email", "hedy@example.org")]);
    stage.import("users.json", format!("\u{feff}\r\n{list:#}"), &[]).await.assert(0, "imported", 1);
    assert_eq!(stage.users().await, ["ada", "grace", "hedy"]);
}

#[tokio::test]
async fn a_refusal_names_who_it_is_but_never_what_may_be_a_hash() {
    let stage = Stage::set().await;
    let hash = HASHES[7];
    let file = format!(
        "username,email,password_hash\nada,ada@example.org,hunter2\n\"J. Doe\",doe@example.org,{hash}\n\
         {hash},hedy@example.org,hedy\n{hash},{hash},{hash}\nx\u{1b}[31m,radia@example.org,{hash}\n"
    );
    let import = stage.import("users.csv", file, &[]).await;
    import.assert(1, "imported", 0);
    assert_eq!(import.names, ["ada", "J. Doe", "hedy@example.org", "", "radia@example.org"]);
}

#[tokio::test]
async fn what_is_refused_is_said_line_by_line_and_the_rest_is_imported() {
    let stage = Stage::set().await;
    let hash = HASHES[7];
    let mut file = csv([("grace", hash), ("a b", hash), ("ada", hash)]).into_bytes();
    file.extend(format!("hedy,nobody,{hash}\n\nADA,ada2@example.org,{hash}\n").bytes());
    file.extend(format!("hedy,Grace@Example.org,{hash}\nhedy,hedy@example.org\n").bytes());
    file.extend(b"hedy,hedy@example.org,$1$salt$qJH7.N4xYta3aEG/dfqo/0\nhedy,hedy@example.org,hunter2\n");
    file.extend(b"hed\xff,hedy@example.org,x\nx,y,z\n");
    file.extend(format!("hedy,hedy@example.org,{}\n", "x".repeat(20_000)).bytes());
    file.extend(
        format!("\"radia,radia@example.org,{hash}\n\"radia\",\"radia@example.org\",\"{hash}\"").bytes(),
    );
    let expected = [
        (3, "username may"),
        (5, "email must"),
        (7, "username is that of line 4"),
        (8, "email is that of line 2"),
        (9, "it has 2 fields"),
        (10, "password_hash is md5-crypt, which is not accepted"),
        (11, "password_hash has an unknown format"),
        (12, "it is not UTF-8"),
        (13, "username must have 3 to 64 characters; email must"),
        (14, "it is longer"),
        (15, "it has 1 fields"),
    ];

    let dry = stage.import("users.csv", &file, &["--dry-run"]).await;

    dry.assert(1, "would be imported", 3);
    assert_eq!(dry.lines(), expected.map(|(line, _)| line));
    for ((_, why), (line, begins)) in dry.refused.iter().zip(expected) {
        assert!(why.starts_with(begins), "line {line}: {why}");
    }
    assert_eq!(stage.users().await, [""; 0]);

    let imported = stage.import("users.csv", &file, &[]).await;
    imported.assert(1, "imported", 3);
    assert_eq!(imported.refused, dry.refused);
    assert_eq!(stage.users().await, ["ada", "grace", "radia"]);
}

#[tokio::test]
async fn who_is_there_already_is_refused_and_left_alone() {
    let stage = Stage::set().await;
    let server = TestServer::on(stage.database.clone(), &[]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    server.user("radia").await;
    let file = format!(
        "email,username,password_hash\nADA@example.org,Ada,{hash}\nradia@example.org,grace,{hash}\n\
         grace@example.org,Radia,{hash}\nhedy@example.org,hedy,{hash}\n",
        hash = HASHES[7]
    );
    let taken = [
        (2, "username is taken; email is taken".to_owned()),
        (3, "email is taken".to_owned()),
        (4, "username is taken".to_owned()),
    ];
    for (option, done) in [(&["--dry-run"][..], "would be imported"), (&[], "imported")] {
        let import = stage.import("users.csv", &file, option).await;
        import.assert(1, done, 1);
        assert_eq!(import.refused, taken);
    }
    assert_eq!(stage.users().await, ["ada", "hedy", "radia"]);
    client.assert_goes_on().await;
    Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;

    let again = stage.import("users.csv", &file, &[]).await;
    again.assert(1, "imported", 0);
    assert_eq!(again.lines(), [2, 3, 4, 5]);
}

#[tokio::test]
async fn json_lines_say_the_same() {
    let stage = Stage::set().await;
    let user = |name: &str| {
        serde_json::json!({ "username": name, "email": format!("{name}@example.org"), "password_hash": HASHES[0] })
            .to_string()
    };
    let lines = [user("ada"), "[]".to_owned(), user("grace").replace("email", "mail"), user("hedy")];
    for name in ["users.jsonl", "users"] {
        let import = stage.import(name, lines.join("\n"), &["--dry-run"]).await;
        import.assert(1, "would be imported", 2);
        assert_eq!(import.lines(), [2, 3]);
    }
    stage.import("users", [&lines[0], "", &lines[3], ""].join("\r\n"), &[]).await.assert(0, "imported", 2);
    assert_eq!(stage.users().await, ["ada", "hedy"]);
}

#[tokio::test]
async fn many_users_are_imported_in_batches() {
    let stage = Stage::set().await;
    let everybody =
        csv((0..2_500).map(|number| (format!("user-{number:04}"), HASHES[number % HASHES.len()])));
    let some = csv((0..2_500).step_by(5).map(|number| (format!("user-{number:04}"), HASHES[0])));
    stage.import("some.csv", some, &[]).await.assert(0, "imported", 500);

    for (option, done) in [(&["--dry-run"][..], "would be imported"), (&[], "imported")] {
        let import = stage.import("everybody.csv", &everybody, option).await;
        import.assert(1, done, 2_000);
        assert!(import.lines().into_iter().eq((2..=2_501).step_by(5)), "{:?}", import.refused);
    }
    assert_eq!(stage.users().await.len(), 2_500);
}

#[tokio::test]
async fn a_hash_of_hostile_cost_is_refused() {
    let stage = Stage::set().await;
    let hostile = [
        "$argon2id$v=19$m=262145,t=1,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
        "argon2$argon2id$v=19$m=64,t=4294967295,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
        "$2b$16$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q",
        "bcrypt_sha256$$2b$31$YGVsp9ISsd.eMqNewYv99.FC8DPR6OzokfnnNsQa4VhSJlaoZCel.",
        "pbkdf2_sha256$12000001$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=",
        "$scrypt$ln=18,r=8,p=1$2Pu/V6q1NkZIaU0pRWhNaQ$uNJ45psWHdF2iKI5lemeLkjY9YI+xE/s59Icxg4tttw",
        "pbkdf2:sha256:12000001$salt$5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b5aa765d61d8327deb882cf99",
        "$6$rounds=1000001$saltstring$ekkEFWvXfra0acJF5kSGl63VZgr/s9tGR82pRHEekH1.GcdFkv0SbgK5GRy2wDELPxP04jIekkEFWvXfra0acJF5kSGl63VZgr",
        "$P$JfxBLuNrN1VNrY7GA2CSs6dlGjAC6s0",
    ];
    let file = csv(hostile.iter().enumerate().map(|(number, hash)| (format!("user-{number}"), hash)));
    let import = stage.import("users.csv", file, &[]).await;
    import.assert(1, "imported", 0);
    for (_, why) in &import.refused {
        assert!(why.starts_with("password_hash costs too much to verify: "), "{why}");
    }
}

#[tokio::test]
async fn a_file_that_can_not_be_read_is_named() {
    let stage = Stage::set().await;
    let missing = stage.import("there.csv", "username,email\nada,ada@example.org\n", &[]).await;
    assert_eq!((missing.exit, missing.complaint.contains("password_hash")), (Some(1), true), "{missing:?}");
    let mut command = program(&stage.folder, &[("DATABASE_URL", stage.database.url().as_str())]);
    command.args(["user", "import", "not-there.csv"]);
    let import = Import::of(&run(command, "").await);
    assert_eq!((import.exit, import.complaint.contains("not-there.csv")), (Some(1), true), "{import:?}");
    assert_eq!(stage.users().await, [""; 0]);
}
