//! What a system is to the comparison: how it is started, how one signs in, and how one shows that from then on. The
//! format of `--target FILE`; dualauth itself is described in it, in `dualauth.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::CompareError;

/// dualauth, as its users would describe it.
const DUALAUTH: &str = include_str!("dualauth.toml");

/// A system that is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What it is called.
    pub name: String,
    /// Where it runs. Not given: it is started.
    pub url: Option<Url>,
    /// How it is started.
    pub start: Option<Start>,
    /// What opens the account `{username}` with `{password}` and `{email}`. Not given: there is one, and the steps of
    /// `sign_in` have its name and its password in them.
    pub register: Option<Step>,
    /// The ways to be somebody there.
    #[serde(rename = "variant")]
    pub variants: Vec<VariantSpec>,
    /// The folder of the file, where commands run.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// How a server is started. `{port}` stands for where it is to listen, `{database_url}` for a Postgres database of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program and its arguments. It is told to stop by SIGTERM.
    pub command: Vec<String>,
    /// Commands that run before it, once.
    #[serde(default)]
    pub prepare: Vec<Vec<String>>,
    /// The environment of all of them, besides `PATH`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What is different in the environment of the one whose logins are weighed: a password hash that costs next to
    /// nothing, since thousands of logins begin there.
    #[serde(default)]
    pub when_weighed: BTreeMap<String, String>,
    /// A path that is answered by 200 when it is ready.
    pub ready: String,
}

/// One way to be somebody.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// `session` or `jwt`.
    pub mode: CredentialKind,
    /// `cookie` or `bearer`.
    pub transport: Transport,
    /// How tokens are signed; for people.
    pub algorithm: Option<String>,
    /// Where a session is looked up; for people.
    pub lookup: Option<String>,
    /// Whether and how a token is revoked; for people.
    pub revocation: Option<String>,
    /// What has to be sent, in this order, to sign in as `{username}` with `{password}`.
    pub sign_in: Vec<Step>,
    /// Who am I. The answer has to have `owner` in its body, so that no other's is taken for it.
    pub call: Step,
    /// What the body has to have, such as `"username":"{username}"`.
    pub owner: String,
    /// A new credential for an old one.
    pub refresh: Option<Step>,
    /// The end.
    pub sign_out: Step,
    /// The status code that `call` is answered by from then on.
    #[serde(default = "unauthorized")]
    pub refused: u16,
}

fn unauthorized() -> u16 {
    401
}

/// How a credential comes to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = ComparedMode)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract's own names")]
pub enum CredentialKind {
    Session,
    Jwt,
}

impl CredentialKind {
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
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In cookies, as browsers do.
    Cookie,
    /// In `Authorization: Bearer`, as mobile apps and SPAs do (RFC 6750).
    Bearer,
}

impl Transport {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
        }
    }
}

/// A request, what has to be answered, and what is kept of the answer. In its texts `{name}` stands for what is known by
/// that name: `username`, `password`, `email`, and what earlier steps have kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The method and the path: `POST /login`.
    pub request: String,
    /// Headers besides `Host`, and those of the body.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body in JSON.
    pub json: Option<Value>,
    /// A body as a form.
    pub form: Option<BTreeMap<String, String>>,
    /// The status code of an answer that will do.
    #[serde(default = "ok")]
    pub status: u16,
    /// What is kept, by the name that later steps know it by.
    #[serde(default)]
    pub keep: BTreeMap<String, Source>,
}

fn ok() -> u16 {
    200
}

/// Where something is in an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// The value of a cookie that is set.
    Cookie(String),
    /// A JSON pointer into the body (RFC 6901).
    Json(String),
}

impl Target {
    /// dualauth itself. How it is started is not in it: that depends on the variant.
    ///
    /// # Errors
    /// Never, as a test sees to.
    pub(super) fn dualauth(is_https: bool) -> Result<Self, CompareError> {
        // Cookies have their prefixes over https only.
        let text = if is_https {
            DUALAUTH.to_owned()
        } else {
            DUALAUTH.replace("__Host-", "").replace("__Secure-", "")
        };
        Self::parse(&text, Path::new("dualauth.toml"))
    }

    /// The one that is described in a file.
    ///
    /// # Errors
    /// When it can't be read, or describes none.
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
        let (session, jwt) = (CredentialKind::Session, CredentialKind::Jwt);
        let (cookie, bearer) = (Transport::Cookie, Transport::Bearer);
        assert_eq!(variants, [(session, cookie), (session, bearer), (jwt, cookie), (jwt, bearer)]);
    }

    #[test]
    fn what_is_misspelt_in_a_target_is_told() {
        let error = Target::parse("name = 'x'\nvarient = []", Path::new("x.toml")).expect_err("a slip");
        assert!(error.to_string().contains("varient"), "{error}");
    }
}
