//! What an authenticator signs: authenticator data (WebAuthn Level 3, section 6.1).

use uuid::Uuid;

use super::cbor::CborMap;
use super::error::PasskeyError;

const USER_PRESENT: u8 = 1 << 0;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED_CREDENTIAL: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

/// Parsed authenticator data. All its bytes were read.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: [u8; 32],
    flags: u8,
    pub(super) sign_count: u32,
    pub(super) credential: Option<AttestedCredential<'a>>,
}

/// The credential in the authenticator data of a registration (section 6.5.1).
#[derive(Debug)]
pub(super) struct AttestedCredential<'a> {
    pub(super) aaguid: Uuid,
    pub(super) id: &'a [u8],
    /// A COSE_Key (RFC 9052, section 7).
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        let (&rp_id_hash, rest) = bytes.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let (&[flags], rest) = rest.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let (&sign_count, rest) = rest.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let (credential, rest) = match flags & ATTESTED_CREDENTIAL {
            0 => (None, rest),
            _ => AttestedCredential::read(rest).map(|(credential, rest)| (Some(credential), rest))?,
        };
        let rest = match flags & EXTENSIONS {
            0 => rest,
            _ => CborMap::read(rest)?.1,
        };
        if !rest.is_empty() {
            return Err(PasskeyError::TrailingBytes);
        }
        Ok(Self { rp_id_hash, flags, sign_count: u32::from_be_bytes(sign_count), credential })
    }

    /// Checks what must hold in both ceremonies (section 7.1, steps 13 to 17; section 7.2, steps 15 to 18).
    pub(super) fn check(&self, rp_id_hash: &[u8; 32], needs_verified_user: bool) -> Result<(), PasskeyError> {
        if self.rp_id_hash != *rp_id_hash {
            return Err(PasskeyError::WrongRelyingParty);
        }
        if !self.has(USER_PRESENT) {
            return Err(PasskeyError::UserNotPresent);
        }
        if needs_verified_user && !self.user_verified() {
            return Err(PasskeyError::UserNotVerified);
        }
        if self.backed_up() && !self.backup_eligible() {
            return Err(PasskeyError::WrongFlags);
        }
        Ok(())
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn user_verified(&self) -> bool {
        self.has(USER_VERIFIED)
    }

    pub(super) fn backup_eligible(&self) -> bool {
        self.has(BACKUP_ELIGIBLE)
    }

    pub(super) fn backed_up(&self) -> bool {
        self.has(BACKED_UP)
    }
}

impl<'a> AttestedCredential<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PasskeyError> {
        let (&aaguid, rest) = bytes.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let (&length, rest) = rest.split_first_chunk().ok_or(PasskeyError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(length));
        let (id, rest) = rest.split_at_checked(length).ok_or(PasskeyError::Malformed)?;
        let (_, after) = CborMap::read(rest)?;
        let public_key = rest.get(..rest.len() - after.len()).ok_or(PasskeyError::Malformed)?;
        Ok((Self { aaguid: Uuid::from_bytes(aaguid), id, public_key }, after))
    }
}
