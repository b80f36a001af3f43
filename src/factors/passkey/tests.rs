//! Both ceremonies with a software authenticator: what is right is taken, and every single thing that is wrong is refused.

mod refusals;

use std::time::Duration;

use ciborium::Value as Cbor;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::authenticator_data::AuthenticatorData;
use super::cbor::CborMap;
use super::public_key::PasskeyPublicKey;
use super::software_authenticator::*;
use super::*;
use crate::challenges::ChallengeToken;
use crate::crypto::AppSecret;
use crate::logins::Amr;
use crate::property_testing;
use crate::tokens::OpaqueToken;
use crate::users::UserIdAndName;

const ORIGIN: &str = "https://auth.example.com";
const TIMEOUT: Duration = Duration::from_secs(420);
const SECOND_ORIGIN: &str = "https://app.example.com";

/// A relying party, a user and a challenge.
struct Site {
    party: RelyingParty,
    token: ChallengeToken,
    user: UserIdAndName,
}

/// Why an answer was not accepted.
#[derive(Debug, PartialEq)]
enum RefusedAnswer {
    /// The JSON could not be read.
    Json,
    Check(PasskeyError),
}

use RefusedAnswer::{Check, Json};

fn amr_of(proved: &VerifiedAssertion) -> Amr {
    proved.proof(1).amr()
}

fn challenge_token() -> ChallengeToken {
    ChallengeToken::parse(OpaqueToken::generate("dac_").reveal()).expect("a token")
}

impl Site {
    fn new() -> Self {
        let origins = vec![ORIGIN.to_owned(), SECOND_ORIGIN.to_owned()];
        let party = RelyingParty::new("example.com".to_owned(), origins, &AppSecret::generate(), TIMEOUT);
        let user = UserIdAndName { id: Uuid::now_v7(), username: "ada".to_owned() };
        Self { party, token: challenge_token(), user }
    }

    fn creation_options(&self, kind: PasskeyKind) -> Value {
        json(&self.party.creation_options(&self.token, &self.user, kind, &[]))
    }

    fn request_options(&self, allowed: &[StoredPasskey]) -> Value {
        json(&self.party.request_options(&self.token, allowed))
    }

    fn register(&self, answer: Value, kind: PasskeyKind) -> Result<VerifiedRegistration, RefusedAnswer> {
        let answer = serde_json::from_value(answer).map_err(|_| Json)?;
        self.party.verify_registration(&answer, &self.token, kind).map_err(Check)
    }

    fn assert(
        &self,
        answer: Value,
        passkey: &StoredPasskey,
        user: Option<Uuid>,
    ) -> Result<VerifiedAssertion, RefusedAnswer> {
        let answer = serde_json::from_value(answer).map_err(|_| Json)?;
        let user = user.map(|id| ChallengedUser { id, has_security_key: false });
        self.party.verify_assertion(&answer, &self.token, passkey, user).map_err(Check)
    }

    /// Registers a credential, changed like this.
    fn stored(
        &self,
        authenticator: &SoftwareAuthenticator,
        kind: PasskeyKind,
        change: impl Fn(&mut RegistrationDraft),
    ) -> StoredPasskey {
        let mut draft = authenticator.register(&self.creation_options(kind), ORIGIN);
        change(&mut draft);
        let new = self.register(draft.finish(authenticator), kind).expect("a right answer");
        StoredPasskey {
            id: Uuid::now_v7(),
            user_id: self.user.id,
            credential_id: new.credential_id,
            public_key: new.public_key,
            kind,
            name: "a key".to_owned(),
            backup_eligible: new.backup_eligible,
            transports: new.transports,
            rp_id: self.party.id().to_owned(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            last_used_at: None,
        }
    }
}

fn json(options: &impl serde::Serialize) -> Value {
    serde_json::to_value(options).expect("JSON")
}

fn base64_decode(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).expect("base64url")
}

