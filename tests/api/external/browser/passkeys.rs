//! Passkeys and security keys in a real browser, with authenticators that it emulates.

use serde_json::{Value, json};

use super::driver::Browser;
use super::virtual_authenticator::{Model, VirtualAuthenticator};
use crate::factors::Authenticator;
use crate::support::server::{TestServer, credentials};
use crate::support::{MINUTE, with};

const MODES: [&str; 2] = ["session", "jwt"];

/// Sends a request as a page does, by cookie, with the CSRF token that the last login gave.
const FETCH: &str = "const [method, path, body, done] = arguments;
    const headers = { 'Content-Type': 'application/json', ...(window.csrf ? { 'X-CSRF-Token': window.csrf } : {}) };
    fetch(path, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body) }).then(async (response) => {
        const text = await response.text();
        const json = text === '' ? null : JSON.parse(text);
        window.csrf = json?.csrf_token ?? window.csrf;
        done([response.status, json]);
    }).catch((error) => done([0, String(error)]));";

/// Has an authenticator make a credential, for the options as they came.
const CREATE: &str = "const [options, done] = arguments;
    (async () => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }))()
        .then((made) => done(made.toJSON()), (error) => done(error.name));";

/// Has an authenticator prove itself, for the options as they came.
const GET: &str = "const [options, done] = arguments;
    (async () => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }))()
        .then((used) => done(used.toJSON()), (error) => done(error.name));";

/// A page of the server, and what its scripts do there.
struct Page {
    browser: Browser,
    server: TestServer,
}

impl Page {
    async fn open() -> Self {
        let page = Self { server: TestServer::start().await, browser: Browser::start().await };
        page.go_to("localhost").await;
        page
    }

    /// Opens a page that does nothing by itself, at this name of the machine.
    async fn go_to(&self, host: &str) {
        self.browser.goto(&format!("http://{host}:{}/docs/", self.server.address().port())).await;
    }

    async fn add(&self, model: Model) -> VirtualAuthenticator<'_> {
        VirtualAuthenticator::add(&self.browser, model).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u64, Value) {
        let answer = self.browser.run_async(FETCH, vec![json!(method), json!(path), body]).await;
        (answer[0].as_u64().expect("a status"), answer[1].clone())
    }

    #[track_caller]
    fn taken((status, body): (u64, Value)) -> Value {
        assert!((200..300).contains(&status), "{status}: {body}");
        body
    }

    #[track_caller]
    fn refused((status, body): (u64, Value), expected: u64, code: &str) -> Value {
        assert_eq!((status, &body["code"]), (expected, &json!(code)), "{body}");
        body
    }

    async fn log_in(&self, mode: &str, proof: Value) -> (u64, Value) {
        self.send("POST", &format!("/{mode}/login"), with(proof, "transport", "cookie")).await
    }

    async fn log_out(&self, mode: &str) {
        Self::taken(self.send("POST", &format!("/{mode}/logout"), json!({})).await);
    }

    /// How the login was proved, and how well. A session shows it at once, a JWT after a refresh.
    async fn proofs(&self, mode: &str) -> (Value, Value) {
        Self::taken(self.send("POST", &format!("/{mode}/refresh"), json!({})).await);
        let profile = Self::taken(self.send("GET", &format!("/{mode}/profile"), json!({})).await);
        (profile["auth"]["amr"].clone(), profile["auth"]["acr"].clone())
    }

    async fn ask(&self, purpose: &str, method: &str) -> Value {
        Self::taken(self.send("POST", "/challenges", json!({ "for": purpose, "method": method })).await)
    }

    /// What the browser makes of the options of a new credential; or the name of its error.
    async fn create(&self, options: &Value) -> Value {
        self.browser.run_async(CREATE, vec![options.clone()]).await
    }

    /// What the browser makes of the options of a use; or the name of its error.
    async fn get(&self, options: &Value) -> Value {
        self.browser.run_async(GET, vec![options.clone()]).await
    }

    async fn enrol_with(&self, challenge: &Value, answer: Value) -> (u64, Value) {
        assert!(answer.is_object(), "{answer}");
        self.send("POST", "/account/factors", halves(challenge, answer)).await
    }

    /// Enrols a `passkey` or `security_key`.
    async fn enrol(&self, kind: &str) -> Value {
        let challenge = self.ask("factor", kind).await;
        let answer = self.create(&challenge["passkey"]).await;
        Self::taken(self.enrol_with(&challenge, answer).await)
    }

    /// A new user, signed in by the password.
    async fn sign_up(&self, mode: &str, name: &str) {
        self.server.user(name).await;
        Self::taken(self.log_in(mode, credentials(name)).await);
    }

    /// What an authenticator makes of a challenge to use it.
    async fn use_for(&self, challenge: &Value) -> Value {
        let answer = self.get(&challenge["passkey"]).await;
        assert!(answer.is_object(), "{answer}");
        halves(challenge, answer)
    }

    async fn log_in_without_a_name(&self, mode: &str) -> (u64, Value) {
        let challenge = self.ask("login", "passkey").await;
        self.log_in(mode, self.use_for(&challenge).await).await
    }

    async fn stop(self) {
        self.browser.stop().await;
    }
}

