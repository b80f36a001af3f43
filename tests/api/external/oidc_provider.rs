//! A provider that nobody here wrote (oidc-provider): discovery, PKCE, secrets, keys and ID tokens as it has them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use dualauth::clock::Clock;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Child;
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

/// One that sends browsers back to this URI.
pub async fn start(redirect_uri: &str) -> (Child, SocketAddr) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/tools/oidc-provider");
    assert!(installed.exists(), "scripts/tools oidc-provider installs it");
    let ahead = (beginning() - Clock::system().now()).num_seconds().to_string();
    let start = |address: SocketAddr| -> Child {
        let script = File::open(root.join("tests/oidc-provider/server.mjs")).expect("the script");
        // From there, where it finds what is installed.
        let mut command = started::command("node", &installed);
        command
            .args(["--input-type=module", "-"])
            .stdin(script)
            .arg(address.port().to_string())
            .arg(redirect_uri)
            .arg(&ahead);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("node starts")
    };
    let listens = async |address| TcpStream::connect(address).await.is_ok();
    started::on_a_free_port(start, listens).await.expect("a provider that listens")
}

/// Goes wherever the provider sends, until it sends back to a URL that begins so. Returns the path of the callback.
pub async fn follow(url: &str, provider: SocketAddr, callback: &str) -> String {
    let mut browser = Client::at_address(provider, Pair::SESSION_COOKIE);
    let mut path = path_of(&Url::parse(url).expect("a URL"));
    for _ in 0..10 {
        let cookies = browser.jar.header_for(path.split('?').next().unwrap_or_default());
        let request = Request::get(&path).header("cookie", cookies.unwrap_or_default());
        let answer = request.send(provider).await;
        browser.absorb(&answer);
        let location = answer.header("location").unwrap_or_else(|| panic!("{answer}")).to_owned();
        if location.starts_with(callback) {
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
    let (_process, address) = start(&format!("{}/providers/stub/callback", SITE.1)).await;
    let site = ProviderSite::at(&format!("http://{address}"), "", &[]).await;

    let sign_in = async || {
        let challenge = site.ask().await;
        let callback = follow(text(&challenge["authorization_url"]), address, SITE.1).await;
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
    let callback = follow(text(&challenge["authorization_url"]), address, SITE.1).await;
    let halves = site.halves(&challenge, &callback).await;
    let request = client.request("POST", "/jwt/step-up").json(&halves);
    client.send(request).await.expect(200);

    let other = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    let challenge = site.ask_as(&other, "factor").await.expect(201).json();
    let callback = follow(text(&challenge["authorization_url"]), address, SITE.1).await;
    let halves = site.halves(&challenge, &callback).await;
    let link = other.request("POST", "/account/factors").json(&halves);
    site.server.send(link).await.problem(409, "conflict");
}
