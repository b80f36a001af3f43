//! A test user as an HTTP client: runs the steps of a target (registration, sign-in, logout), and keeps the values that
//! their responses contain, such as credentials.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::CompareError;
use super::http::{Connection, Response};
use super::target::{Source, Step, VariantSpec};

/// Retries of a request that is answered by 503 with `Retry-After`.
const MAX_RETRIES: usize = 3;
/// The longest wait before a retry, in seconds.
const MAX_RETRY_WAIT_S: u64 = 5;

/// A user's values, by the names that a target's steps use: `username`, `password`, `email`, and what earlier steps have
/// extracted.
#[derive(Clone, Debug, Default)]
pub(super) struct TestUser {
    values: BTreeMap<String, String>,
}

/// A request as bytes to send repeatedly, and what identifies a correct response.
#[derive(Clone, Debug)]
pub(super) struct PreparedRequest {
    pub(super) request: Vec<u8>,
    pub(super) status: u16,
    /// Text that the body must contain. Empty: any body is accepted.
    pub(super) owner: String,
}

impl PreparedRequest {
    /// The request line, for error messages.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.request).lines().next().unwrap_or_default().to_owned()
    }

    /// Whether a response has the expected status and belongs to the expected user.
    pub(super) fn is_answered_by(&self, response: &Response<'_>) -> bool {
        let owner = self.owner.as_bytes();
        let body = &response.body;
        response.status == self.status
            && (owner.is_empty() || body.windows(owner.len()).any(|part| part == owner))
    }
}

impl TestUser {
    /// A user with this name and password.
    pub(super) fn named(username: &str, password: &str) -> Self {
        let email = format!("{username}@example.com");
        let values = [("username", username), ("password", password), ("email", &email)];
        Self { values: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
    }

    /// All values, among them credentials.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.values().map(String::as_str)
    }

    /// The value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Keeps a value for later steps.
    pub(super) fn keep(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// Sends a step's request and extracts its values. A 503 with `Retry-After` is retried.
    ///
    /// # Errors
    /// When the status is not the expected one, or a value is missing.
    pub(super) fn run_step(&mut self, step: &Step, connection: &mut Connection) -> Result<(), CompareError> {
        let request = self.request(step, connection.host());
        let failed = |reason: String| CompareError::Step { request: step.request.clone(), reason };
        let mut retries_left = MAX_RETRIES;
        loop {
            let response = connection.exchange(&request).map_err(|error| failed(error.to_string()))?;
            match retry_after(&response).filter(|_| retries_left > 0) {
                Some(pause) => std::thread::sleep(pause),
                None => return self.extract_values(step, &response),
            }
            retries_left -= 1;
        }
    }

    fn extract_values(&mut self, step: &Step, response: &Response<'_>) -> Result<(), CompareError> {
        let failed = |reason: String| CompareError::Step { request: step.request.clone(), reason };
        if response.status != step.status {
            let body = String::from_utf8_lossy(&response.body);
            return Err(failed(format!("answered {} and not {}: {body}", response.status, step.status)));
        }
        for (name, source) in &step.keep {
            let value = source.find(response).ok_or_else(|| failed(format!("no {source} in the answer")))?;
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Runs the sign-in steps of a variant.
    pub(super) fn sign_in(
        &mut self,
        spec: &VariantSpec,
        connection: &mut Connection,
    ) -> Result<(), CompareError> {
        spec.sign_in.iter().try_for_each(|step| self.run_step(step, connection))
    }

    /// The measured request of a variant, with this user's credential.
    pub(super) fn call(&self, spec: &VariantSpec, host: &str) -> PreparedRequest {
        PreparedRequest {
            request: self.request(&spec.call, host),
            status: spec.call.status,
            owner: self.fill_in(&spec.owner),
        }
    }

    /// A step's request as bytes.
    pub(super) fn request(&self, step: &Step, host: &str) -> Vec<u8> {
        let mut text = format!("{} HTTP/1.1\r\nHost: {host}\r\n", self.fill_in(&step.request));
        for (name, value) in &step.headers {
            text += &format!("{name}: {}\r\n", self.fill_in(value));
        }
        match self.body(step) {
            Some((kind, body)) => {
                text += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
            None if step.request.starts_with("GET ") => text += "\r\n",
            None => text += "Content-Length: 0\r\n\r\n",
        }
        text.into_bytes()
    }

    fn body(&self, step: &Step) -> Option<(&'static str, String)> {
        if let Some(json) = &step.json {
            return Some(("application/json", self.fill_in_json(json).to_string()));
        }
        let form = step.form.as_ref()?;
        let pairs = form.iter().map(|(name, value)| (name, self.fill_in(value)));
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Some(("application/x-www-form-urlencoded", form))
    }

    fn fill_in_json(&self, json: &Value) -> Value {
        match json {
            Value::String(text) => self.fill_in(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill_in_json(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.fill_in_json(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn fill_in(&self, text: &str) -> String {
        fill_in(text, &self.values)
    }
}

/// The wait that a 503 asks for (RFC 9110, section 10.2.3), at most [`MAX_RETRY_WAIT_S`]. `None`: not to be retried.
fn retry_after(response: &Response<'_>) -> Option<Duration> {
    if response.status != 503 {
        return None;
    }
    let headers = response.headers();
    let (_, seconds) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    seconds.parse().ok().map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_WAIT_S)))
}

/// Replaces each `{name}` by its value. An unknown name is left as it is.
pub(super) fn fill_in(text: &str, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

impl Source {
    fn find(&self, response: &Response<'_>) -> Option<String> {
        match self {
            Self::Cookie(name) => {
                let headers = response.headers();
                let set = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
                let mut pairs = set.filter_map(|(_, cookie)| cookie.split(';').next()?.split_once('='));
                pairs.find(|(found, _)| found == name).map(|(_, value)| value.to_owned())
            }
            Self::Json(pointer) => {
                let body: Value = serde_json::from_slice(&response.body).ok()?;
                body.pointer(pointer)?.as_str().map(str::to_owned)
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Json(pointer) => write!(f, "string at {pointer}"),
        }
    }
}