fn halves(challenge: &Value, answer: Value) -> Value {
    json!({ "challenge": challenge["challenge"], "passkey": answer })
}

fn aal2(amr: &[&str]) -> (Value, Value) {
    (json!(amr), json!("aal2"))
}

#[tokio::test]
async fn a_passkey_signs_in_without_a_name_steps_up_and_takes_the_second_step_in_both_modes() {
    let page = Page::open().await;
    for (mode, other, name) in [("session", "jwt", "ada"), ("jwt", "session", "bea")] {
        let device = page.add(Model::device()).await;
        page.sign_up(mode, name).await;
        let enrolled = page.enrol("passkey").await;
        assert_eq!((&enrolled["kind"], &enrolled["synced"]), (&json!("passkey"), &json!(false)));
        assert_eq!(page.proofs(mode).await, aal2(&["pwd", "hwk", "user", "mfa"]));
        page.log_out(mode).await;

        for into in MODES {
            // A user's own tries are paced.
            page.server.clock.advance(MINUTE);
            let login = Page::taken(page.log_in_without_a_name(into).await);
            assert_eq!(login["user"]["username"], name);
            assert_eq!(page.proofs(into).await, aal2(&["hwk", "user", "mfa"]));
            page.log_out(into).await;

            Page::taken(page.log_in(into, credentials(name)).await);
            assert_eq!(page.proofs(into).await, (json!(["pwd"]), json!("aal1")));
            let challenge = page.ask("step_up", "passkey").await;
            let proof = page.use_for(&challenge).await;
            Page::taken(page.send("POST", &format!("/{into}/step-up"), proof.clone()).await);
            assert_eq!(page.proofs(into).await, aal2(&["pwd", "hwk", "user", "mfa"]));
            let again = page.send("POST", &format!("/{into}/step-up"), proof).await;
            Page::refused(again, 401, "challenge_expired");
            page.log_out(into).await;
        }

        // With two-step sign-in it is the second step after a password, in the other mode than the first.
        Page::taken(page.log_in_without_a_name(mode).await);
        let totp = page.ask("factor", "totp").await;
        let code = Authenticator::of(&totp).code_in(&page.server, 0);
        let proof = json!({ "challenge": totp["challenge"], "code": code });
        Page::taken(page.send("POST", "/account/factors", proof).await);
        page.log_out(mode).await;
        let pending =
            Page::refused(page.log_in(mode, credentials(name)).await, 401, "second_factor_required");
        assert_eq!(pending["methods"], json!(["totp", "recovery_code", "passkey"]));
        Page::taken(page.log_in(other, page.use_for(&pending).await).await);
        assert_eq!(page.proofs(other).await, aal2(&["pwd", "hwk", "user", "mfa"]));
        page.log_out(other).await;
        device.remove().await;
    }
    page.stop().await;
}

#[tokio::test]
async fn each_algorithm_that_is_offered_works_as_browsers_implement_it() {
    let page = Page::open().await;
    page.sign_up("session", "ada").await;
    for algorithm in [-8, -7, -257] {
        let device = page.add(Model::device()).await;
        let challenge = page.ask("factor", "passkey").await;
        let mut options = challenge["passkey"].clone();
        let offered = options["pubKeyCredParams"].as_array_mut().expect("a list");
        offered.retain(|offer| offer["alg"] == algorithm);
        assert_eq!(offered.len(), 1, "{algorithm}");
        let answer = page.create(&options).await;
        assert_eq!(answer["response"]["publicKeyAlgorithm"], algorithm);
        Page::taken(page.enrol_with(&challenge, answer).await);
        // It counts its uses, so that each is more than the last.
        for mode in MODES {
            Page::taken(page.log_in_without_a_name(mode).await);
            page.log_out(mode).await;
        }
        Page::taken(page.log_in("session", credentials("ada")).await);
        device.remove().await;
    }
    page.stop().await;
}

