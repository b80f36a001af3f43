//! Every proof, in each mode and by each transport, at an account with two-step sign-in: never a login below aal2, and never a
//! cookie or a token before the second factor.

use dualauth::factors::Proof;
use serde_json::{Value, json};

use super::passkeys::{self, Passkey};
use super::{Authenticator, enrol, second_step};
use crate::challenges::{self, email_of, halves};
use crate::providers::signing::ProviderSite;
use crate::support::{
    PASSWORD,
    client::{Client, Pair},
    http::{Request, Response},
    mail_server::MailServer,
    server::{TestServer, registration},
    text, with,
};

/// What somebody does who has proved something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    SignInByPassword,
    /// The first password of somebody who was imported: its hash is replaced by this very sign-in.
    SignInByImportedPassword,
    SignInAndStayForLong,
    GoOnWithoutACode,
    SignInByMail,
    ResetByMail,
    Register,
    StepUpByPassword,
    StepUpBySecondFactor,
    /// For who has nothing else.
    StepUpByMail,
    /// By the code of such a challenge from before there was anything else.
    StepUpByEarlierMail,
    Refresh,
    /// A second factor without a first.
    SecondFactorAlone,
    ResetByBoth,
    /// Without a name.
    SignInByPasskey,
    /// What verifies nobody, in the place of that.
    SecurityKeyAlone,
    GoOnByKey,
    StepUpByKey,
    ResetByMailAndKey,
    /// In the place of the mail's code.
    ResetByKeyAlone,
    SignInByProvider,
    SignInByIdToken,
    GoOnAfterProvider,
    StepUpByProvider,
    /// Somebody else's word, with the address of the account, and then its password.
    LinkByPassword,
    /// The same, with a code by mail.
    LinkByMail,
}

/// Every proof that the service knows. A new one has to be added here: the match below says so.
const PROOFS: [Proof; 11] = [
    Proof::Password { version: 0 },
    Proof::EmailCode { version: 0 },
    Proof::Totp { version: 0 },
    Proof::RecoveryCode { version: 0 },
    Proof::Passkey { synced: false, user_verified: true, version: 0 },
    Proof::Passkey { synced: true, user_verified: true, version: 0 },
    Proof::Passkey { synced: false, user_verified: false, version: 0 },
    Proof::Passkey { synced: true, user_verified: false, version: 0 },
    Proof::SecurityKey { version: 0 },
    Proof::Provider { proves_both_factors: false, version: 0 },
    Proof::Provider { proves_both_factors: true, version: 0 },
];

/// What can be done with a proof.
fn deeds(proof: Proof) -> &'static [Deed] {
    use Deed::*;
    match proof {
        Proof::Password { .. } => &[
            SignInByPassword,
            SignInByImportedPassword,
            SignInAndStayForLong,
            GoOnWithoutACode,
            Register,
            StepUpByPassword,
            Refresh,
        ],
        Proof::EmailCode { .. } => &[SignInByMail, ResetByMail, StepUpByMail, StepUpByEarlierMail],
        Proof::Totp { .. } | Proof::RecoveryCode { .. } => {
            &[SecondFactorAlone, StepUpBySecondFactor, ResetByBoth]
        }
        Proof::Passkey { user_verified: true, .. } => {
            &[SignInByPasskey, GoOnByKey, StepUpByKey, ResetByMailAndKey, ResetByKeyAlone]
        }
        Proof::Passkey { user_verified: false, .. } | Proof::SecurityKey { .. } => {
            &[SecurityKeyAlone, GoOnByKey, StepUpByKey, ResetByMailAndKey, ResetByKeyAlone]
        }
        Proof::Provider { proves_both_factors: false, .. } => &[
            SignInByProvider,
            SignInByIdToken,
            GoOnAfterProvider,
            StepUpByProvider,
            LinkByPassword,
            LinkByMail,
        ],
        Proof::Provider { .. } => {
            &[SignInByProvider, SignInByIdToken, StepUpByProvider, LinkByPassword, LinkByMail]
        }
    }
}

/// What comes of it.
#[derive(Debug)]
enum Expected {
    /// Nothing but a challenge.
    SecondFactorRequired,
    /// A login, of both factors.
    Login,
    /// Neither.
    Nothing,
}

/// Everybody's password as another system has it.
const IMPORTED: &str = "$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q";

struct Walk<'a> {
    site: &'a ProviderSite,
    server: &'a TestServer,
    mails: &'a MailServer,
    authenticator: &'a Authenticator,
    /// The passkey or security key that the proof is by.
    key: Option<Passkey>,
    /// Signed in by both factors.
    client: Client,
    name: String,
    pair: Pair,
    proof: Proof,
}

