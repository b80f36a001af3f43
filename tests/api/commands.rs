//! Looking after users on the command line, while nodes serve them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{
    PASSWORD,
    client::{Client, Mode, Pair},
    cluster::Database,
    eventually,
    program::{CommandLine, text},
    server::{ONE_NAME, TestServer},
    with,
};

/// Two nodes and the program on one database.
struct Stage {
    database: Arc<Database>,
    server: TestServer,
    node: TestServer,
    commands: CommandLine,
}

impl Stage {
    /// With a user called ada.
    async fn set() -> Self {
        let database = Arc::new(Database::migrated().await);
        let server = TestServer::on(database.clone(), &[ONE_NAME]).await;
        let node = server.another_node().await;
        server.user("ada").await;
        let commands = CommandLine::on(&database);
        Self { database, server, node, commands }
    }

    fn nodes(&self) -> [&TestServer; 2] {
        [&self.server, &self.node]
    }

    /// Asserts that a client comes to be refused on both nodes, for good.
    async fn assert_dies(&self, client: &Client) {
        for node in self.nodes() {
            let client = client.at(node);
            eventually("a refusal", async || client.profile().await.status == 401).await;
        }
        for node in self.nodes() {
            client.at(node).assert_refused(client.pair.mode.ended()).await;
        }
    }
}

async fn roles(client: &Client) -> Value {
    client.profile().await.ok()["roles"].clone()
}

#[tokio::test]
async fn sessions_show_a_role_as_soon_as_it_was_given_or_taken() {
    let stage = Stage::set().await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let mut client = Client::signed_in(&stage.server, pair, "ada").await;
        for node in stage.nodes() {
            assert_eq!(roles(&client.at(node)).await, json!(["user"]));
        }
        for (word, expected) in [("add", json!(["user", "editor"])), ("remove", json!(["user"]))] {
            let told = stage.commands.does(&["user", "role", word, "ada", "editor"]).await;
            assert_eq!(told.contains("editor"), word == "add", "{told}");

            for node in stage.nodes() {
                let client = client.at(node);
                eventually("the new roles", async || roles(&client).await == expected).await;
                for _ in 0..5 {
                    assert_eq!(roles(&client).await, expected);
                    assert_eq!(client.get("/profile").await.ok()["roles"], expected);
                }
            }
            assert_eq!(client.refresh().await.ok()["user"]["roles"], expected);
        }
    }
}

#[tokio::test]
async fn access_tokens_with_other_roles_are_refused_and_a_refresh_brings_the_new_ones() {
    let stage = Stage::set().await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::signed_in(&stage.server, pair, "ada").await;
        let before = client.clone();
        for (word, expected) in [("add", json!(["user", "editor"])), ("remove", json!(["user"]))] {
            let old = client.clone();
            stage.commands.does(&["user", "role", word, "ada", "editor"]).await;

            for node in stage.nodes() {
                let old = old.at(node);
                eventually("a refusal", async || old.profile().await.status == 401).await;
                for path in ["/jwt/profile", "/profile", "/verify", "/account/logins", "/jwt/profile"] {
                    let refused = old.get(path).await.problem(401, "token_revoked");
                    assert_eq!(refused.header("x-auth-roles"), None);
                }
            }
            // The login goes on, by its refresh token.
            assert_eq!(client.refresh().await.ok()["user"]["roles"], expected);
            for node in stage.nodes() {
                assert_eq!(roles(&client.at(node)).await, expected);
                assert_eq!(client.at(node).get("/profile").await.ok()["roles"], expected);
            }
        }
        // Its roles are the user's again, and its login never ended.
        for node in stage.nodes() {
            assert_eq!(roles(&before.at(node)).await, json!(["user"]));
        }
    }
}