#[tokio::test]
async fn an_authenticator_that_does_not_verify_its_user_is_a_security_key_and_no_passkey() {
    let page = Page::open().await;
    for (model, name) in [(Model::key(), "ada"), (Model::u2f_key(), "bea")] {
        let key = page.add(model).await;
        page.sign_up("session", name).await;
        let challenge = page.ask("factor", "passkey").await;
        assert_eq!(page.create(&challenge["passkey"]).await, "NotAllowedError", "the browser sees to it");
        // A page that asks for less than the server does.
        let mut options = challenge["passkey"].clone();
        options["authenticatorSelection"] =
            json!({ "residentKey": "discouraged", "userVerification": "discouraged" });
        let answer = page.create(&options).await;
        Page::refused(page.enrol_with(&challenge, answer).await, 401, "invalid_code");
        key.remove().await;

        let key = page.add(if name == "ada" { Model::key() } else { Model::u2f_key() }).await;
        let enrolled = page.enrol("security_key").await;
        assert_eq!((&enrolled["kind"], &enrolled["synced"]), (&json!("security_key"), &json!(false)));
        assert_eq!(enrolled["recovery_codes"].as_array().map(Vec::len), Some(10));
        assert_eq!(page.proofs("session").await, aal2(&["pwd", "hwk", "mfa"]));
        page.log_out("session").await;
        for (mode, other) in [("session", "jwt"), ("jwt", "session")] {
            let pending = page.log_in(mode, credentials(name)).await;
            let pending = Page::refused(pending, 401, "second_factor_required");
            assert_eq!(pending["methods"], json!(["recovery_code", "passkey"]));
            Page::taken(page.log_in(other, page.use_for(&pending).await).await);
            assert_eq!(page.proofs(other).await, aal2(&["pwd", "hwk", "mfa"]));
            let challenge = page.ask("step_up", "passkey").await;
            let proof = page.use_for(&challenge).await;
            Page::taken(page.send("POST", &format!("/{other}/step-up"), proof).await);
            page.log_out(other).await;
        }
        // It is no way to sign in without a name.
        let challenge = page.ask("login", "passkey").await;
        assert_eq!(page.get(&challenge["passkey"]).await, "NotAllowedError");
        let kept = key.credentials().await;
        let mut options = challenge["passkey"].clone();
        options["allowCredentials"] = json!([{ "type": "public-key", "id": kept[0]["credentialId"] }]);
        options["userVerification"] = json!("discouraged");
        let answer = page.get(&options).await;
        Page::refused(page.log_in("session", halves(&challenge, answer)).await, 401, "invalid_code");
        key.remove().await;
    }
    page.stop().await;
}

#[tokio::test]
async fn a_passkey_that_verifies_nobody_is_a_second_step_only_where_a_security_key_would_be_one() {
    let page = Page::open().await;
    page.sign_up("session", "ada").await;
    let device = page.add(Model::key_with_pin()).await;
    page.enrol("passkey").await;
    // The browser asks for the PIN whenever it can: this is one that asks for none where it need not.
    let without_pin =
        |challenge: &Value| with(challenge["passkey"].clone(), "userVerification", "discouraged");
    let challenge = page.ask("step_up", "passkey").await;
    assert_eq!(challenge["passkey"]["userVerification"], "required");
    device.recognize_user(false).await;
    let answer = page.get(&without_pin(&challenge)).await;
    let refused = page.send("POST", "/session/step-up", halves(&challenge, answer)).await;
    Page::refused(refused, 401, "invalid_code");
    device.recognize_user(true).await;
    let passkey = device.credentials().await[0].clone();
    device.remove().await;

    let key = page.add(Model::key()).await;
    page.server.clock.advance(MINUTE);
    page.enrol("security_key").await;
    key.remove().await;
    page.log_out("session").await;
    let device = page.add(Model::key_with_pin()).await;
    device.import(passkey).await;
    for (mode, recognizes, amr) in
        [("session", true, &["pwd", "hwk", "user", "mfa"][..]), ("jwt", false, &["pwd", "hwk", "mfa"])]
    {
        page.server.clock.advance(MINUTE);
        device.recognize_user(recognizes).await;
        let pending =
            Page::refused(page.log_in(mode, credentials("ada")).await, 401, "second_factor_required");
        assert_eq!(pending["passkey"]["userVerification"], "preferred");
        let options = if recognizes { pending["passkey"].clone() } else { without_pin(&pending) };
        let answer = page.get(&options).await;
        Page::taken(page.log_in(mode, halves(&pending, answer)).await);
        assert_eq!(page.proofs(mode).await, aal2(amr));
        page.log_out(mode).await;
    }
    page.stop().await;
}

