//! Request bodies of registration and sign-in, which have members of one kind or of another.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{FieldError, Problem};
use crate::logins::Transport;

/// Registers an account, or completes a registration: either `email` and `password`, or `challenge` and `code`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ada", "email": "ada@example.com", "password": "correct horse battery staple"}))]
pub struct RegisterRequest {
    /// ASCII letters, digits, `_`, `.`, `-` and `+`; unique in any letter case. If omitted, it is derived from the
    /// email: the part before the `@`, with a number if that is taken. With a `challenge`: another one, if the first was
    /// taken meanwhile.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 64, pattern = "^[A-Za-z0-9_.+-]+$")]
    pub username: Option<String>,
    /// ASCII; unique in any letter case.
    #[serde(default)]
    #[schema(
        max_length = 254,
        pattern = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
    )]
    pub email: Option<String>,
    /// At least 15 code points, or as `PASSWORD_MIN_LENGTH` says, and at most 1,024 bytes, after NFKC normalisation.
    /// Common passwords are rejected.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 8, max_length = 1024)]
    pub password: Option<SecretString>,
    /// The challenge of a registration with `REGISTRATION=verified`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub challenge: Option<SecretString>,
    /// The code that came by mail.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub code: Option<SecretString>,
}

/// Signs in: either `username` and `password`, or `challenge` and one of `code`, `passkey`, `id_token` and, after `link_required`,
/// `password`, or `handoff`. With two-step sign-in, once more with the challenge of the first answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ada", "password": "correct horse battery staple"}))]
pub struct LoginRequest {
    /// A username or an email, in any letter case; white space around it is ignored.
    #[serde(default)]
    pub username: Option<String>,
    /// The password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretString>,
    /// A challenge for `login`, from `POST /challenges` or from `second_factor_required`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub challenge: Option<SecretString>,
    /// The code that came by mail: eight digits; or a code of the authenticator: six digits; or a recovery code. Spaces,
    /// dashes and letter case are ignored.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub code: Option<SecretString>,
    /// What the browser's `navigator.credentials.get()` gave for the challenge's options: `PublicKeyCredential.toJSON()` (Web
    /// Authentication Level 3). A passkey signs in at once, without a name; as a second factor, a security key will do.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub passkey: Option<Value>,
    /// The ID token that an app got from the provider itself, for the challenge's `nonce`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub id_token: Option<SecretString>,
    /// A code from `POST /account/handoff`, alone or with `transport`: presents the login of that code, which is of the other mode,
    /// in this mode as well.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    pub handoff: Option<SecretString>,
    /// Whether the login has the longer lifetimes, and its cookies are kept when the browser is closed. This and the next
    /// two hold for the second step as well, unless they are sent again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    pub remember_me: Option<bool>,
    /// How the credential is transported. By default in cookies in session mode, as a Bearer token in JWT mode.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// The device's name in the list of logins.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub device_name: Option<String>,
}

/// The credentials of a sign-in.
#[derive(Debug)]
pub enum LoginCredentials {
    /// A name and a password.
    Password {
        /// A username or an email.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// Both halves of a challenge.
    Code(ChallengeHalves),
    /// A challenge, and what an authenticator answers to it.
    Passkey(PasskeyAnswer),
    /// A challenge, and the ID token that an app got for it from a provider.
    IdToken {
        /// The token.
        challenge: SecretString,
        /// OpenID Connect Core 1.0, section 2.
        id_token: SecretString,
    },
    /// A challenge of `link_required`, and the password of its account.
    PasswordToLink {
        /// The token.
        challenge: SecretString,
        /// The password.
        password: SecretString,
    },
}

/// An additional authentication: either `password`, or `code`, or `challenge` with `code` or `passkey`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub struct StepUpRequest {
    /// The password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    /// A code of the authenticator, or a recovery code. Spaces, dashes and letter case are ignored.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// A challenge for `step_up`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    challenge: Option<SecretString>,
    /// What the browser's `navigator.credentials.get()` gave for the challenge's options: `PublicKeyCredential.toJSON()`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
}

/// The proof of a step-up.
#[derive(Debug)]
pub enum StepUpProof {
    /// The password.
    Password(SecretString),
    /// A code of an authenticator, or a recovery code.
    Code(SecretString),
    /// Both halves of a challenge.
    Challenge(ChallengeHalves),
    /// A challenge, and what an authenticator answers to it.
    Passkey(PasskeyAnswer),
}