#[tokio::test]
async fn a_token_with_new_roles_is_good_on_every_node_at_once() {
    let stage = Stage::set().await;
    let mut clients = Client::in_every_way(&stage.server, "ada").await;
    clients.retain(|client| client.pair.mode == Mode::Jwt);
    let mut expected = vec!["user".to_owned()];
    for number in 0..4 {
        let role = format!("role-{number}");
        stage.commands.does(&["user", "role", "add", "ada", &role]).await;
        expected.push(role);

        // Nobody waits until the nodes know of it.
        for client in &mut clients {
            *client = client.at(stage.nodes()[number % 2]);
            assert_eq!(client.refresh().await.ok()["user"]["roles"], json!(expected));
            for node in stage.nodes() {
                assert_eq!(roles(&client.at(node)).await, json!(expected));
            }
        }
    }
    for node in stage.nodes() {
        let mut late = Client::new(node, Pair::JWT_BEARER);
        assert_eq!(late.login(&late.pair.credentials("ada")).await.ok()["user"]["roles"], json!(expected));
        for node in stage.nodes() {
            assert_eq!(roles(&late.at(node)).await, json!(expected));
        }
    }
}

#[tokio::test]
async fn a_role_that_changes_nothing_and_anothers_roles_leave_tokens_alone() {
    let stage = Stage::set().await;
    let client = Client::signed_in(&stage.server, Pair::JWT_BEARER, "ada").await;
    let neighbour = Client::of_new_user(&stage.server, Pair::JWT_BEARER, "grace").await;

    let told = stage.commands.does(&["user", "role", "add", "ada", "user"]).await;
    assert!(told.contains("roles: user\n"), "{told}");
    stage.commands.does(&["user", "role", "remove", "ada", "editor"]).await;
    stage.commands.does(&["user", "role", "add", "grace", "editor"]).await;

    for node in stage.nodes() {
        let neighbour = neighbour.at(node);
        eventually("the neighbour's refusal", async || neighbour.profile().await.status == 401).await;
        assert_eq!(roles(&client.at(node)).await, json!(["user"]));
    }
}

#[tokio::test]
async fn a_user_is_called_by_name_or_email_in_any_letter_case() {
    let stage = Stage::set().await;
    let mut client = Client::signed_in(&stage.server, Pair::SESSION_BEARER, "ada").await;
    let mut expected = vec!["user".to_owned()];
    for (number, name) in ["ada", "ADA", "ada@example.org", "Ada@Example.ORG"].into_iter().enumerate() {
        let role = format!("role-{number}");
        stage.commands.does(&["user", "role", "add", name, &role]).await;
        expected.push(role);
        eventually("the role", async || roles(&client).await == json!(expected)).await;

        for command in ["logout", "disable"] {
            let device = Client::signed_in(&stage.server, Pair::ALL[number], "ada").await;
            stage.commands.does(&["user", command, name]).await;
            stage.assert_dies(&device).await;
        }
        stage.commands.does(&["user", "enable", name]).await;
        client = Client::signed_in(&stage.server, client.pair, "ada").await;
    }
}

/// Usernames, addresses, roles and key ids may begin with a hyphen, one key id in 64 does.
#[tokio::test]
async fn a_name_that_begins_with_a_hyphen_is_no_option() {
    let stage = Stage::set().await;
    stage.server.user("-ada").await;
    for words in [
        &["user", "show", "-ada"][..],
        &["user", "role", "add", "-ada", "-editor"],
        &["user", "role", "remove", "-ada", "-editor"],
        &["user", "logout", "--", "-ada"],
        &["user", "delete", "-ada"],
    ] {
        stage.commands.does(words).await;
    }
    // Refused, but not by the parser.
    for words in [
        &["keys", "retire", "-XiLYZbVdTewdK2PPMFBIJKxQ_ugMiqFNNUEQ_BVIXA"][..],
        &["keys", "retire", "--x"],
        &["user", "disable", "-nobody"],
    ] {
        let refusal = stage.commands.refuses(words).await;
        assert!(!refusal.contains("unexpected argument"), "{refusal}");
    }
}

