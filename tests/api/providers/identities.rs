//! Identities at providers as they are kept: whose they are, and nobody else's.

use dualauth::app::PostgresStorage;
use dualauth::challenges::{ChallengedAccount, CheckedProof};
use dualauth::config::Config;
use dualauth::crypto::AppSecret;
use dualauth::factors::provider::{Identities, LinkError, LinkOwner, ProviderIdentity};
use dualauth::logins::{Acr, Amr, Authentication};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use crate::support::server::{TestServer, beginning};

/// The account, as it is before anything of it has changed, and by no login.
fn owner(user_id: Uuid, proved: Authentication) -> LinkOwner {
    let account = ChallengedAccount { user_id, version: 0 };
    LinkOwner { account, proved, login_id: None, checked: CheckedProof::default() }
}

/// By one factor.
fn proved() -> Authentication {
    Authentication::new(Amr::PASSWORD, Acr::Aal1, beginning())
}

struct Stored {
    server: TestServer,
    storage: PostgresStorage,
    identities: Identities,
    users: [Uuid; 2],
}

impl Stored {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let users = [server.user("ada").await, server.user("bea").await].map(|id| id.parse().expect("an id"));
        let url = server.database_url().to_string();
        let config = Config::from_vars(|name| (name == "DATABASE_URL").then(|| url.clone()));
        let storage = PostgresStorage::open(&config.expect("settings")).await.expect("a database");
        let identities = Identities::new(storage.pools.requests.clone(), &AppSecret::generate());
        Self { server, storage, identities, users }
    }
}

fn identity(issuer: &str, subject: &str) -> ProviderIdentity {
    let identity = json!({
        "provider": "stub", "issuer": issuer, "subject": subject, "email": "ada@example.com",
        "preferred_username": null, "auth_time": null, "acr": null, "amr": [], "proves_both_factors": false,
        "tokens": "{\"access_token\":\"hunter2\"}",
    });
    serde_json::from_value(identity).expect("an identity")
}

#[tokio::test]
async fn an_identity_is_found_by_issuer_and_subject_and_by_no_address() {
    let stored = Stored::new().await;
    let [ada, _] = stored.users;
    let linked = identity("https://a.example", "17");
    let id =
        stored.identities.link(owner(ada, proved()), &linked, None, beginning()).await.expect("it is new");
    let found = stored.identities.find(&linked).await.expect("an answer").expect("it is there");
    assert_eq!((found.id, found.user_id, found.is_disabled), (id, ada, false));
    for other in [identity("https://a.example", "18"), identity("https://b.example", "17")] {
        assert_eq!(stored.identities.find(&other).await.expect("an answer"), None, "{other:?}");
    }
    let changed = ProviderIdentity { email: None, tokens: None, ..linked.clone() };
    assert!(stored.identities.record_use(id, &changed, beginning()).await.expect("an answer"));
    let listed = stored.identities.of_user(ada).await.expect("an answer");
    assert_eq!((listed.len(), listed[0].last_used_at, &listed[0].email), (1, Some(beginning()), &None));
    assert!(!stored.identities.record_use(Uuid::now_v7(), &linked, beginning()).await.expect("an answer"));
}

#[tokio::test]
async fn an_identity_is_one_account_s_and_an_account_has_one_of_each_issuer() {
    let stored = Stored::new().await;
    let [ada, bea] = stored.users;
    let contested = identity("https://a.example", "17");
    let link = |user| stored.identities.link(owner(user, proved()), &contested, None, beginning());
    let outcomes = join_all((0..10).map(|at| link(if at % 2 == 0 { ada } else { bea }))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    // Whichever constraint is looked at first, for the one who has it.
    let is_refusal = |error: &LinkError| matches!(error, LinkError::Taken | LinkError::OtherOfIssuer);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().err().is_none_or(is_refusal)));
    let winner = stored.identities.find(&contested).await.expect("an answer").expect("it is there").user_id;
    let other = if winner == ada { bea } else { ada };
    assert!(matches!(
        stored.identities.link(owner(other, proved()), &contested, None, beginning()).await,
        Err(LinkError::Taken)
    ));
    let second = identity("https://a.example", "18");
    let refused = stored.identities.link(owner(winner, proved()), &second, None, beginning()).await;
    assert!(matches!(refused, Err(LinkError::OtherOfIssuer)));
    assert_eq!(stored.identities.of_user(other).await.expect("an answer"), []);
    stored
        .identities
        .link(owner(winner, proved()), &identity("https://b.example", "17"), None, beginning())
        .await
        .expect("another issuer");
}

#[tokio::test]
async fn with_two_step_sign_in_one_factor_links_nothing() {
    let stored = Stored::new().await;
    let [ada, _] = stored.users;
    crate::nodes::sql(&stored.server, "update users set two_step = true").await;
    let wanted = identity("https://a.example", "17");
    let link = |proved| stored.identities.link(owner(ada, proved), &wanted, None, beginning());
    assert!(matches!(link(proved()).await, Err(LinkError::AccountChanged)));
    let both = Authentication::new(Amr::PASSWORD.and(Amr::TOTP), Acr::Aal2, beginning());
    link(both).await.expect("both factors");
}

#[tokio::test]
async fn a_disabled_account_still_has_its_identity() {
    let stored = Stored::new().await;
    let [ada, bea] = stored.users;
    let linked = identity("https://a.example", "17");
    stored.identities.link(owner(ada, proved()), &linked, None, beginning()).await.expect("it is new");
    let mut connection = stored.server.sql().await;
    sqlx::query("update dualauth.users set disabled_at = now() where id = $1")
        .bind(ada)
        .execute(&mut connection)
        .await
        .expect("it is disabled");
    let found = stored.identities.find(&linked).await.expect("an answer").expect("it is there");
    assert!(found.is_disabled && found.user_id == ada);
    assert!(matches!(
        stored.identities.link(owner(bea, proved()), &linked, None, beginning()).await,
        Err(LinkError::Taken)
    ));
}

#[tokio::test]
async fn tokens_that_are_stored_are_sealed() {
    let stored = Stored::new().await;
    let [ada, _] = stored.users;
    stored
        .identities
        .link(owner(ada, proved()), &identity("https://a.example", "17"), None, beginning())
        .await
        .expect("it is new");
    let query = sqlx::query("select tokens, identities::text as row from dualauth.identities");
    let row = query.fetch_one(&stored.storage.pools.requests).await.expect("a row");
    let tokens: Vec<u8> = row.get("tokens");
    assert!(!tokens.windows(7).any(|part| part == b"hunter2"));
    assert!(!row.get::<String, _>("row").contains("hunter2"));
}
