//! Each change is in the trail, whoever makes it: a new route, command or kind of event needs a row here.

use std::collections::BTreeSet;

use dualauth::{app, audit::Kind, config::Config};
use serde_json::{Value, json};

use super::{OTHER_PASSWORD, names, trail};
use crate::challenges;
use crate::factors;
use crate::oauth::Service;
use crate::support::{
    PASSWORD,
    client::{Client, Mode, Pair},
    http::Request,
    mail_server::MailServer,
    program::{folder, program, run, text},
    server::{TestServer, credentials, registration},
    text as plain,
};

/// Every route that is no mere question, and the events of somebody who has opened an account, signed in if that is
/// needed, and then asks for it.
const ROUTES: [(&str, &[&str]); 32] = [
    ("post /session/register", &["registered"]),
    ("post /session/login", &["registered", "login_started"]),
    ("post /session/refresh", &["registered", "login_started"]),
    ("post /session/step-up", &["registered", "login_started", "stepped_up"]),
    ("post /session/logout", &["registered", "login_started", "logout"]),
    ("post /session/logout-all", &["registered", "login_started", "logout_all"]),
    ("post /session/token", &["registered", "login_started"]),
    ("put /session/data/{key}", &["registered", "login_started"]),
    ("delete /session/data/{key}", &["registered", "login_started"]),
    ("post /jwt/register", &["registered"]),
    ("post /jwt/login", &["registered", "login_started"]),
    ("post /jwt/refresh", &["registered", "login_started"]),
    ("post /jwt/step-up", &["registered", "login_started", "stepped_up"]),
    ("post /jwt/logout", &["registered", "login_started", "logout"]),
    ("post /jwt/logout-all", &["registered", "login_started", "logout_all"]),
    ("post /jwt/introspect", &["registered", "login_started"]),
    ("post /jwt/feed", &["registered", "login_started"]),
    ("post /jwt/revoke", &["registered", "login_started", "token_revoked"]),
    ("post /tokens", &["registered", "login_started", "custom_token_created"]),
    (
        "post /tokens/redeem",
        &["registered", "login_started", "custom_token_created", "custom_token_redeemed"],
    ),
    ("delete /tokens/{id}", &["registered", "login_started", "custom_token_created", "custom_token_deleted"]),
    ("delete /account/logins/{id}", &["registered", "login_started", "login_ended"]),
    ("post /account/handoff", &["registered", "login_started", "handoff_created"]),
    ("post /account/handoff/inspect", &["registered", "login_started", "handoff_created"]),
    ("post /account/password", &["registered", "login_started", "password_changed"]),
    ("delete /account/password", &["registered", "login_started", "password_removed"]),
    // Nothing has changed as long as nobody has the code.
    ("post /challenges", &["registered"]),
    ("post /account/password/reset", &["registered", "password_reset"]),
    ("post /account/email", &["registered", "login_started", "email_changed"]),
    ("post /account/factors", &["registered", "login_started", "factor_added"]),
    ("delete /account/factors/{id}", &["registered", "login_started", "factor_added", "factor_removed"]),
    (
        "post /account/recovery-codes",
        &["registered", "login_started", "factor_added", "recovery_codes_renewed"],
    ),
];

/// Every command, and its event.
pub(super) const COMMANDS: [(&str, Option<&str>); 43] = [
    ("serve", None),
    ("migrate", None),
    ("openapi", None),
    ("compare", None),
    ("doctor", None),
    ("health", None),
    ("completions", None),
    ("manual", None),
    ("hash", None),
    ("hash calibrate", None),
    ("audit", None),
    ("audit tail", None),
    ("user", None),
    ("user create", Some("user_created")),
    ("user import", Some("users_imported")),
    ("user list", None),
    ("user show", None),
    ("user set-password", Some("user_password_set")),
    ("user delete", Some("user_deleted")),
    ("user disable", Some("user_disabled")),
    ("user enable", Some("user_enabled")),
    ("user logout", Some("user_logged_out")),
    ("user unlock", Some("user_unlocked")),
    ("user verify-email", Some("user_email_verified")),
    ("user factors", None),
    ("user factors reset", Some("user_factors_reset")),
    ("user role", None),
    ("user role add", Some("role_added")),
    ("user role remove", Some("role_removed")),
    ("client", None),
    ("client create", Some("client_created")),
    ("client list", None),
    ("client delete", Some("client_deleted")),
    ("keys", None),
    ("keys list", None),
    ("keys rotate", Some("key_rotated")),
    ("keys retire", Some("key_retired")),
    ("keys reset", Some("keys_reset")),
    ("mail", None),
    ("mail test", None),
    ("mail list", None),
    ("provider", None),
    ("provider check", None),
];

