//! Authenticators that the browser emulates, by WebDriver's commands for them (Web Authentication Level 3, section 11).

use http::Method;
use serde_json::{Value, json};

use super::driver::Browser;
use crate::support::{text, with};

/// What kind of authenticator it is (section 11.2, "Authenticator Configuration").
pub struct Model(Value);

impl Model {
    /// That of a telephone or laptop: it keeps passkeys, and verifies its user by PIN or biometrics.
    pub fn device() -> Self {
        Self(json!({
            "protocol": "ctap2", "transport": "internal",
            "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true,
        }))
    }

    /// A device that copies its passkeys to the user's others.
    pub fn synced() -> Self {
        let model = with(Self::device().0, "defaultBackupEligibility", true);
        Self(with(model, "defaultBackupState", true))
    }

    /// A key to plug in, without PIN.
    pub fn key() -> Self {
        Self(json!({ "protocol": "ctap2", "transport": "usb", "hasResidentKey": true }))
    }

    /// A key to plug in that verifies its user by PIN or fingerprint.
    pub fn key_with_pin() -> Self {
        Self(with(Self::device().0, "transport", "usb"))
    }

    /// A key to plug in of the time before passkeys, of the FIDO U2F standard.
    pub fn u2f_key() -> Self {
        Self(json!({ "protocol": "ctap1/u2f", "transport": "usb" }))
    }
}

/// An authenticator of the browser's, until it is removed. It consents to whatever it is asked.
pub struct VirtualAuthenticator<'a> {
    browser: &'a Browser,
    path: String,
}

impl<'a> VirtualAuthenticator<'a> {
    pub async fn add(browser: &'a Browser, Model(properties): Model) -> Self {
        let id = browser.command(Method::POST, "webauthn/authenticator", Some(properties)).await;
        Self { browser, path: format!("webauthn/authenticator/{}", text(&id)) }
    }

    pub async fn remove(self) {
        self.browser.command(Method::DELETE, &self.path, None).await;
    }

    /// Whether it recognizes its user from now on.
    pub async fn recognize_user(&self, recognizes: bool) {
        let body = json!({ "isUserVerified": recognizes });
        self.browser.command(Method::POST, &format!("{}/uv", self.path), Some(body)).await;
    }

    /// What it keeps (section 11.5, "Credential Parameters"), with private keys.
    pub async fn credentials(&self) -> Vec<Value> {
        let kept = self.browser.command(Method::GET, &format!("{}/credentials", self.path), None).await;
        kept.as_array().expect("a list").clone()
    }

    /// Gives it a credential of another one.
    pub async fn import(&self, credential: Value) {
        self.browser.command(Method::POST, &format!("{}/credential", self.path), Some(credential)).await;
    }

    /// Changes `backupEligibility` or `backupState` of its only credential.
    pub async fn change_backup(&self, properties: Value) {
        let credentials = self.credentials().await;
        let path = format!("{}/credentials/{}/props", self.path, text(&credentials[0]["credentialId"]));
        self.browser.command(Method::POST, &path, Some(properties)).await;
    }
}