#[test]
fn every_offered_algorithm_registers_and_signs_in() {
    for authenticator in
        [SoftwareAuthenticator::es256(), SoftwareAuthenticator::ed25519(), SoftwareAuthenticator::rs256()]
    {
        let site = Site::new();
        let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |_| ());
        assert_eq!(
            (&passkey.credential_id, &passkey.transports[..]),
            (&authenticator.credential_id, &["internal".to_owned(), "usb".to_owned()][..])
        );
        for origin in [ORIGIN, SECOND_ORIGIN] {
            let draft =
                authenticator.assert(&site.request_options(&[]), origin, Some(site.user.id.as_bytes()));
            let proved = site.assert(draft.finish(&authenticator), &passkey, None).expect("a right answer");
            assert_eq!((proved.passkey_id, proved.sign_count), (passkey.id, 1));
            assert_eq!(amr_of(&proved).names().collect::<Vec<_>>(), ["hwk", "user"]);
        }
    }
}

#[test]
fn an_authenticator_may_attest_by_itself_or_be_attested_by_others() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::ed25519());
    site.stored(&authenticator, PasskeyKind::Passkey, |draft| {
        (draft.format, draft.statement) = ("packed", None);
    });
    site.stored(&authenticator, PasskeyKind::Passkey, |draft| {
        draft.format = "tpm";
        draft.statement = Some(vec![(Cbor::from("x5c"), Cbor::Array(vec![Cbor::Bytes(vec![7; 9])]))]);
    });
    site.stored(&authenticator, PasskeyKind::Passkey, |draft| {
        draft.flags |= EXTENSIONS;
        draft.after_key = cbor_bytes(&Cbor::Map(vec![(Cbor::from("credProtect"), Cbor::from(2))]));
    });
}

#[test]
fn credential_ids_of_1_and_of_1023_bytes_are_taken() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    for length in [1, 1_023] {
        let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |draft| {
            draft.credential_id = vec![1; length];
        });
        assert_eq!(passkey.credential_id.len(), length);
    }
}

#[test]
fn a_security_key_without_user_verification_is_a_second_factor_and_no_way_in_without_a_name() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let options = site.creation_options(PasskeyKind::SecurityKey);
    assert_eq!(options["authenticatorSelection"]["userVerification"], "discouraged");
    let key = site.stored(&authenticator, PasskeyKind::SecurityKey, |draft| draft.flags &= !USER_VERIFIED);
    let request = site.request_options(std::slice::from_ref(&key));
    assert_eq!(request["userVerification"], "discouraged");
    for handle in [None, Some(site.user.id.as_bytes().as_slice())] {
        let mut draft = authenticator.assert(&request, ORIGIN, handle);
        draft.flags &= !USER_VERIFIED;
        let answer = draft.finish(&authenticator);
        let proved = site.assert(answer.clone(), &key, Some(site.user.id)).expect("a right answer");
        assert_eq!(amr_of(&proved).names().collect::<Vec<_>>(), ["hwk"]);
        assert_eq!(site.assert(answer, &key, None), Err(Check(PasskeyError::SecondFactorOnly)));
    }
}

#[test]
fn a_passkey_that_verified_nobody_is_a_second_factor_where_a_security_key_is_one_and_nothing_elsewhere() {
    for (flags, key) in [(0, "hwk"), (BACKUP_ELIGIBLE, "swk")] {
        let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
        let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |draft| draft.flags |= flags);
        let other = SoftwareAuthenticator::es256();
        let security_key = site.stored(&other, PasskeyKind::SecurityKey, |_| ());
        for (allowed, verification) in [
            (vec![passkey.clone()], "required"),
            (vec![passkey.clone(), passkey.clone()], "required"),
            (vec![passkey.clone(), security_key.clone()], "preferred"),
            (vec![security_key], "discouraged"),
            (Vec::new(), "required"),
        ] {
            assert_eq!(site.request_options(&allowed)["userVerification"], verification);
        }
        let user = site.user.id;
        for is_verified in [false, true] {
            let options = site.request_options(std::slice::from_ref(&passkey));
            let mut draft = authenticator.assert(&options, ORIGIN, Some(user.as_bytes()));
            draft.flags = draft.flags & !USER_VERIFIED | flags | (u8::from(is_verified) * USER_VERIFIED);
            let answer: AssertionResponse =
                serde_json::from_value(draft.finish(&authenticator)).expect("an answer");
            let verify = |user| site.party.verify_assertion(&answer, &site.token, &passkey, user);
            let beside_a_key = verify(Some(ChallengedUser { id: user, has_security_key: true }));
            let amr = amr_of(&beside_a_key.expect("a right answer")).names().collect::<Vec<_>>();
            assert_eq!(amr, if is_verified { vec![key, "user"] } else { vec![key] });
            for alone in [None, Some(ChallengedUser { id: user, has_security_key: false })] {
                let refusal = verify(alone).err();
                assert_eq!(refusal, (!is_verified).then_some(PasskeyError::UserNotVerified), "{alone:?}");
            }
        }
    }
}

