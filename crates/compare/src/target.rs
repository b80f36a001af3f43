//! Target files (`--target FILE`): how a system under test is started, and the HTTP requests of sign-in, measured request,
//! refresh and logout. dualauth itself is described in this format, in `dualauth.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::CompareError;

/// The target file of dualauth itself.
const DUALAUTH: &str = include_str!("dualauth.toml");

/// A system under test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name in the report.
    pub name: String,
    /// Its origin, if it runs already; then there is no `start`.
    pub url: Option<Url>,
    /// How it is started; then there is no `url`.
    pub start: Option<Start>,
    /// The request that registers the account `{username}` with `{password}` and `{email}`. Not given: the account exists, and
    /// its name and password are written in the steps of `sign_in`.
    pub register: Option<Step>,
    /// Its variants, in the file as `[[variant]]`.
    #[serde(rename = "variant")]
    pub variants: Vec<VariantSpec>,
    /// The folder of the file, which is the working directory of its commands.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// How a server is started. `{port}` stands for the port to listen on, `{database_url}` for a Postgres database of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program and its arguments. It is stopped by SIGTERM.
    pub command: Vec<String>,
    /// Commands that run once before it, such as migrations.
    #[serde(default)]
    pub prepare: Vec<Vec<String>>,
    /// The environment of all these commands, besides `PATH`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Changes of the environment where memory and disk per login are measured: cheap password hashes, since thousands of
    /// sign-ins are needed there.
    #[serde(default)]
    pub when_weighed: BTreeMap<String, String>,
    /// A path that is answered by 200 once the server is ready.
    pub ready: String,
}

/// One variant of authentication: a credential, its transport, and the requests to get, use and revoke it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// `session` or `jwt`.
    pub mode: AuthMode,
    /// `cookie` or `bearer`.
    pub transport: CredentialTransport,
    /// The signature algorithm of tokens. Shown in the report only.
    pub algorithm: Option<String>,
    /// Where a session is looked up. Shown in the report only.
    pub lookup: Option<String>,
    /// Whether and how a token is revoked. Shown in the report only.
    pub revocation: Option<String>,
    /// The requests that sign in as `{username}` with `{password}`, in this order.
    pub sign_in: Vec<Step>,
    /// The measured request, which returns the signed-in user. `owner` is searched in its response, so that a response for
    /// another user is an error.
    pub call: Step,
    /// Text that the response body must contain, such as `"username":"{username}"`.
    pub owner: String,
    /// The request that replaces the credential by a new one.
    pub refresh: Option<Step>,
    /// The logout request.
    pub sign_out: Step,
    /// The status code of `call` after the logout.
    #[serde(default = "unauthorized")]
    pub refused: u16,
}

fn unauthorized() -> u16 {
    401
}

/// The kind of credential: a session is looked up by the server, a JWT is verified by its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = ComparedMode)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "described with the type")]
pub enum AuthMode {
    Session,
    Jwt,
}

impl AuthMode {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Jwt => "jwt",
        }
    }
}

/// How a client carries its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Transport)]
#[serde(rename_all = "lowercase")]
pub enum CredentialTransport {
    /// In cookies, as in browsers.
    Cookie,
    /// In `Authorization: Bearer`, as in mobile apps and SPAs (RFC 6750).
    Bearer,
}

impl CredentialTransport {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
        }
    }
}

/// A request, the expected status, and the values to extract from the response. In its texts `{name}` stands for a value of
/// that name: `username`, `password`, `email`, or one that an earlier step has extracted with `keep`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The method and the path: `POST /login`.
    pub request: String,
    /// Headers besides `Host`, `Content-Type` and `Content-Length`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// An `application/x-www-form-urlencoded` body.
    pub form: Option<BTreeMap<String, String>>,
    /// The expected status code.
    #[serde(default = "ok")]
    pub status: u16,
    /// Values to extract from the response, by the names that later steps use.
    #[serde(default)]
    pub keep: BTreeMap<String, Source>,
}

fn ok() -> u16 {
    200
}

/// Where a value is in a response.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// The value of a cookie in `Set-Cookie`.
    Cookie(String),
    /// A JSON pointer into the body (RFC 6901).
    Json(String),
}

impl Target {
    /// dualauth itself, without `start` and `url`: its nodes depend on the configuration.
    ///
    /// # Errors
    /// Never: a unit test parses the built-in file.
    pub(super) fn dualauth(is_https: bool) -> Result<Self, CompareError> {
        // The cookies' name prefixes require https.
        let text = if is_https {
            DUALAUTH.to_owned()
        } else {
            DUALAUTH.replace("__Host-", "").replace("__Secure-", "")
        };
        Self::parse(&text, Path::new("dualauth.toml"))
    }

    /// Reads a target file.
    ///
    /// # Errors
    /// When it can't be read, is malformed, or has not exactly one of `url` and `start`.
    pub fn read(path: &Path) -> Result<Self, CompareError> {
        let failed = |reason: String| CompareError::Target { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let target = Self::parse(&text, path)?;
        if target.url.is_some() == target.start.is_some() {
            return Err(failed("it needs either `url` or `start`".to_owned()));
        }
        let folder = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
        Ok(Self { folder, ..target })
    }

    fn parse(text: &str, path: &Path) -> Result<Self, CompareError> {
        toml::from_str(text)
            .map_err(|error| CompareError::Target { path: path.to_owned(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dualauth_has_both_modes_in_both_transports() {
        let target = Target::dualauth(true).expect("it is well-formed");
        let variants: Vec<_> = target.variants.iter().map(|spec| (spec.mode, spec.transport)).collect();
        let (session, jwt) = (AuthMode::Session, AuthMode::Jwt);
        let (cookie, bearer) = (CredentialTransport::Cookie, CredentialTransport::Bearer);
        assert_eq!(variants, [(session, cookie), (session, bearer), (jwt, cookie), (jwt, bearer)]);
    }

    #[test]
    fn what_is_misspelt_in_a_target_is_told() {
        let error = Target::parse("name = 'x'\nvarient = []", Path::new("x.toml")).expect_err("a slip");
        assert!(error.to_string().contains("varient"), "{error}");
    }
}
