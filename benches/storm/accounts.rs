//! Whoever signs in at the node, and what the node needs for it.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};

use crate::node::Node;

impl Node {
    /// Opens an account.
    pub(crate) fn register(&self, username: &str, password: &str) -> anyhow::Result<()> {
        let email = format!("{username}@example.com");
        self.post("/jwt/register", &json!({"username": username, "email": email, "password": password}))?;
        Ok(())
    }

    /// Gives an access token.
    pub(crate) fn sign_in(&self, username: &str, password: &str) -> anyhow::Result<String> {
        let body = self.post("/jwt/login", &json!({"username": username, "password": password}))?;
        let token = body["access_token"].as_str();
        token.map(str::to_owned).with_context(|| format!("no access token in {body}"))
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = ureq::post(self.url(path)).content_type("application/json");
        let answer = request.send(body.to_string())?.into_body().read_to_string()?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// The most that it ever held, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()).context("no VmHWM")?;
        Ok(kib.parse::<u64>()? / 1_024)
    }
}
