//! A provider that nobody here wrote (oidc-provider): discovery, PKCE, secrets, keys and ID tokens as it has them.

use std::path::Path;
use std::process::Stdio;

use dualauth::clock::Clock;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use url::Url;

use super::started;
use crate::factors::passkeys::SITE;
use crate::providers::signing::ProviderSite;
use crate::support::{
    client::{Client, Pair},
    http::Request,
    server::beginning,
    text,
};

/// A browser that goes wherever it is sent, until it is sent back to us. Returns the path of the callback.
async fn follow(url: &str, provider: std::net::SocketAddr) -> String {
    let mut browser = Client::at_address(provider, Pair::SESSION_COOKIE);
    let mut path = path_of(&Url::parse(url).expect("a URL"));
    for _ in 0..10 {
        let cookies = browser.jar.header_for(path.split('?').next().unwrap_or_default());
        let request = Request::get(&path).header("cookie", cookies.unwrap_or_default());
        let answer = request.send(provider).await;
        browser.absorb(&answer);
        let location = answer.header("location").unwrap_or_else(|| panic!("{answer}")).to_owned();
        if location.starts_with(SITE.1) {
            return path_of(&Url::parse(&location).expect("a URL"));
        }
        let base = Url::parse(&format!("http://{provider}{path}")).expect("a URL");
        path = path_of(&base.join(&location).expect("a URL"));
    }
    panic!("it goes round in circles");
}

fn path_of(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

#[tokio::test]
async fn somebody_signs_in_links_and_steps_up_by_a_provider_that_nobody_here_wrote() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let start = |address: std::net::SocketAddr| -> Child {
        let installed = root.join("target/tools/oidc-provider");
        // Where it finds what is installed there.
        let server = installed.join("server.mjs");
        std::fs::copy(root.join("tests/oidc-provider/server.mjs"), &server)
            .expect("it is installed: scripts/tools oidc-provider gets it");
        let ahead = (beginning() - Clock::system().now()).num_seconds();
        let mut command = Command::new("node");
        command.arg(server).arg(address.port().to_string());
        command.arg(format!("{}/providers/stub/callback", SITE.1)).arg(ahead.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("node starts")
    };
    let listens = async |address| TcpStream::connect(address).await.is_ok();
    let (_process, address) = started::on_a_free_port(start, listens).await.expect("a provider that listens");
    let site = ProviderSite::at(&format!("http://{address}"), "", &[]).await;

    let sign_in = async || {
        let challenge = site.ask().await;
        let callback = follow(text(&challenge["authorization_url"]), address).await;
        site.halves(&challenge, &callback).await
    };
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&sign_in().await).await.expect(200);
    let profile = client.profile().await.ok();
    assert_eq!((&profile["username"], &profile["auth"]["amr"]), (&json!("ada"), &json!(["fed"])));
    let factors = client.get("/account/factors").await.ok();
    assert_eq!(factors["providers"][0]["email"], "ada@example.com");
    let mut again = Client::new(&site.server, Pair::SESSION_COOKIE);
    again.login(&sign_in().await).await.expect(200);
    assert_eq!(again.profile().await.ok()["user_id"], profile["user_id"]);

    let challenge = site.ask_as(&client, "step_up").await.expect(201).json();
    let callback = follow(text(&challenge["authorization_url"]), address).await;
    let halves = site.halves(&challenge, &callback).await;
    let request = client.request("POST", "/jwt/step-up").json(&halves);
    client.send(request).await.expect(200);

    let other = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    let challenge = site.ask_as(&other, "factor").await.expect(201).json();
    let callback = follow(text(&challenge["authorization_url"]), address).await;
    let halves = site.halves(&challenge, &callback).await;
    let link = other.request("POST", "/account/factors").json(&halves);
    site.server.send(link).await.problem(409, "conflict");
}
