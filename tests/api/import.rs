//! Taking users over from another system, with the hashes of their passwords.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use sqlx::{PgConnection, query_scalar};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
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
#[derive(Debug, PartialEq, Eq)]
struct Import {
    exit: Option<i32>,
    /// A line of the file, and what is wrong with it.
    refused: Vec<(u64, String)>,
    summary: Vec<String>,
    complaint: String,
}

impl Import {
    fn of(output: &Output) -> Self {
        let said = text(&output.stdout);
        let complaint = text(&output.stderr);
        for secret in ["$2", "$argon2", "pbkdf2", "saltsalt"] {
            assert!(!said.contains(secret) && !complaint.contains(secret), "a hash is in {said}{complaint}");
        }
        let refusal = |line: &str| {
            let (number, why) = line.strip_prefix("line ")?.split_once(": ")?;
            Some((number.parse().ok()?, why.to_owned()))
        };
        let (refused, summary): (Vec<_>, Vec<_>) = said.lines().partition(|line| refusal(line).is_some());
        Self {
            exit: output.status.code(),
            refused: refused.into_iter().filter_map(refusal).collect(),
            summary: summary.into_iter().map(str::to_owned).collect(),
            complaint,
        }
    }

    /// The lines that were refused.
    fn lines(&self) -> Vec<u64> {
        self.refused.iter().map(|(line, _)| *line).collect()
    }

    #[track_caller]
    fn assert(&self, exit: i32, done: &str, imported: usize) {
        let summary = [format!("{done}: {imported}"), format!("refused: {}", self.refused.len())];
        assert_eq!((self.exit, &self.summary[..]), (Some(exit), &summary[..]), "{self:?}");
    }
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
        (10, "password_hash is of no kind"),
        (11, "password_hash is of no kind"),
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
