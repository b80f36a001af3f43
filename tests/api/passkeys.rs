//! Passkeys and security keys: where they may be used. What they are used for is told by the tests of factors.

use serde_json::json;

use crate::doctor::doctor_in;
use crate::nodes::sql;
use crate::support::{http::Request, program::folder, server::TestServer};

const RP_ID: &str = "example.com";

#[tokio::test]
async fn origins_of_other_domains_are_published_and_no_others() {
    for (settings, origins) in [
        (vec![], json!([])),
        (
            vec![
                ("PUBLIC_URL", "https://auth.example.com"),
                ("PASSKEY_RP_ID", "example.com"),
                ("PASSKEY_ORIGINS", "https://app.example.com,https://example.org,https://example.co.uk:8443"),
            ],
            json!(["https://example.org", "https://example.co.uk:8443"]),
        ),
    ] {
        let server = TestServer::with(&settings).await;
        let answer = server.send(Request::get("/.well-known/webauthn")).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), json!({ "origins": origins }));
    }
}

#[tokio::test]
async fn the_doctor_tells_of_passkeys_that_can_be_used_no_more() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let insert = format!(
        "insert into passkeys (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count, backup_eligible,
             backed_up, transports, aaguid, rp_id, created_at)
         select id, id, '\\x01', '\\xa0', -7, 'passkey', 'Phone', 0, false, false, '{{}}', id, '{RP_ID}', now() from users"
    );
    sql(&server, &insert).await;
    let url = server.database_url().to_string();
    let told = async |public_url: &str, origins: &str| {
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("PUBLIC_URL", public_url),
            ("PASSKEY_RP_ID", if public_url.contains("example.com") { RP_ID } else { "" }),
            ("PASSKEY_ORIGINS", origins),
        ];
        doctor_in(&folder(), &settings, &[]).await
    };
    let moved = told("https://auth.example.net", "").await;
    moved.assert_has("warning", &["another RP ID", "example.com (1)", "PASSKEY_RP_ID"]);
    told("https://192.168.0.2", "").await.assert_has("ok", &["no passkeys"]);
    let well = told("https://auth.example.com", "").await;
    well.assert_has("ok", &["passkeys belong to example.com"]);
    assert!(!well.says("warning", "RP ID"), "nothing is wrong");
    let elsewhere = told("https://auth.example.com", "https://app.example.com,https://example.org").await;
    elsewhere.assert_has("warning", &["PASSKEY_ORIGINS does not have https://auth.example.com"]);
    elsewhere.assert_has("warning", &["https://example.org", "https://example.com/.well-known/webauthn"]);
}