#[tokio::test]
async fn what_is_no_role_or_no_user_is_said() {
    let stage = Stage::set().await;
    let too_long = "x".repeat(65);
    for role in ["", " ", "a b", "a,b", "user,admin", "rôle", "a\nb", &too_long] {
        let told = stage.commands.refuses(&["user", "role", "add", "ada", role]).await;
        assert!(told.contains("role"), "{told}");
    }
    for words in [
        &["user", "role", "add", "nobody", "editor"][..],
        &["user", "role", "remove", "nobody", "editor"],
        &["user", "disable", "nobody"],
        &["user", "enable", "nobody@example.org"],
        &["user", "logout", "ad"],
        &["user", "logout", ""],
    ] {
        let told = stage.commands.refuses(words).await;
        let called = if words[1] == "role" { words[3] } else { words[2] };
        assert!(told.contains(called) && told.contains("user"), "{told}");
    }

    let longest = "x".repeat(64);
    for role in [&longest, "a:b", "A_b.c-1"] {
        stage.commands.does(&["user", "role", "add", "ada", role]).await;
    }
    let client = Client::signed_in(&stage.server, Pair::SESSION_BEARER, "ada").await;
    assert_eq!(roles(&client).await, json!(["user", longest, "a:b", "A_b.c-1"]));
}

#[tokio::test]
async fn no_user_has_more_roles_than_a_cookie_can_carry() {
    let stage = Stage::set().await;
    let mut expected = vec!["user".to_owned()];
    for number in 1..16 {
        let role = format!("{number:x<64}");
        stage.commands.does(&["user", "role", "add", "ada", &role]).await;
        expected.push(role);
    }
    let told = stage.commands.refuses(&["user", "role", "add", "ada", "one-more"]).await;
    assert!(told.contains("roles"), "{told}");
    stage.commands.does(&["user", "role", "add", "ada", &expected[15]]).await;

    let mut client = Client::signed_in(&stage.server, Pair::JWT_COOKIE, "ada").await;
    assert_eq!(roles(&client).await, json!(expected));
    // What a browser keeps of one cookie, its name and attributes included (RFC 6265, section 6.1).
    let response = client.refresh().await.expect(200);
    assert!(response.all("set-cookie").all(|cookie| cookie.len() <= 4_096), "{response}");
}

#[tokio::test]
async fn a_disabled_user_is_signed_out_everywhere_and_signs_in_no_more() {
    let stage = Stage::set().await;
    let mut devices = Client::in_every_way(&stage.server, "ada").await;
    devices.extend(Client::in_every_way(&stage.node, "ada").await);
    let neighbour = Client::of_new_user(&stage.server, Pair::JWT_BEARER, "grace").await;
    for device in &devices {
        for node in stage.nodes() {
            device.at(node).profile().await.ok();
        }
    }

    for _ in 0..2 {
        stage.commands.does(&["user", "disable", "ada"]).await;
        for device in &devices {
            stage.assert_dies(device).await;
        }
    }
    for pair in Pair::ALL {
        let attempt = async |password: &str| {
            let body = with(pair.credentials("ada"), "password", password);
            Client::new(&stage.node, pair).login(&body).await.problem(401, "invalid_credentials")
        };
        let right = attempt(PASSWORD).await;
        let wrong = attempt("no lantern, no weir").await;
        assert_eq!(right.but_for_the_date(), wrong.but_for_the_date());
    }
    neighbour.assert_goes_on().await;

    stage.commands.does(&["user", "enable", "ada"]).await;
    for device in Client::in_every_way(&stage.node, "ada").await {
        device.at(&stage.server).assert_goes_on().await;
    }
    // It is as if they had never been.
    for device in &devices {
        stage.assert_dies(device).await;
    }
}

