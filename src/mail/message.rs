//! What a mail says and to whom, before it is rendered.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mail to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mail {
    /// The address. `None`: nobody has the account that was asked for. Such a mail is queued like any other and never
    /// sent, so that its request does not differ.
    pub to: Option<String>,
    /// The language of the account; of the request where there is no account.
    pub language: Language,
    /// What it says.
    pub message: Message,
    /// It is not sent after that: when its code expires. Notices: 24 hours.
    pub expires_at: DateTime<Utc>,
}

/// A language that mails are written in, by its tag (RFC 5646).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// Its tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// The language with this tag, or of which it is a regional variant, such as `de-AT`.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.as_str().eq_ignore_ascii_case(primary))
    }
}

/// What a mail says. Each has its templates, named as it is serialized. None names the user: an address that is not
/// proved may be anybody's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// A code to sign in with.
    SignInCode(MailedCode),
    /// A code to set a new password with.
    ResetPasswordCode(MailedCode),
    /// A code by which a signed-in user authenticates again.
    StepUpCode(MailedCode),
    /// A code that proves the address of an account.
    VerifyEmailCode(MailedCode),
    /// A code that completes a registration.
    RegistrationCode(MailedCode),
    /// Somebody asked for a new password, and the account has none.
    ResetWithoutPassword {
        /// How it signs in.
        methods: Vec<SignInMethod>,
    },
    /// Somebody registered with the address of an account.
    RegistrationOfKnownAddress,
    /// Notice: the password was changed.
    PasswordChanged,
    /// Notice: a new password was set by a code from a mail.
    PasswordReset,
    /// Notice: the password was removed.
    PasswordRemoved,
    /// Notice, to the address of before: the account has another one now.
    EmailChanged,
    /// Notice: somebody proved the address who was not signed in, so the password was removed and every login was ended.
    AddressProved,
    /// Notice: the account was closed because of too many wrong passwords, and a reset has opened it again.
    AccountUnlocked,
    /// Notice: the first second factor was enrolled, so each sign-in takes two steps.
    TwoStepTurnedOn,
    /// Notice: a factor was added, which is not the first second factor.
    FactorAdded,
    /// Notice: a factor was removed.
    FactorRemoved,
    /// Notice: the recovery codes were made anew.
    RecoveryCodesRenewed,
    /// Notice: a recovery code was used.
    RecoveryCodeUsed {
        /// How many are left.
        left: i64,
    },
    /// Notice: an operator has removed every second factor and passkey.
    FactorsReset,
    /// Notice: an operator has disabled the account.
    AccountDisabled,
    /// Notice: a sign-in from a network that the account was not used from before. To proved addresses only.
    SignInFromNewNetwork {
        /// The name of the device.
        device: Option<String>,
        /// The network address.
        network: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// An operator tries out whether mails arrive.
    Test,
}

impl Message {
    /// Its name, as it is serialized, and as its templates are called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SignInCode(_) => "sign_in_code",
            Self::ResetPasswordCode(_) => "reset_password_code",
            Self::StepUpCode(_) => "step_up_code",
            Self::VerifyEmailCode(_) => "verify_email_code",
            Self::RegistrationCode(_) => "registration_code",
            Self::ResetWithoutPassword { .. } => "reset_without_password",
            Self::RegistrationOfKnownAddress => "registration_of_known_address",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::PasswordRemoved => "password_removed",
            Self::EmailChanged => "email_changed",
            Self::AddressProved => "address_proved",
            Self::AccountUnlocked => "account_unlocked",
            Self::TwoStepTurnedOn => "two_step_turned_on",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
            Self::RecoveryCodesRenewed => "recovery_codes_renewed",
            Self::RecoveryCodeUsed { .. } => "recovery_code_used",
            Self::FactorsReset => "factors_reset",
            Self::AccountDisabled => "account_disabled",
            Self::SignInFromNewNetwork { .. } => "sign_in_from_new_network",
            Self::Test => "test",
        }
    }

    /// One of each, with sample values.
    pub(super) fn samples() -> Vec<Self> {
        let code = || MailedCode { challenge: Uuid::nil(), code: "12345678".to_owned() };
        let methods = vec![SignInMethod::Email, SignInMethod::Passkey, SignInMethod::Provider];
        vec![
            Self::SignInCode(code()),
            Self::ResetPasswordCode(code()),
            Self::StepUpCode(code()),
            Self::VerifyEmailCode(code()),
            Self::RegistrationCode(code()),
            Self::ResetWithoutPassword { methods },
            Self::RegistrationOfKnownAddress,
            Self::PasswordChanged,
            Self::PasswordReset,
            Self::PasswordRemoved,
            Self::EmailChanged,
            Self::AddressProved,
            Self::AccountUnlocked,
            Self::TwoStepTurnedOn,
            Self::FactorAdded,
            Self::FactorRemoved,
            Self::RecoveryCodesRenewed,
            Self::RecoveryCodeUsed { left: 9 },
            Self::FactorsReset,
            Self::AccountDisabled,
            Self::SignInFromNewNetwork {
                device: Some("Phone".to_owned()),
                network: "192.0.2.0/24".to_owned(),
                at: DateTime::UNIX_EPOCH,
            },
            Self::Test,
        ]
    }
}

/// A way to sign in, as a mail tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// A code by mail.
    Email,
    /// A passkey.
    Passkey,
    /// A provider, such as Google.
    Provider,
}

impl SignInMethod {
    /// As it is serialized, and as templates name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Passkey => "passkey",
            Self::Provider => "provider",
        }
    }
}

/// A code with the id of its challenge, for the link.
#[derive(Clone, Serialize, Deserialize)]
pub struct MailedCode {
    /// The challenge's id: not its token.
    pub challenge: Uuid,
    /// Eight digits.
    pub code: String,
}

impl fmt::Debug for MailedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailedCode").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_serialized_by_its_name_and_reads_back() {
        for message in Message::samples() {
            let json = serde_json::to_value(&message).expect("plain data");
            assert_eq!(json["message"], message.name());
            let read: Message = serde_json::from_value(json).expect("what was written");
            assert_eq!(read.name(), message.name());
        }
    }

    #[test]
    fn codes_are_not_printed() {
        let code = MailedCode { challenge: Uuid::nil(), code: "12345678".to_owned() };
        assert!(!format!("{:?}", Message::SignInCode(code)).contains("1234"));
    }

    #[test]
    fn a_regional_variant_is_its_language() {
        for (tag, language) in [
            ("de", Some(Language::De)),
            ("de-AT", Some(Language::De)),
            ("EN-gb", Some(Language::En)),
            ("den", None),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(Language::of_tag(tag), language, "{tag}");
        }
    }
}