impl Walk<'_> {
    fn second_factor(&self) -> String {
        match self.proof {
            Proof::RecoveryCode { .. } => self.authenticator.recovery_codes[0].clone(),
            _ => self.authenticator.next_code(self.server),
        }
    }

    /// What the passkey or security key answers to a challenge.
    fn answer(&mut self, challenge: &Value) -> Value {
        self.key.as_mut().expect("the proof is by one").halves(challenge)
    }

    /// Goes on as the login that comes of it.
    async fn login_as_new(&mut self, body: Value) -> Response {
        self.client = Client::new(self.server, self.pair);
        self.client.login(&with(body, "transport", self.pair.transport.name())).await
    }

    async fn login(&self, body: Value) -> Response {
        let body = with(body, "transport", self.pair.transport.name());
        let path = self.pair.mode.path("login");
        self.server.send(Request::post(&path).json(&body)).await
    }

    async fn reset(&self, body: Value) -> Response {
        let body = with(body, "new_password", PASSWORD);
        self.server.send(Request::post("/account/password/reset").json(&body)).await
    }

    async fn mailed(&self, purpose: &str) -> Value {
        // An address gets five mails an hour.
        crate::nodes::sql(self.server, "delete from mail_quotas").await;
        halves(self.server, self.mails, purpose, &email_of(&self.name)).await.json()
    }

    /// What the provider says of somebody with this number.
    fn claims(&self, challenge: &Value, subject: &str) -> Value {
        let claims = self.site.claims(text(&challenge["nonce"]), subject, &email_of(&self.name));
        let now = self.server.clock.now().timestamp();
        let both = matches!(self.proof, Proof::Provider { proves_both_factors: true, .. });
        with(with(claims, "auth_time", now), "acr", if both { "gold" } else { "silver" })
    }

    /// Both halves, once somebody with this number has come back.
    async fn come_back(&self, challenge: &Value, subject: &str) -> Value {
        self.site.come_back_with(challenge, &self.claims(challenge, subject)).await
    }

    /// Links the account to the number that is its name.
    async fn link_provider(&self) {
        let challenge = self.site.ask_as(&self.client, "factor").await.expect(201).json();
        let halves = self.come_back(&challenge, &self.name).await;
        self.server.send(self.client.request("POST", "/account/factors").json(&halves)).await.expect(201);
    }

    async fn link_required(&self) -> Value {
        let halves = self.come_back(&self.site.ask().await, &format!("not {}", self.name)).await;
        self.login(halves).await.problem(401, "link_required").json()
    }

    /// What comes of a provider's word alone.
    async fn login_by_provider(&mut self, body: Value) -> (Response, Expected) {
        match self.proof {
            Proof::Provider { proves_both_factors: true, .. } => {
                (self.login_as_new(body).await, Expected::Login)
            }
            _ => (self.login(body).await, Expected::SecondFactorRequired),
        }
    }

    async fn do_with_provider(&mut self, deed: Deed) -> (Response, Expected) {
        self.link_provider().await;
        match deed {
            Deed::SignInByProvider => {
                let halves = self.come_back(&self.site.ask().await, &self.name).await;
                self.login_by_provider(halves).await
            }
            Deed::SignInByIdToken => {
                let challenge = self.site.ask().await;
                let id_token = self.site.id_token(&self.claims(&challenge, &self.name));
                let body = json!({ "challenge": challenge["challenge"], "id_token": id_token });
                self.login_by_provider(body).await
            }
            Deed::GoOnAfterProvider => {
                let halves = self.come_back(&self.site.ask().await, &self.name).await;
                let pending = self.login(halves).await.problem(401, "second_factor_required").json();
                let body = second_step(&pending, &self.second_factor());
                (self.login_as_new(body).await, Expected::Login)
            }
            Deed::StepUpByProvider => {
                let challenge = self.site.ask_as(&self.client, "step_up").await.expect(201).json();
                let body = self.come_back(&challenge, &self.name).await;
                let request = self.client.request("POST", &self.client.path("step-up")).json(&body);
                (self.client.send(request).await, Expected::Login)
            }
            Deed::LinkByPassword => {
                let required = self.link_required().await;
                let body = json!({ "challenge": required["challenge"], "password": PASSWORD });
                (self.login(body).await, Expected::SecondFactorRequired)
            }
            _ => {
                let required = self.link_required().await;
                self.server.clock.advance(crate::support::MINUTE);
                let asking = with(
                    challenges::asking("login", &email_of(&self.name)),
                    "challenge",
                    required["challenge"].clone(),
                );
                let asked = self.server.send(Request::post("/challenges").json(&asking)).await;
                let halves = challenges::with_its_code(self.mails, &asked.expect(201).json()).await;
                (self.login(halves.json()).await, Expected::SecondFactorRequired)
            }
        }
    }

    /// Both halves of a challenge of this login, made while its owner had nothing but the mail.
    async fn mailed_before(&self, purpose: &str) -> Value {
        let having = async |password: &str, two_step: bool| {
            let update = format!(
                "update users set password_hash = {password}, two_step = {two_step} where username = $1"
            );
            let update = sqlx::query(sqlx::AssertSqlSafe(update)).bind(&self.name);
            update.execute(&mut self.server.sql().await).await.expect("the account");
        };
        crate::nodes::sql(self.server, "delete from mail_quotas").await;
        having("null", false).await;
        let asked = passkeys::ask(self.server, &self.client, purpose, "email").await.expect(201).json();
        having("'!'", true).await;
        challenges::with_its_code(self.mails, &asked).await.json()
    }

    async fn do_it(&mut self, deed: Deed) -> (Response, Expected) {
        let credentials = self.pair.credentials(&self.name);
        match deed {
            Deed::SignInByPassword => (self.login(credentials).await, Expected::SecondFactorRequired),
            Deed::SignInByImportedPassword => {
                let update = sqlx::query("update users set password_hash = $1 where username = $2");
                let update = update.bind(IMPORTED).bind(&self.name);
                update.execute(&mut self.server.sql().await).await.expect("a hash");
                (self.login(credentials).await, Expected::SecondFactorRequired)
            }
            Deed::SignInAndStayForLong => {
                let body = with(credentials, "remember_me", true);
                (self.login(body).await, Expected::SecondFactorRequired)
            }
            Deed::GoOnWithoutACode => {
                let pending = self.login(credentials).await.problem(401, "second_factor_required").json();
                let body = json!({ "challenge": pending["challenge"], "remember_me": true });
                (self.login(body).await, Expected::Nothing)
            }
            Deed::SignInByMail => {
                let halves = self.mailed("login").await;
                (self.login(halves).await, Expected::SecondFactorRequired)
            }
            Deed::ResetByMail => {
                let halves = self.mailed("reset_password").await;
                (self.reset(halves).await, Expected::SecondFactorRequired)
            }
            Deed::Register => {
                let request = Request::post(&self.pair.mode.path("register")).json(&registration(&self.name));
                (self.server.send(request).await, Expected::Nothing)
            }
            Deed::StepUpByPassword => {
                let request = self.client.step_up_request(PASSWORD);
                (self.client.send(request).await, Expected::Login)
            }
            Deed::StepUpBySecondFactor => {
                let body = json!({ "code": self.second_factor() });
                let request = self.client.request("POST", &self.client.path("step-up")).json(&body);
                (self.client.send(request).await, Expected::Login)
            }
            Deed::StepUpByMail => {
                passkeys::ask(self.server, &self.client, "step_up", "email").await.points_at(&["/method"]);
                let halves = self.mailed("login").await;
                let request = self.client.request("POST", &self.client.path("step-up")).json(&halves);
                (self.client.send(request).await.problem(401, "challenge_expired"), Expected::Nothing)
            }
            Deed::StepUpByEarlierMail => {
                let halves = self.mailed_before("step_up").await;
                let request = self.client.request("POST", &self.client.path("step-up")).json(&halves);
                (self.client.send(request).await.problem(401, "challenge_expired"), Expected::Nothing)
            }
            Deed::Refresh => (self.client.refresh().await, Expected::Login),
            Deed::SecondFactorAlone => {
                let halves = self.mailed("login").await;
                let body = with(halves, "code", self.second_factor());
                (self.login(body).await, Expected::Nothing)
            }
            Deed::SignInByPasskey | Deed::SecurityKeyAlone => {
                let challenge = passkeys::ask_to_sign_in(self.server).await;
                let body = self.answer(&challenge);
                if deed == Deed::SecurityKeyAlone {
                    (self.login(body).await, Expected::Nothing)
                } else {
                    (self.login_as_new(body).await, Expected::Login)
                }
            }
            Deed::GoOnByKey => {
                let pending = self.login(credentials).await.problem(401, "second_factor_required").json();
                let body = self.answer(&pending);
                (self.login_as_new(body).await, Expected::Login)
            }
            Deed::StepUpByKey => {
                let asked = passkeys::ask(self.server, &self.client, "step_up", "passkey").await;
                let body = self.answer(&asked.expect(201).json());
                let request = self.client.request("POST", &self.client.path("step-up")).json(&body);
                (self.client.send(request).await, Expected::Login)
            }
            Deed::ResetByMailAndKey => {
                let halves = self.mailed("reset_password").await;
                let pending = self.reset(halves).await.problem(401, "second_factor_required").json();
                let body = self.answer(&pending);
                (self.reset(body).await.expect(204), Expected::Nothing)
            }
            Deed::ResetByKeyAlone => {
                let halves = self.mailed("reset_password").await;
                let mut challenge = passkeys::ask_to_sign_in(self.server).await;
                challenge["challenge"] = halves["challenge"].clone();
                let body = self.answer(&challenge);
                (self.reset(body).await.problem(401, "challenge_expired"), Expected::Nothing)
            }
            Deed::SignInByProvider
            | Deed::SignInByIdToken
            | Deed::GoOnAfterProvider
            | Deed::StepUpByProvider
            | Deed::LinkByPassword
            | Deed::LinkByMail => self.do_with_provider(deed).await,
            Deed::ResetByBoth => {
                let halves = self.mailed("reset_password").await;
                let pending = self.reset(halves).await.problem(401, "second_factor_required").json();
                let body = second_step(&pending, &self.second_factor());
                (self.reset(body).await, Expected::Nothing)
            }
        }
    }
}