/// What is told of besides: somebody was refused, or it comes of something else that they ask for.
const OTHER_KINDS: [&str; 16] = [
    "handoff_redeemed",
    "session_opened",
    "passkey_counter_behind",
    "recovery_code_used",
    "second_factor_failed",
    "challenge_failed",
    "address_proved",
    "email_verified",
    "login_failed",
    "login_limited",
    "password_change_failed",
    "step_up_failed",
    "client_refused",
    "refresh_token_reused",
    "password_upgraded",
    "mail_failed",
];

fn documented() -> BTreeSet<String> {
    let config = Config::from_vars(|_| None).expect("the defaults");
    let document: Value = serde_json::from_str(&app::document(&config).expect("a document")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path item").keys();
        methods.map(move |method| format!("{method} {path}"))
    });
    let is_question = |name: &String| ["get ", "head ", "options "].iter().any(|safe| name.starts_with(safe));
    // By form as by GET: nothing of an account changes until somebody signs in.
    let is_callback = |name: &String| name.ends_with("/callback");
    operations.filter(|name| !is_question(name) && !is_callback(name)).collect()
}

/// What a client of this name sends to ask for it.
async fn request(
    (server, mails): (&TestServer, &MailServer),
    service: &Service,
    route: &str,
    name: &str,
) -> Request {
    let (method, path) = route.split_once(' ').expect("a method and a path");
    if path.ends_with("/register") {
        return Request::post(path).json(&registration(name));
    }
    server.user(name).await;
    if path.ends_with("/login") {
        return Request::post(path).json(&credentials(name));
    }
    let email = challenges::email_of(name);
    match path {
        "/challenges" => return Request::post(path).json(&challenges::asking("reset_password", &email)),
        "/account/password/reset" => {
            let halves = challenges::halves(server, mails, "reset_password", &email).await;
            return challenges::reset_request(&halves, OTHER_PASSWORD);
        }
        _ => {}
    }
    let mode = if path.starts_with("/session") { Mode::Session } else { Mode::Jwt };
    let pair = if mode == Mode::Session { Pair::SESSION_COOKIE } else { Pair::JWT_BEARER };
    let client = Client::signed_in(server, pair, name).await;
    let method = method.to_uppercase();
    match path {
        "/session/refresh" | "/jwt/refresh" => client.refresh_request(),
        "/session/step-up" | "/jwt/step-up" => client.step_up_request(PASSWORD),
        "/session/data/{key}" if method == "PUT" => {
            client.request(&method, "/session/data/a").json(&json!(1))
        }
        "/session/data/{key}" => client.request(&method, "/session/data/a"),
        "/account/logins/{id}" => {
            let path = format!("/account/logins/{}", client.login_id().await);
            client.request(&method, &path)
        }
        "/account/password" if method == "DELETE" => {
            crate::nodes::sql(server, "update users set email_verified_at = now()").await;
            client.request(&method, path)
        }
        "/account/password" => client
            .request(&method, path)
            .json(&json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD })),
        "/account/handoff/inspect" => {
            let code = crate::exchange::code(server, &client).await;
            Request::post(path).json(&json!({ "code": code }))
        }
        "/account/email" => {
            let asked = challenges::ask_signed_in(server, &client, &format!("new-{email}")).await;
            let halves = challenges::with_its_code(mails, &asked.expect(201).json()).await;
            client.request(&method, path).json(&halves.json())
        }
        "/account/factors" | "/account/factors/{id}" | "/account/recovery-codes" => {
            crate::nodes::sql(server, "update users set email_verified_at = now()").await;
            if path == "/account/factors" {
                let challenge = factors::ask(server, &client).await.expect(201).json();
                let code = factors::Authenticator::of(&challenge).code_in(server, 0);
                let body = json!({ "challenge": challenge["challenge"], "code": code });
                return client.request(&method, path).json(&body);
            }
            let authenticator = factors::enrol(server, &client).await;
            // A token from before says less.
            let mut client = client;
            client.refresh().await.ok();
            client.request(&method, &path.replace("{id}", &authenticator.id))
        }
        "/jwt/introspect" | "/jwt/revoke" => {
            Request::post(path).basic(&service.id, &service.secret).form(&[("token", &client.credential())])
        }
        "/jwt/feed" => Request::post(path).basic(&service.id, &service.secret).form(&[]),
        "/tokens" => token_request(service, &client).await,
        "/tokens/redeem" => {
            let token = server.send(token_request(service, &client).await).await.expect(201).json();
            let body = json!({ "token": token["token"], "purpose": "invitation" });
            Request::post(path).basic(&service.id, &service.secret).json(&body)
        }
        "/tokens/{id}" => {
            let token = server.send(token_request(service, &client).await).await.expect(201).json();
            let path = path.replace("{id}", plain(&token["id"]));
            Request::new(&method, &path).basic(&service.id, &service.secret)
        }
        _ => client.request(&method, path),
    }
}