#[tokio::test]
async fn a_passkey_whose_user_is_not_recognized_proves_nothing() {
    let page = Page::open().await;
    let device = page.add(Model::device()).await;
    page.sign_up("session", "ada").await;
    page.enrol("passkey").await;
    page.log_out("session").await;
    device.recognize_user(false).await;
    let challenge = page.ask("login", "passkey").await;
    assert_eq!(page.get(&challenge["passkey"]).await, "NotAllowedError", "the browser sees to it");
    // A page that asks for less than the server does.
    let options = with(challenge["passkey"].clone(), "userVerification", "discouraged");
    let answer = page.get(&options).await;
    Page::refused(page.log_in("session", halves(&challenge, answer)).await, 401, "invalid_code");
    device.recognize_user(true).await;
    Page::taken(page.log_in("session", page.use_for(&challenge).await).await);
    page.stop().await;
}

#[tokio::test]
async fn a_synced_passkey_is_known_as_one_and_stays_what_it_was() {
    let page = Page::open().await;
    let device = page.add(Model::synced()).await;
    page.sign_up("session", "ada").await;
    let challenge = page.ask("factor", "security_key").await;
    // The browser offers keys to plug in alone; a page may ask for more.
    let mut options = challenge["passkey"].clone();
    options["authenticatorSelection"] = json!({ "residentKey": "required", "userVerification": "required" });
    options["hints"] = json!([]);
    let answer = page.create(&options).await;
    Page::refused(page.enrol_with(&challenge, answer).await, 422, "validation_failed");
    device.remove().await;

    let device = page.add(Model::synced()).await;
    let enrolled = page.enrol("passkey").await;
    assert_eq!((&enrolled["kind"], &enrolled["synced"]), (&json!("passkey"), &json!(true)));
    assert_eq!(page.proofs("session").await, aal2(&["pwd", "swk", "user", "mfa"]));
    page.log_out("session").await;
    for (mode, is_backed_up) in [("session", true), ("jwt", false)] {
        device.change_backup(json!({ "backupState": is_backed_up })).await;
        Page::taken(page.log_in_without_a_name(mode).await);
        assert_eq!(page.proofs(mode).await, aal2(&["swk", "user", "mfa"]));
        page.log_out(mode).await;
    }
    device.change_backup(json!({ "backupEligibility": false, "backupState": false })).await;
    Page::refused(page.log_in_without_a_name("session").await, 401, "invalid_code");
    device.change_backup(json!({ "backupEligibility": true })).await;
    Page::taken(page.log_in_without_a_name("session").await);
    page.stop().await;
}

#[tokio::test]
async fn an_authenticator_is_enrolled_once_and_a_copy_of_it_is_found_out_by_its_counter() {
    let page = Page::open().await;
    let device = page.add(Model::device()).await;
    page.sign_up("session", "ada").await;
    page.enrol("passkey").await;
    let before = device.credentials().await;
    let challenge = page.ask("factor", "passkey").await;
    assert_eq!(page.create(&challenge["passkey"]).await, "InvalidStateError");
    assert_eq!(device.credentials().await, before, "it keeps the one it had");
    // For another user of the same device there is another one.
    page.log_out("session").await;
    page.sign_up("session", "bea").await;
    page.enrol("passkey").await;
    assert_eq!(device.credentials().await.len(), 2);
    page.log_out("session").await;

    device.remove().await;
    let device = page.add(Model::device()).await;
    device.import(before[0].clone()).await;
    for _ in 0..2 {
        let login = Page::taken(page.log_in_without_a_name("session").await);
        assert_eq!(login["user"]["username"], "ada");
        page.log_out("session").await;
    }
    device.remove().await;
    let copy = page.add(Model::device()).await;
    copy.import(before[0].clone()).await;
    Page::refused(page.log_in_without_a_name("session").await, 401, "invalid_code");
    page.stop().await;
}