#[test]
fn a_synced_passkey_says_so_and_may_be_backed_up_later() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |draft| draft.flags |= BACKUP_ELIGIBLE);
    for backed_up in [0, BACKED_UP] {
        let mut draft =
            authenticator.assert(&site.request_options(&[]), ORIGIN, Some(site.user.id.as_bytes()));
        draft.flags |= BACKUP_ELIGIBLE | backed_up;
        let proved = site.assert(draft.finish(&authenticator), &passkey, None).expect("a right answer");
        assert_eq!(amr_of(&proved).names().collect::<Vec<_>>(), ["swk", "user"]);
        assert_eq!(proved.backed_up, backed_up != 0);
    }
}

#[test]
fn the_options_are_as_browsers_read_them() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |_| ());
    let known = [passkey];
    let options = json(&site.party.creation_options(&site.token, &site.user, PasskeyKind::Passkey, &known));
    let descriptor = json!([{ "type": "public-key", "id": encode(&authenticator.credential_id),
        "transports": ["internal", "usb"] }]);
    let challenge = options["challenge"].clone();
    assert_eq!(challenge.as_str().map(str::len), Some(43));
    assert_eq!(
        options,
        json!({
            "rp": { "id": "example.com", "name": "example.com" },
            "user": { "id": encode(site.user.id.as_bytes()), "name": "ada", "displayName": "ada" },
            "challenge": challenge,
            "pubKeyCredParams": [{ "type": "public-key", "alg": -8 }, { "type": "public-key", "alg": -7 },
                { "type": "public-key", "alg": -257 }],
            "timeout": 420_000, "excludeCredentials": descriptor,
            "authenticatorSelection": { "residentKey": "required", "requireResidentKey": true,
                "userVerification": "required" },
            "hints": [], "attestation": "none",
        })
    );
    let request = site.request_options(&known);
    assert_ne!(request["challenge"], challenge);
    assert_eq!(
        request,
        json!({ "challenge": request["challenge"], "timeout": 420_000, "rpId": "example.com",
            "allowCredentials": descriptor, "userVerification": "required" })
    );
}