#[tokio::test]
async fn a_user_who_is_signed_out_by_an_operator_signs_in_again() {
    let stage = Stage::set().await;
    let devices = Client::in_every_way(&stage.server, "ada").await;
    let neighbour = Client::of_new_user(&stage.server, Pair::SESSION_COOKIE, "grace").await;
    for device in &devices {
        for node in stage.nodes() {
            device.at(node).profile().await.ok();
        }
    }

    let told = stage.commands.does(&["user", "logout", "ada"]).await;

    assert!(told.contains("Logins ended: 4"), "{told}");
    for device in &devices {
        stage.assert_dies(device).await;
    }
    neighbour.assert_goes_on().await;
    for device in Client::in_every_way(&stage.server, "ada").await {
        device.assert_goes_on().await;
    }
    for device in devices.iter().filter(|device| device.pair.mode == Mode::Jwt) {
        device.clone().refresh().await.problem(401, "token_revoked");
    }
}

#[tokio::test]
async fn a_list_has_every_user_in_the_order_in_which_they_came() {
    let stage = Stage::set().await;
    // More than are read at a time.
    stage
        .database
        .execute(
            "insert into users (id, username, email, password_hash, roles, created_at)
             select ('0fff0000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, 'user' || number,
                 'user' || number || '@example.org', 'secret', array['user', 'editor'], '2020-01-02T03:04:05Z'
             from generate_series(1, 2100) number",
        )
        .await;
    stage.commands.does(&["user", "disable", "user7"]).await;

    let told = stage.commands.does(&["user", "list"]).await;
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2101);
    assert_eq!(lines.iter().filter(|line| line[1] == "ada").count(), 1);
    let line = |name: &str| lines.iter().find(|line| line[1] == name).expect("a line").clone();
    assert_eq!(
        line("user6")[1..],
        ["user6", "user6@example.org", "user,editor", "2020-01-02T03:04:05Z", "-"]
    );
    assert_eq!(line("user7")[5], "disabled");

    let told = stage.commands.does(&["user", "list", "--json"]).await;
    assert!(!told.contains("secret") && !told.contains("argon2"), "the hash is nobody's business");
    let users: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(users.len(), 2101);
    let user = |name: &str| users.iter().find(|user| user["username"] == name).expect("an object");
    let expected = json!({
        "user_id": "0fff0000-0000-7000-8000-000000000006", "username": "user6", "email": "user6@example.org",
        "roles": ["user", "editor"], "created_at": "2020-01-02T03:04:05.000000Z", "disabled_at": null,
    });
    assert_eq!(user("user6"), &expected);
    assert!(user("user7")["disabled_at"].is_string());
}

