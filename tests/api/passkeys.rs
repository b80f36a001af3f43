//! Passkeys and security keys: how they are kept, and where they may be used.

use chrono::{DateTime, Duration, Utc};
use dualauth::app::PostgresStorage;
use dualauth::config::Config;
use dualauth::crypto::random_bytes;
use dualauth::factors::passkey::{
    PasskeyAlgorithm, PasskeyKind, Passkeys, VerifiedAssertion, VerifiedRegistration,
};
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::doctor::doctor_in;
use crate::support::{
    http::Request,
    program::folder,
    server::{TestServer, beginning},
};

const RP_ID: &str = "example.com";

/// A server, a user of it, and its passkeys under a relying party id.
struct Stored {
    server: TestServer,
    user_id: Uuid,
    storage: PostgresStorage,
    passkeys: Passkeys,
}

impl Stored {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let user_id = server.user("ada").await.parse().expect("an id");
        let url = server.database_url().to_string();
        let config = Config::from_vars(|name| (name == "DATABASE_URL").then(|| url.clone()));
        let storage = PostgresStorage::open(&config.expect("settings")).await.expect("a database");
        let passkeys = Passkeys::new(storage.pools.requests.clone(), RP_ID.to_owned());
        Self { server, user_id, storage, passkeys }
    }

    fn under(&self, rp_id: &str) -> Passkeys {
        Passkeys::new(self.storage.pools.requests.clone(), rp_id.to_owned())
    }

    async fn insert(&self, new: &VerifiedRegistration) -> Option<Uuid> {
        self.passkeys.insert(self.user_id, "a key", new, beginning()).await.expect("an answer")
    }

    /// An assertion of a passkey whose counter was at `before` when it was registered.
    async fn assertion(&self, before: u32, backup_eligible: bool) -> VerifiedAssertion {
        let new = VerifiedRegistration { sign_count: before, backup_eligible, ..registration() };
        VerifiedAssertion {
            passkey_id: self.insert(&new).await.expect("it is new"),
            user_id: self.user_id,
            kind: new.kind,
            sign_count: before,
            backup_eligible,
            backed_up: false,
        }
    }

    async fn records(&self, assertion: &VerifiedAssertion, at: DateTime<Utc>) -> bool {
        self.passkeys.record_use(assertion, at).await.expect("an answer")
    }
}

fn registration() -> VerifiedRegistration {
    VerifiedRegistration {
        credential_id: random_bytes::<32>().to_vec(),
        public_key: vec![0xa0],
        algorithm: PasskeyAlgorithm::Es256,
        kind: PasskeyKind::Passkey,
        sign_count: 0,
        backup_eligible: false,
        backed_up: false,
        transports: vec!["internal".to_owned()],
        aaguid: Uuid::nil(),
    }
}

/// What is counted at each use, and whether that is taken.
type Uses = &'static [(u32, bool)];

#[tokio::test]
async fn a_counter_goes_up_unless_the_authenticator_has_none_or_the_passkey_is_synced() {
    let stored = Stored::new().await;
    // What was counted at registration, whether it may be copied, and each use.
    let cases: [(u32, bool, Uses); 7] = [
        (0, false, &[(0, true), (0, true)]),
        (0, false, &[(1, true), (1, false), (0, false), (2, true)]),
        (5, false, &[(5, false), (4, false), (0, false), (6, true)]),
        (5, false, &[(u32::MAX, true), (u32::MAX, false), (1, false)]),
        (0, true, &[(0, true), (0, true)]),
        (5, true, &[(0, true), (3, true), (3, true), (9, true)]),
        (u32::MAX, false, &[(0, false), (1, false)]),
    ];
    for (before, backup_eligible, uses) in cases {
        let assertion = stored.assertion(before, backup_eligible).await;
        for (sign_count, is_taken) in uses {
            let used = VerifiedAssertion { sign_count: *sign_count, ..assertion };
            let what = format!("{before}, {backup_eligible}: {uses:?} at {sign_count}");
            assert_eq!(stored.records(&used, beginning()).await, *is_taken, "{what}");
        }
    }
}

#[tokio::test]
async fn of_twenty_uses_at_once_with_one_counter_one_is_taken() {
    let stored = Stored::new().await;
    let assertion = VerifiedAssertion { sign_count: 1, ..stored.assertion(0, false).await };
    let taken = join_all((0..20).map(|_| stored.records(&assertion, beginning()))).await;
    assert_eq!(taken.iter().filter(|is_taken| **is_taken).count(), 1);
}

#[tokio::test]
async fn a_use_is_dated_and_says_whether_the_passkey_is_backed_up() {
    let stored = Stored::new().await;
    let assertion = stored.assertion(0, true).await;
    let later = beginning() + Duration::hours(1);
    assert!(stored.records(&VerifiedAssertion { backed_up: true, ..assertion }, later).await);
    let query = "select backed_up from dualauth.passkeys where last_used_at > created_at";
    let mut connection = stored.server.sql().await;
    assert!(sqlx::query_scalar::<_, bool>(query).fetch_one(&mut connection).await.expect("a row"));
    let listed = stored.passkeys.of_user(stored.user_id).await.expect("an answer");
    assert_eq!(listed.iter().map(|passkey| passkey.last_used_at).collect::<Vec<_>>(), [Some(later)]);
}

#[tokio::test]
async fn a_credential_is_registered_once_whoever_asks() {
    let stored = Stored::new().await;
    let new = registration();
    let ids = join_all((0..10).map(|_| stored.insert(&new))).await;
    assert_eq!(ids.iter().flatten().count(), 1);
    let other: Uuid = stored.server.user("grace").await.parse().expect("an id");
    let again = stored.under("example.org").insert(other, "mine", &new, beginning()).await;
    assert_eq!(again.expect("an answer"), None);
    let found = stored.passkeys.find(&new.credential_id).await.expect("an answer").expect("a passkey");
    assert_eq!((found.user_id, found.name.as_str()), (stored.user_id, "a key"));
    assert_eq!((found.public_key, found.kind, found.transports), (new.public_key, new.kind, new.transports));
}

#[tokio::test]
async fn passkeys_of_another_rp_id_of_a_disabled_user_and_of_one_who_is_gone_are_not_found() {
    let stored = Stored::new().await;
    let new = registration();
    stored.insert(&new).await.expect("it is new");
    let found = async |passkeys: &Passkeys| {
        let found = passkeys.find(&new.credential_id).await.expect("an answer");
        (found.is_some(), passkeys.of_user(stored.user_id).await.expect("an answer").len())
    };
    let other = stored.under("example.org");
    assert_eq!((found(&stored.passkeys).await, found(&other).await), ((true, 1), (false, 0)));
    let mut connection = stored.server.sql().await;
    sqlx::query("update dualauth.users set disabled_at = now()").execute(&mut connection).await.expect("SQL");
    assert_eq!(found(&stored.passkeys).await, (false, 1));
    sqlx::query("delete from dualauth.users").execute(&mut connection).await.expect("SQL");
    assert_eq!(found(&stored.passkeys).await, (false, 0));
}

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
    let stored = Stored::new().await;
    stored.insert(&registration()).await.expect("it is new");
    let url = stored.server.database_url().to_string();
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