impl StepUpRequest {
    /// The one proof.
    ///
    /// # Errors
    /// `validation_failed`: none, or members that don't go together.
    pub fn proof(self) -> Result<StepUpProof, Problem> {
        let Self { password, code, challenge, passkey } = self;
        if let Some(passkey) = passkey {
            let besides = [("password", password.is_some()), ("code", code.is_some())];
            return Ok(StepUpProof::Passkey(passkey_answer(challenge, passkey, &besides)?));
        }
        let error = match (password, code, challenge) {
            (Some(password), None, None) => return Ok(StepUpProof::Password(password)),
            (None, Some(code), None) => return Ok(StepUpProof::Code(code)),
            (None, Some(code), Some(challenge)) => {
                return Ok(StepUpProof::Challenge(ChallengeHalves { challenge, code }));
            }
            (None, None, Some(_)) => FieldError::of("code", "is missing"),
            (None, None, None) => FieldError::of("password", "is missing"),
            (Some(_), Some(_), _) => FieldError::of("code", "does not go with `password`"),
            (Some(_), None, Some(_)) => FieldError::of("challenge", "does not go with `password`"),
        };
        Err(Problem::validation(vec![error]))
    }
}

/// The data of a registration.
#[derive(Debug)]
pub enum RegistrationData {
    /// A new account.
    New {
        /// An address.
        email: String,
        /// The password.
        password: SecretString,
    },
    /// Both halves of the challenge of an account that was asked for before.
    Code(ChallengeHalves),
}

/// Both halves of a challenge.
#[derive(Debug)]
pub struct ChallengeHalves {
    /// The token.
    pub challenge: SecretString,
    /// The code.
    pub code: SecretString,
}

/// A challenge, and what an authenticator answers to it.
#[derive(Debug)]
pub struct PasskeyAnswer {
    /// The token.
    pub challenge: SecretString,
    /// `PublicKeyCredential.toJSON()`.
    pub passkey: Value,
}

/// A member that may be left out, and is not null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    bool::deserialize(deserializer).map(Some)
}

impl LoginRequest {
    /// The credentials, of one kind.
    ///
    /// # Errors
    /// `validation_failed`: members of both kinds, or a missing one.
    pub fn credentials(&mut self) -> Result<LoginCredentials, Problem> {
        let (username, password) = (self.username.take(), self.password.take());
        let (challenge, code) = (self.challenge.take(), self.code.take());
        let besides = [("username", username.is_some()), ("password", password.is_some())];
        let besides = [besides.as_slice(), &[("code", code.is_some())]].concat();
        if let Some(id_token) = self.id_token.take() {
            let besides = [besides.as_slice(), &[("passkey", self.passkey.is_some())]].concat();
            let challenge = challenge_alone(challenge, "id_token", &besides)?;
            return Ok(LoginCredentials::IdToken { challenge, id_token });
        }
        if let Some(passkey) = self.passkey.take() {
            return Ok(LoginCredentials::Passkey(passkey_answer(challenge, passkey, &besides)?));
        }
        if let (None, Some(_), Some(_), None) = (&username, &password, &challenge, &code) {
            let both = challenge.zip(password);
            return both
                .map(|(challenge, password)| LoginCredentials::PasswordToLink { challenge, password })
                .ok_or_else(|| Problem::validation(Vec::new()));
        }
        Ok(match one_kind(("username", username), ("password", password), challenge, code)? {
            OneKind::Own(username, password) => LoginCredentials::Password { username, password },
            OneKind::Challenge(halves) => LoginCredentials::Code(halves),
        })
    }
}

impl RegisterRequest {
    /// The data, of one kind.
    ///
    /// # Errors
    /// `validation_failed`: members of both kinds, or a missing one.
    pub fn data(&mut self) -> Result<RegistrationData, Problem> {
        let (email, password) = (self.email.take(), self.password.take());
        let (challenge, code) = (self.challenge.take(), self.code.take());
        Ok(match one_kind(("email", email), ("password", password), challenge, code)? {
            OneKind::Own(email, password) => RegistrationData::New { email, password },
            OneKind::Challenge(halves) => RegistrationData::Code(halves),
        })
    }
}

/// Checks that a challenge is beside a passkey, and none of the other members.
///
/// # Errors
/// `validation_failed`.
fn passkey_answer(
    challenge: Option<SecretString>,
    passkey: Value,
    others: &[(&str, bool)],
) -> Result<PasskeyAnswer, Problem> {
    Ok(PasskeyAnswer { challenge: challenge_alone(challenge, "passkey", others)?, passkey })
}