/// Has a token made that is for this client's user.
async fn token_request(service: &Service, client: &Client) -> Request {
    let user = client.profile().await.ok()["user_id"].clone();
    let body = json!({ "purpose": "invitation", "expires_in": 60, "user_id": user });
    Request::post("/tokens").basic(&service.id, &service.secret).json(&body)
}

#[tokio::test]
async fn every_change_that_a_route_makes_is_told_once_and_a_new_route_is_not_forgotten() {
    assert_eq!(documented(), ROUTES.iter().map(|(route, _)| (*route).to_owned()).collect());
    let (mut server, mails) = challenges::server().await;
    let service = Service::registered(&server).await;
    let name = |number: usize| format!("user-{number}");
    for (number, (route, _)) in ROUTES.iter().enumerate() {
        let request = request((&server, &mails), &service, route, &name(number)).await;
        let status = server.send(request).await.status;
        assert!((200..300).contains(&status), "{route}: {status}");
    }
    // A node that stops has written everything.
    server.stop().await;
    let events = trail(&server).await;
    for (number, (route, expected)) in ROUTES.iter().enumerate() {
        let own: Vec<Value> =
            events.iter().filter(|event| event["username"] == name(number).as_str()).cloned().collect();
        assert_eq!(names(&own), *expected, "{route}");
    }
}

/// The commands below these words, as their help lists them.
async fn listed(words: &str) -> BTreeSet<String> {
    let mut command = program(&folder(), &[]);
    command.args(words.split_whitespace()).arg("--help");
    let help = text(&run(command, "").await.stdout);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| line.starts_with(' ')).filter_map(|line| {
        // What a command does may go on in the next line, further to the right.
        let rest = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        rest.split_whitespace().next()
    });
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_command_is_one_of_which_it_is_known_what_is_told() {
    let groups =
        ["", "hash", "audit", "user", "user role", "user factors", "client", "keys", "mail", "provider"];
    let mut rows = BTreeSet::new();
    for group in groups {
        for name in listed(group).await {
            rows.insert(format!("{group} {name}").trim_start().to_owned());
        }
    }
    assert_eq!(rows, COMMANDS.iter().map(|(words, _)| (*words).to_owned()).collect());
    for (words, _) in COMMANDS.iter().filter(|(words, _)| !groups.contains(words)) {
        assert_eq!(listed(words).await, BTreeSet::new(), "{words}");
    }
}

#[test]
fn every_kind_of_event_has_a_change_or_a_refusal_that_is_tested() {
    let of_routes = ROUTES.iter().flat_map(|(_, events)| events.iter().copied());
    let of_commands = COMMANDS.iter().filter_map(|(_, event)| *event);
    let tested: BTreeSet<&str> = of_routes.chain(of_commands).chain(OTHER_KINDS).collect();
    assert_eq!(tested, Kind::ALL.iter().map(|kind| kind.as_str()).collect());
}