#[test]
fn a_challenge_of_before_the_secret_was_replaced_still_counts() {
    let (old, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let before = AppSecret::generate();
    let origins = || vec![ORIGIN.to_owned()];
    let party = |secret: &AppSecret| RelyingParty::new("example.com".to_owned(), origins(), secret, TIMEOUT);
    let mut site = Site { party: party(&before), ..old };
    let draft = authenticator.register(&site.creation_options(PasskeyKind::Passkey), ORIGIN);
    site.party = party(&AppSecret::generate().replacing(&before));
    site.register(draft.finish(&authenticator), PasskeyKind::Passkey).expect("a right answer");
    site.party = party(&AppSecret::generate());
    let refused = site.register(draft.finish(&authenticator), PasskeyKind::Passkey);
    assert_eq!(refused, Err(Check(PasskeyError::WrongChallenge)));
}

#[test]
fn an_answer_is_good_for_its_own_ceremony_challenge_key_and_user_alone() {
    let (mut site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |_| ());
    let handle = *site.user.id.as_bytes();
    // The challenge of the other ceremony, of the same token.
    let creation = site.creation_options(PasskeyKind::Passkey);
    let mut draft = authenticator.assert(&site.request_options(&[]), ORIGIN, Some(&handle));
    let answer = draft.finish(&authenticator);
    draft.client_data["challenge"] = creation["challenge"].clone();
    let refused = |site: &Site, answer: Value, passkey: &StoredPasskey, user, error| {
        assert_eq!(site.assert(answer, passkey, user), Err(Check(error)));
    };
    refused(&site, draft.finish(&authenticator), &passkey, None, PasskeyError::WrongChallenge);
    // Another user, who is to be proved.
    let stranger = Uuid::now_v7();
    refused(&site, answer.clone(), &passkey, Some(stranger), PasskeyError::WrongUser);
    let theirs = StoredPasskey { user_id: stranger, ..passkey.clone() };
    refused(&site, answer.clone(), &theirs, Some(stranger), PasskeyError::WrongUser);
    // Another key under the same credential id.
    let other = site.stored(&SoftwareAuthenticator::es256(), PasskeyKind::Passkey, |_| ());
    let swapped = StoredPasskey { public_key: other.public_key, ..passkey.clone() };
    refused(&site, answer.clone(), &swapped, None, PasskeyError::WrongSignature);
    // Eligible for backup when it was registered, and no longer.
    let synced = StoredPasskey { backup_eligible: true, ..passkey.clone() };
    refused(&site, answer.clone(), &synced, None, PasskeyError::BackupEligibilityChanged);
    // Another token.
    site.token = challenge_token();
    refused(&site, answer, &passkey, None, PasskeyError::WrongChallenge);
}

#[test]
fn a_credential_that_can_be_copied_is_no_security_key() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let mut draft = authenticator.register(&site.creation_options(PasskeyKind::SecurityKey), ORIGIN);
    draft.flags |= BACKUP_ELIGIBLE;
    let refused = site.register(draft.finish(&authenticator), PasskeyKind::SecurityKey);
    assert_eq!(refused, Err(Check(PasskeyError::NotDeviceBound)));
}

#[test]
fn no_bytes_make_a_parser_panic() {
    property_testing::check(proptest::collection::vec(any::<u8>(), 0..300), |bytes| {
        let _ = AuthenticatorData::parse(&bytes);
        let _ = CborMap::read(&bytes);
        let _ = PasskeyPublicKey::parse(&bytes);
        let _ = serde_json::from_slice::<RegistrationResponse>(&bytes);
        let _ = serde_json::from_slice::<AssertionResponse>(&bytes);
        Ok(())
    });
}

#[test]
fn neither_deep_nor_long_claims_cost_the_parser_its_stack_or_memory() {
    let (list, map) = ([0x81_u8], [0xa1_u8, 0x00]);
    for nested in [list.repeat(100_000), map.repeat(100_000), [0xc1].repeat(100_000)] {
        assert_eq!(CborMap::read(&nested).err(), Some(PasskeyError::Malformed));
    }
    // A text, bytes, a list and a map of 2^63 bytes or entries, as the value of a map.
    for kind in [0x7b, 0x5b, 0x9b, 0xbb] {
        let claim = [&[0xa1, 0x00, kind][..], &[0x7f], &[0xff; 7]].concat();
        assert_eq!(CborMap::read(&claim).err(), Some(PasskeyError::Malformed));
    }
}

#[test]
fn no_changed_byte_of_a_registration_panics_and_none_of_an_assertion_is_taken() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::ed25519());
    let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |_| ());
    let registration = authenticator.register(&site.creation_options(PasskeyKind::Passkey), ORIGIN);
    let assertion = authenticator.assert(&site.request_options(&[]), ORIGIN, Some(site.user.id.as_bytes()));
    let (registration, assertion) = (registration.finish(&authenticator), assertion.finish(&authenticator));
    let mutation = (any::<proptest::sample::Index>(), 1..=255_u8, 0..3_usize);
    property_testing::check(mutation, |(at, flip, part)| {
        let flipped = |answer: &Value, member: &str| {
            let mut answer = answer.clone();
            let mut bytes = base64_decode(answer["response"][member].as_str().expect("text"));
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            answer["response"][member] = encode(&bytes).into();
            answer
        };
        let _ = site.register(flipped(&registration, "attestationObject"), PasskeyKind::Passkey);
        let member = ["clientDataJSON", "authenticatorData", "signature"][part];
        prop_assert!(site.assert(flipped(&assertion, member), &passkey, None).is_err());
        Ok(())
    });
}