#[tokio::test]
async fn who_reads_only_the_first_lines_of_a_list_gets_no_error() {
    let stage = Stage::set().await;
    let mut command = stage.commands.program();
    let mut child = command.args(["user", "list"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_user_is_shown_with_all_but_the_hash() {
    let stage = Stage::set().await;
    Client::in_every_way(&stage.server, "ada").await;
    // Their time is not that of the command.
    stage.database.execute("update logins set idle_expires_at = 'infinity', expires_at = 'infinity'").await;
    let told = stage.commands.does(&["user", "show", "Ada@Example.org"]).await;
    for line in ["username: ada", "email: ada@example.org", "roles: user", "disabled: no", "live logins: 4"] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    assert!(
        told.contains("user_id: ") && told.contains("created_at: ") && !told.contains("argon2"),
        "{told}"
    );
    stage.commands.does(&["user", "disable", "ada"]).await;
    let told = stage.commands.does(&["user", "show", "ada"]).await;
    assert!(told.contains("disabled: since ") && told.contains("live logins: 0"), "{told}");
}

#[tokio::test]
async fn a_deleted_user_is_signed_out_everywhere_and_the_trail_says_so() {
    let stage = Stage::set().await;
    let clients = Client::in_every_way(&stage.server, "ada").await;
    let neighbour = Client::of_new_user(&stage.server, Pair::JWT_BEARER, "grace").await;
    for client in &clients {
        client.at(&stage.node).profile().await.ok();
    }

    let told = stage.commands.does(&["user", "delete", "ADA"]).await;

    assert!(told.contains("ADA is deleted"), "{told}");
    for client in &clients {
        for node in stage.nodes() {
            let client = client.at(node);
            eventually("a refusal", async || client.profile().await.status == 401).await;
            for path in ["/account", "/account/logins", "/verify"] {
                assert_eq!(client.get(path).await.status, 401, "{path}");
            }
            assert_eq!(client.clone().refresh().await.status, 401);
        }
    }
    for node in stage.nodes() {
        neighbour.at(node).profile().await.ok();
        let again =
            Client::new(node, Pair::SESSION_BEARER).login(&Pair::SESSION_BEARER.credentials("ada")).await;
        again.problem(401, "invalid_credentials");
    }
    assert!(stage.commands.refuses(&["user", "show", "ada"]).await.contains("there is no user"));
    let trail = stage.commands.does(&["audit", "tail", "--event", "user_deleted", "--json"]).await;
    let event: Value = serde_json::from_str(trail.trim()).expect("one event");
    assert_eq!((&event["username"], &event["source"]), (&json!("ada"), &json!("command")));
    // The name is free.
    stage.server.user("ada").await;
}

#[tokio::test]
async fn a_password_that_an_operator_sets_ends_every_login_and_is_the_only_one_that_counts() {
    let stage = Stage::set().await;
    let clients = Client::in_every_way(&stage.server, "ada").await;
    let neighbour = Client::of_new_user(&stage.server, Pair::JWT_BEARER, "grace").await;
    let new = "another lantern over the weir";

    let set = ["user", "set-password", "ada@example.org"];
    let output = stage.commands.run(&set, &format!("{new}\nnot this line\n")).await;

    assert!(output.status.success(), "{}", text(&output.stderr));
    let (told, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(told.contains("Logins ended: 4") && !(told + &complained).contains(new));
    for client in &clients {
        stage.assert_dies(client).await;
    }
    neighbour.at(&stage.node).profile().await.ok();
    for pair in Pair::ALL {
        Client::new(&stage.node, pair)
            .login(&pair.credentials("ada"))
            .await
            .problem(401, "invalid_credentials");
        Client::new(&stage.node, pair).login(&with(pair.credentials("ada"), "password", new)).await.ok();
    }
    let trail = stage.commands.does(&["audit", "tail", "--event", "user_password_set", "--json"]).await;
    let event: Value = serde_json::from_str(trail.trim()).expect("one event");
    assert_eq!((&event["username"], &event["detail"]["logins"]), (&json!("ada"), &json!(4)));
}

#[tokio::test]
async fn a_password_that_nobody_may_choose_an_operator_may_not_either() {
    let stage = Stage::set().await;
    let client = Client::signed_in(&stage.server, Pair::JWT_BEARER, "ada").await;
    let long = "x".repeat(1_025);
    for (password, complaint) in [
        ("", "at least 15"),
        ("short", "at least 15"),
        ("\na second line that would do", "at least 15"),
        ("passwordpassword", "guessed first"),
        (long.as_str(), "1024 bytes"),
    ] {
        let output = stage.commands.run(&["user", "set-password", "ada"], password).await;
        assert_eq!(output.status.code(), Some(1), "{password}");
        let told = text(&output.stderr);
        assert!(told.contains("password must") || told.contains("password is"), "{told}");
        assert!(told.contains(complaint), "{told}");
    }
    for words in
        [["user", "set-password", "nobody"], ["user", "delete", "nobody"], ["user", "show", "nobody"]]
    {
        let output = stage.commands.run(&words, PASSWORD).await;
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{words:?}");
        assert!(text(&output.stderr).contains("there is no user \"nobody\""), "{words:?}");
    }
    client.profile().await.ok();
    Client::new(&stage.server, Pair::JWT_BEARER).login(&Pair::JWT_BEARER.credentials("ada")).await.ok();
}