/// The challenge, which must be there beside the member `with`, and none of the others.
fn challenge_alone(
    challenge: Option<SecretString>,
    with: &str,
    others: &[(&str, bool)],
) -> Result<SecretString, Problem> {
    let besides = others.iter().filter(|(_, is_there)| *is_there);
    let mut errors: Vec<_> =
        besides.map(|(name, _)| FieldError::of(name, format!("does not go with `{with}`"))).collect();
    match challenge {
        Some(challenge) if errors.is_empty() => return Ok(challenge),
        Some(_) => {}
        None => errors.insert(0, FieldError::of("challenge", "is missing")),
    }
    Err(Problem::validation(errors))
}

/// What comes back for a challenge, where a code and a passkey are both possible.
#[derive(Debug)]
pub enum ChallengeAnswer {
    /// A code that came by mail, of an authenticator, or a recovery code.
    Code(ChallengeHalves),
    /// The answer of a passkey or security key.
    Passkey(PasskeyAnswer),
}

impl ChallengeAnswer {
    /// The one of the two members that is there.
    ///
    /// # Errors
    /// `validation_failed`: neither, or both.
    pub fn new(
        challenge: SecretString,
        code: Option<SecretString>,
        passkey: Option<Value>,
    ) -> Result<Self, Problem> {
        match (code, passkey) {
            (Some(code), None) => Ok(Self::Code(ChallengeHalves { challenge, code })),
            (code, Some(passkey)) => {
                passkey_answer(Some(challenge), passkey, &[("code", code.is_some())]).map(Self::Passkey)
            }
            (None, None) => Err(Problem::validation(vec![FieldError::of("code", "is missing")])),
        }
    }
}

/// The members of a body of two kinds.
enum OneKind<A, B> {
    Own(A, B),
    Challenge(ChallengeHalves),
}

/// Checks that either both of the own members are there, or both halves of a challenge, and nothing of the other kind.
fn one_kind<A, B>(
    (one_name, one): (&str, Option<A>),
    (other_name, other): (&str, Option<B>),
    challenge: Option<SecretString>,
    code: Option<SecretString>,
) -> Result<OneKind<A, B>, Problem> {
    let is_own = challenge.is_none() && code.is_none();
    let own = [(one_name, one.is_some()), (other_name, other.is_some())];
    let halves = [("challenge", challenge.is_some()), ("code", code.is_some())];
    match (one, other, challenge, code) {
        (Some(one), Some(other), None, None) => Ok(OneKind::Own(one, other)),
        (None, None, Some(challenge), Some(code)) => {
            Ok(OneKind::Challenge(ChallengeHalves { challenge, code }))
        }
        _ => {
            let needed = if is_own { own } else { halves };
            let missing = needed.iter().filter(|(_, is_there)| !is_there);
            let missing = missing.map(|(name, _)| FieldError::of(name, "is missing"));
            let besides = own.iter().filter(|(_, is_there)| !is_own && *is_there);
            let besides =
                besides.map(|(name, _)| FieldError::of(name, "does not go with `challenge` and `code`"));
            Err(Problem::validation(missing.chain(besides).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(body: serde_json::Value) -> Vec<String> {
        let mut request: LoginRequest = serde_json::from_value(body).expect("the members are known");
        let Err(problem) = request.credentials() else { return Vec::new() };
        let problem = serde_json::to_value(problem).expect("JSON");
        let errors = problem["errors"].as_array().expect("errors").iter();
        errors.map(|error| error["pointer"].as_str().expect("a pointer").to_owned()).collect()
    }

    #[test]
    fn a_body_has_the_members_of_one_kind() {
        for (body, wrong) in [
            (json!({"username": "ada", "password": "…"}), &[][..]),
            (json!({"challenge": "dac_…", "code": "12345678"}), &[]),
            (json!({}), &["/username", "/password"]),
            (json!({"username": "ada"}), &["/password"]),
            (json!({"challenge": "dac_…"}), &["/code"]),
            (json!({"code": "12345678"}), &["/challenge"]),
            (json!({"challenge": "dac_…", "code": "1", "username": "ada"}), &["/username"]),
            (json!({"challenge": "dac_…", "passkey": {}}), &[]),
            (json!({"challenge": "dac_…", "passkey": null}), &["/code"]),
            (json!({"passkey": {}}), &["/challenge"]),
            (json!({"passkey": {}, "username": "ada"}), &["/challenge", "/username"]),
            (
                json!({"challenge": "dac_…", "passkey": {}, "code": "1", "password": "…"}),
                &["/password", "/code"],
            ),
            (
                json!({"username": "ada", "password": "…", "code": "1"}),
                &["/challenge", "/username", "/password"],
            ),
        ] {
            assert_eq!(pointers(body.clone()), wrong, "{body}");
        }
    }
}