#[tokio::test]
async fn a_key_is_enrolled_once_whatever_it_was_enrolled_as() {
    let page = Page::open().await;
    let model = || Model::key_with_pin();
    let key = page.add(model()).await;
    page.sign_up("session", "ada").await;
    page.enrol("passkey").await;
    for kind in ["security_key", "passkey"] {
        let challenge = page.ask("factor", kind).await;
        assert_eq!(page.create(&challenge["passkey"]).await, "InvalidStateError", "{kind}");
    }
    assert_eq!(key.credentials().await.len(), 1);
    key.remove().await;
    let key = page.add(model()).await;
    page.enrol("security_key").await;
    for kind in ["security_key", "passkey"] {
        let challenge = page.ask("factor", kind).await;
        assert_eq!(page.create(&challenge["passkey"]).await, "InvalidStateError", "{kind}");
    }
    key.remove().await;
    page.stop().await;
}

#[tokio::test]
async fn passkeys_work_at_this_machines_name_and_not_at_its_address() {
    let page = Page::open().await;
    page.add(Model::device()).await;
    page.go_to("127.0.0.1").await;
    page.sign_up("session", "ada").await;
    let made = page.ask("factor", "passkey").await;
    assert_eq!(page.create(&made["passkey"]).await, "SecurityError");
    let used = page.ask("login", "passkey").await;
    assert_eq!(page.get(&used["passkey"]).await, "SecurityError");
    page.log_out("session").await;
    page.go_to("localhost").await;
    Page::taken(page.log_in("session", credentials("ada")).await);
    page.enrol("passkey").await;
    page.log_out("session").await;
    Page::taken(page.log_in_without_a_name("jwt").await);
    page.stop().await;
}

/// Offers passkeys by autofill, and perhaps takes the offer back.
const OFFER: &str = "const [options, isWithdrawn, done] = arguments;
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const [controller, field] = [new AbortController(), document.createElement('input')];
    field.autocomplete = 'username webauthn';
    document.body.append(field);
    field.focus();
    if (isWithdrawn) setTimeout(() => controller.abort(), 0);
    navigator.credentials.get({ publicKey, mediation: 'conditional', signal: controller.signal })
        .then((used) => done(used.toJSON()), (error) => done(error.name));";

#[tokio::test]
async fn passkeys_can_be_offered_by_autofill_and_a_challenge_that_ran_out_is_renewed() {
    let page = Page::open().await;
    let device = page.add(Model::device()).await;
    page.sign_up("session", "ada").await;
    page.enrol("passkey").await;
    page.log_out("session").await;
    let available = "PublicKeyCredential.isConditionalMediationAvailable().then(arguments[0])";
    assert_eq!(page.browser.run_async(available, vec![]).await, true);
    let offer = async |challenge: &Value, is_withdrawn: bool| {
        let arguments = vec![challenge["passkey"].clone(), json!(is_withdrawn)];
        page.browser.run_async(OFFER, arguments).await
    };
    for mode in MODES {
        let challenge = page.ask("login", "passkey").await;
        let answer = offer(&challenge, false).await;
        // The offer stood too long before it was taken: the page asks anew and offers again.
        page.server.clock.advance(11 * MINUTE);
        let late = page.log_in(mode, halves(&challenge, answer)).await;
        Page::refused(late, 401, "challenge_expired");
        let renewed = page.ask("login", "passkey").await;
        let answer = offer(&renewed, false).await;
        Page::taken(page.log_in(mode, halves(&renewed, answer)).await);
        page.log_out(mode).await;
    }
    // Nobody takes it: the page takes it back, to offer something else by the same challenge.
    device.remove().await;
    let challenge = page.ask("login", "passkey").await;
    assert_eq!(offer(&challenge, true).await, "AbortError");
    page.stop().await;
}
