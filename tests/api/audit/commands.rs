//! What operators do is in the trail as well.

use serde_json::{Value, json};

use super::trail_of;
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

#[tokio::test]
async fn each_command_is_told() {
    let server = TestServer::start().await;
    let create = ["user", "create", "--username", "ada", "--email", "ada@example.org", "--admin"];
    does(&server, &create, PASSWORD).await;
    for words in [
        &["user", "disable", "ADA@example.org"][..],
        &["user", "enable", "ada"],
        &["user", "logout", "ada"],
        &["user", "role", "add", "ada", "editor"],
        &["user", "role", "remove", "ada", "editor"],
        &["user", "role", "add", "nobody", "editor"],
    ] {
        if words.contains(&"nobody") {
            let settings = [("DATABASE_URL", server.database_url().as_str())];
            let mut command = program(&folder(), &settings);
            command.args(words);
            assert!(!run(command, "").await.status.success());
        } else {
            does(&server, words, "").await;
        }
    }
    let created = does(&server, &["client", "create", "gateway"], "").await;
    let client =
        created.lines().next().and_then(|line| line.strip_prefix("client_id: ")).expect("an id").to_owned();
    let secret =
        created.lines().nth(1).and_then(|line| line.strip_prefix("client_secret: ")).expect("a secret");
    does(&server, &["client", "delete", &client], "").await;
    let rotated = does(&server, &["keys", "rotate"], "").await;
    let superseded = rotated.lines().find_map(|line| line.strip_prefix("verifying: ")).expect("a key");
    does(&server, &["keys", "retire", superseded], "").await;
    does(&server, &["keys", "reset"], "").await;
    does(&server, &["keys", "list"], "").await;

    let events = trail_of(&server, 11).await;
    let expected = [
        ("user_created", json!({ "roles": "admin, user" })),
        ("user_disabled", Value::Null),
        ("user_enabled", Value::Null),
        ("user_logged_out", json!({ "logins": 0 })),
        ("role_added", json!({ "role": "editor" })),
        ("role_removed", json!({ "role": "editor" })),
        ("client_created", json!({ "name": "gateway" })),
        ("client_deleted", Value::Null),
        ("key_rotated", events[8]["detail"].clone()),
        ("key_retired", json!({ "kid": superseded })),
        ("keys_reset", Value::Null),
    ];
    for (event, (name, detail)) in events.iter().zip(&expected) {
        assert_eq!((event["event"].as_str(), &event["detail"]), (Some(*name), detail));
        assert_eq!((&event["source"], &event["address"]), (&json!("command"), &Value::Null));
        let is_of_user = ["user", "role"].iter().any(|kind| name.starts_with(kind));
        assert_eq!(event["username"], if is_of_user { json!("ada") } else { Value::Null });
        assert_eq!(event["user_id"].is_string(), is_of_user);
    }
    assert_eq!((&events[6]["client_id"], &events[7]["client_id"]), (&json!(client), &json!(client)));
    assert_eq!(events[8]["detail"]["superseded"], superseded);
    assert!(!json!(events).to_string().contains(secret));
}