/// Enrols the passkey or security key that the proof is by.
async fn enrol_key(server: &TestServer, client: &Client, proof: Proof) -> Option<Passkey> {
    let (key, user_verified) = match proof {
        Proof::Passkey { synced: true, user_verified, .. } => (Passkey::synced(), user_verified),
        Proof::Passkey { user_verified, .. } => (Passkey::new("passkey"), user_verified),
        Proof::SecurityKey { .. } => (Passkey::new("security_key"), true),
        _ => return None,
    };
    let key = passkeys::enrol_this(server, client, key).await;
    if user_verified {
        return Some(key);
    }
    // Beside it a passkey need not verify its user.
    passkeys::enrol(server, client, "security_key").await;
    Some(key.without_pin())
}

/// Asserts that nothing in an answer is a credential.
fn assert_gives_nothing(answer: &Response, what: &str) {
    assert!(answer.set_cookies().iter().all(|cookie| cookie.is_removal()), "{what}: {answer}");
    for token in ["session_token", "access_token", "refresh_token", "csrf_token", "login"] {
        let body = answer.text();
        assert!(!body.contains(&format!("\"{token}\"")), "{what}: {answer}");
    }
}

#[tokio::test]
async fn no_proof_alone_begins_or_raises_a_login_below_aal2_in_any_mode_by_any_transport() {
    let mails = MailServer::start().await;
    let smtp = mails.url();
    let settings = [("SMTP_URL", smtp.as_str()), ("REGISTRATION", "open"), ("EMAIL_SIGN_IN", "on")];
    let site = ProviderSite::with("aal2_acr = ['gold']\n", &settings).await;
    let server = &site.server;
    for (number, proof) in PROOFS.into_iter().enumerate() {
        for (of_pair, pair) in Pair::ALL.into_iter().enumerate() {
            for (of_deed, deed) in deeds(proof).iter().enumerate() {
                let name = format!("user-{number}-{of_pair}-{of_deed}");
                server.user(&name).await;
                crate::nodes::sql(server, "update users set email_verified_at = now()").await;
                let mut client = Client::signed_in(server, pair, &name).await;
                let authenticator = enrol(server, &client).await;
                // A token from before says less.
                client.refresh().await.ok();
                let key = enrol_key(server, &client, proof).await;
                let (site, mails, authenticator) = (&site, &mails, &authenticator);
                let mut walk = Walk { site, server, mails, authenticator, key, client, name, pair, proof };
                let what = format!("{proof:?}, {deed:?}, {pair:?}");
                let (answer, expected) = walk.do_it(*deed).await;
                match expected {
                    Expected::SecondFactorRequired => {
                        assert_gives_nothing(&answer, &what);
                        answer.problem(401, "second_factor_required");
                    }
                    Expected::Nothing => {
                        assert!(answer.status != 200, "{what}: {answer}");
                        assert_gives_nothing(&answer, &what);
                    }
                    Expected::Login => {
                        answer.expect(200);
                        let auth = walk.client.profile().await.ok()["auth"].clone();
                        assert_eq!(auth["acr"], "aal2", "{what}");
                    }
                }
            }
        }
    }
    let below = "select count(*) from logins l join users u on u.id = l.user_id
                 where u.two_step and l.aal < 2 and l.ended_at is null";
    assert_eq!(challenges::count(server, below).await, 0);
}
