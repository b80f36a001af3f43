//! Verifies the use of a credential (WebAuthn Level 3, section 7.2).

use uuid::Uuid;

use crate::challenges::ChallengeToken;

use super::authenticator_data::AuthenticatorData;
use super::error::PasskeyError;
use super::public_key::PasskeyPublicKey;
use super::relying_party::{Ceremony, RelyingParty, signed_message};
use super::response::AssertionResponse;
use super::{PasskeyKind, StoredPasskey};
use crate::factors::Proof;

/// A verified assertion. It counts once the database has taken the counter, which finds copies of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// The passkey.
    pub passkey_id: Uuid,
    /// What it was registered as.
    pub kind: PasskeyKind,
    /// The signature counter after this use; 0 if the authenticator does not count.
    pub sign_count: u32,
    /// Whether the authenticator has verified the user. A passkey has, unless a security key would have done as well.
    pub user_verified: bool,
    /// Whether the credential may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it is copied now.
    pub backed_up: bool,
}

/// Whose passkey or security key has to answer.
#[derive(Clone, Copy, Debug)]
pub struct ChallengedUser {
    /// The user.
    pub id: Uuid,
    /// Whether a security key may answer, which verifies nobody. Then a passkey that has not verified its user either is worth as
    /// much: the options could not require it of one of them alone.
    pub has_security_key: bool,
}

impl VerifiedAssertion {
    /// What it proves, at this credential version of the account.
    pub(super) fn proof(&self, version: i32) -> Proof {
        self.kind.proof(self.backup_eligible, self.user_verified, version)
    }
}

impl RelyingParty {
    /// Verifies the answer to [`Self::request_options`] with this token, by `passkey`, which has the answer's credential id. `user` is
    /// who has to be proved; `None` in a sign-in without a name, for which the answer must name the user, and only a passkey that
    /// verifies its user will do.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify_assertion(
        &self,
        answer: &AssertionResponse,
        token: &ChallengeToken,
        passkey: &StoredPasskey,
        user: Option<ChallengedUser>,
    ) -> Result<VerifiedAssertion, PasskeyError> {
        if answer.id != answer.raw_id || answer.raw_id.0 != passkey.credential_id {
            return Err(PasskeyError::CredentialIdMismatch);
        }
        check_user(answer, passkey, user.map(|user| user.id))?;
        let client_data = &answer.response.client_data_json.0;
        self.check_client_data(Ceremony::Assertion, token, client_data)?;
        let authenticator_data = &answer.response.authenticator_data.0;
        let data = AuthenticatorData::parse(authenticator_data)?;
        let has_security_key = user.is_some_and(|user| user.has_security_key);
        self.check_authenticator_data(&data, passkey.kind == PasskeyKind::Passkey && !has_security_key)?;
        // Only registrations have a credential in them (section 6.1).
        if data.credential.is_some() {
            return Err(PasskeyError::WrongFlags);
        }
        if data.backup_eligible() != passkey.backup_eligible {
            return Err(PasskeyError::BackupEligibilityChanged);
        }
        let message = signed_message(authenticator_data, client_data);
        PasskeyPublicKey::parse(&passkey.public_key)?.verify(&message, &answer.response.signature.0)?;
        Ok(VerifiedAssertion {
            passkey_id: passkey.id,
            kind: passkey.kind,
            sign_count: data.sign_count,
            user_verified: data.user_verified(),
            backup_eligible: passkey.backup_eligible,
            backed_up: data.backed_up(),
        })
    }
}

/// Section 7.2, step 6. Security keys store no user handle, and send none.
fn check_user(
    answer: &AssertionResponse,
    passkey: &StoredPasskey,
    user: Option<Uuid>,
) -> Result<(), PasskeyError> {
    let handle = answer.response.user_handle.as_ref().map(|handle| handle.0.as_slice());
    let is_owner = |handle: &[u8]| handle == passkey.user_id.as_bytes();
    let is_right = match user {
        None if passkey.kind != PasskeyKind::Passkey => return Err(PasskeyError::SecondFactorOnly),
        None => handle.is_some_and(is_owner),
        Some(user) => user == passkey.user_id && handle.is_none_or(is_owner),
    };
    if is_right { Ok(()) } else { Err(PasskeyError::WrongUser) }
}
