//! What operators do is in the trail as well.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::changes::COMMANDS;
use super::{OTHER_PASSWORD, names, trail_of};
use crate::support::{
    PASSWORD,
    program::{folder, program, run, text},
    server::{APP_SECRET, TestServer},
};

async fn does(server: &TestServer, words: &[&str], input: &str) -> String {
    let settings = [("DATABASE_URL", server.database_url().as_str()), ("APP_SECRET", APP_SECRET)];
    let mut command = program(&folder(), &settings);
    command.args(words);
    let output = run(command, input).await;
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// One user, whose password is of another system.
const IMPORTED: &str = "username,email,password_hash
grace,grace@example.org,$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q
";

async fn is_refused(server: &TestServer, words: &[&str], input: &str) {
    let mut command = program(&folder(), &[("DATABASE_URL", server.database_url().as_str())]);
    command.args(words);
    assert!(!run(command, input).await.status.success(), "{words:?}");
}

/// The first word that a command says after this.
fn word_after<'a>(output: &'a str, label: &str) -> &'a str {
    output.lines().find_map(|line| line.strip_prefix(label)).expect("what it says")
}

#[tokio::test]
async fn each_command_is_told() {
    let server = TestServer::start().await;
    let create = ["user", "create", "--username", "ada", "--email", "ada@example.org", "--admin"];
    does(&server, &create, PASSWORD).await;
    crate::nodes::sql(&server, "update users set two_step = true").await;
    for (words, input) in [
        (&["user", "disable", "ADA@example.org"][..], ""),
        (&["user", "enable", "ada"], ""),
        (&["user", "logout", "ada"], ""),
        (&["user", "unlock", "ada"], ""),
        (&["user", "verify-email", "ada"], ""),
        (&["user", "role", "add", "ada", "editor"], ""),
        (&["user", "role", "remove", "ada", "editor"], ""),
        (&["user", "set-password", "ada"], OTHER_PASSWORD),
        (&["user", "factors", "reset", "ada"], ""),
        (&["user", "delete", "ada"], ""),
        (&["user", "import", "--dry-run", "-"], IMPORTED),
        (&["user", "import", "-"], IMPORTED),
    ] {
        does(&server, words, input).await;
    }
    let created = does(&server, &["client", "create", "gateway"], "").await;
    let (client, secret) = (word_after(&created, "client_id: "), word_after(&created, "client_secret: "));
    does(&server, &["client", "delete", client], "").await;
    let rotated = does(&server, &["keys", "rotate"], "").await;
    let superseded = word_after(&rotated, "verifying: ");
    does(&server, &["keys", "retire", superseded], "").await;
    does(&server, &["keys", "reset"], "").await;
    does(&server, &["keys", "list"], "").await;

    let events = trail_of(&server, 17).await;
    let expected = [
        ("user_created", json!({ "roles": "admin, user" })),
        ("user_disabled", Value::Null),
        ("user_enabled", Value::Null),
        ("user_logged_out", json!({ "logins": 0 })),
        ("user_unlocked", Value::Null),
        ("user_email_verified", Value::Null),
        ("role_added", json!({ "role": "editor" })),
        ("role_removed", json!({ "role": "editor" })),
        ("user_password_set", json!({ "logins": 0 })),
        ("user_factors_reset", json!({ "logins": 0 })),
        ("user_deleted", json!({ "logins": 0 })),
        ("users_imported", json!({ "users": 1 })),
        ("client_created", json!({ "name": "gateway" })),
        ("client_deleted", Value::Null),
        ("key_rotated", events[14]["detail"].clone()),
        ("key_retired", json!({ "kid": superseded })),
        ("keys_reset", Value::Null),
    ];
    for (event, (name, detail)) in events.iter().zip(&expected) {
        assert_eq!((event["event"].as_str(), &event["detail"]), (Some(*name), detail));
        assert_eq!((&event["source"], &event["address"]), (&json!("command"), &Value::Null));
        let is_of_user = ["user_", "role_"].iter().any(|kind| name.starts_with(kind));
        assert_eq!(event["username"], if is_of_user { json!("ada") } else { Value::Null });
        assert_eq!(event["user_id"].is_string(), is_of_user);
    }
    assert_eq!((&events[12]["client_id"], &events[13]["client_id"]), (&json!(client), &json!(client)));
    assert_eq!(events[14]["detail"]["superseded"], superseded);
    assert!(!json!(events).to_string().contains(secret));

    let told: BTreeSet<_> = expected.iter().map(|(name, _)| *name).collect();
    let all = COMMANDS.iter().filter_map(|(_, event)| *event).collect();
    assert_eq!(told, all, "each command that is told was tried");
}

#[tokio::test]
async fn a_command_that_changes_nothing_is_not_told() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (words, input) in [
        (&["user", "role", "add", "nobody", "editor"][..], ""),
        (&["user", "role", "add", "ada", "a role"], ""),
        (&["user", "disable", "nobody"], ""),
        (&["user", "logout", "nobody"], ""),
        (&["user", "unlock", "nobody"], ""),
        (&["user", "verify-email", "nobody"], ""),
        (&["user", "delete", "nobody"], ""),
        (&["user", "factors", "reset", "nobody"], ""),
        (&["user", "factors", "reset", "ada"], ""),
        (&["user", "factors", "nobody"], ""),
        (&["user", "set-password", "ada"], "short"),
        (&["user", "create", "--username", "ada", "--email", "other@example.org"], PASSWORD),
        (&["user", "import", "-"], "username,email,password_hash\nada,grace@example.org,-\n"),
        (&["client", "create", " "], ""),
        (&["client", "delete", nobody], ""),
        (&["keys", "retire", "nothing"], ""),
    ] {
        is_refused(&server, words, input).await;
    }
    assert_eq!(names(&trail_of(&server, 1).await), ["registered"]);
}
