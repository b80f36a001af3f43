//! Answers with a single thing wrong, each with the reason why it is refused.

use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::*;

type Negative<D> = (&'static str, fn(&mut D), RefusedAnswer);

fn bytes(length: usize) -> Cbor {
    Cbor::Bytes(vec![7; length])
}

fn set(map: &mut [(Cbor, Cbor)], label: i64, value: impl Into<Cbor>) {
    let entry = map.iter_mut().find(|(key, _)| *key == Cbor::from(label)).expect("it is there");
    entry.1 = value.into();
}

/// Changes client data after it was hashed.
fn edit_client_data(answer: &mut Value, edit: fn(String) -> String) {
    let data = base64_decode(answer["response"]["clientDataJSON"].as_str().expect("text"));
    let edited = edit(String::from_utf8(data).expect("UTF-8"));
    answer["response"]["clientDataJSON"] = encode(edited.as_bytes()).into();
}

#[rustfmt::skip]
fn wrong_registrations() -> Vec<Negative<RegistrationDraft>> {
    use PasskeyError::*;
    vec![
        ("an assertion's client data", |d| d.client_data["type"] = "webauthn.get".into(), Check(WrongCeremony)),
        ("no type", |d| d.client_data["type"] = Value::Null, Check(Malformed)),
        ("another challenge", |d| d.client_data["challenge"] = encode(&[1; 32]).into(), Check(WrongChallenge)),
        ("an empty challenge", |d| d.client_data["challenge"] = "".into(), Check(WrongChallenge)),
        ("a padded challenge", |d| {
            let padded = format!("{}=", d.client_data["challenge"].as_str().expect("text"));
            d.client_data["challenge"] = padded.into();
        }, Check(Malformed)),
        ("another origin", |d| d.client_data["origin"] = "https://evil.example".into(), Check(WrongOrigin)),
        ("a subdomain", |d| d.client_data["origin"] = "https://x.auth.example.com".into(), Check(WrongOrigin)),
        ("the RP ID as origin", |d| d.client_data["origin"] = "https://example.com".into(), Check(WrongOrigin)),
        ("http", |d| d.client_data["origin"] = "http://auth.example.com".into(), Check(WrongOrigin)),
        ("a port", |d| d.client_data["origin"] = "https://auth.example.com:8443".into(), Check(WrongOrigin)),
        ("a slash after the origin", |d| d.client_data["origin"] = "https://auth.example.com/".into(), Check(WrongOrigin)),
        ("a frame", |d| d.client_data["crossOrigin"] = true.into(), Check(CrossOrigin)),
        ("topOrigin without crossOrigin", |d| d.client_data["topOrigin"] = ORIGIN.into(), Check(CrossOrigin)),
        ("topOrigin alone", |d| {
            d.client_data["crossOrigin"] = Value::Null;
            d.client_data["topOrigin"] = "https://evil.example".into();
        }, Check(CrossOrigin)),
        ("crossOrigin as text", |d| d.client_data["crossOrigin"] = "false".into(), Check(Malformed)),
        ("client data that is a list", |d| d.client_data = json!([]), Check(Malformed)),
        ("two origins", |d| d.edit = |j| edit_client_data(j, |text| text.replacen('{', r#"{"origin":"https://evil.example","#, 1)), Check(Malformed)),
        ("a byte order mark", |d| d.edit = |j| edit_client_data(j, |text| format!("\u{feff}{text}")), Check(Malformed)),
        ("bytes after the client data", |d| d.edit = |j| edit_client_data(j, |text| format!("{text}{{}}")), Check(Malformed)),
        ("another RP ID", |d| d.rp_id = "example.org".into(), Check(WrongRelyingParty)),
        ("the origin's host as RP ID", |d| d.rp_id = "auth.example.com".into(), Check(WrongRelyingParty)),
        ("nobody present", |d| d.flags &= !USER_PRESENT, Check(UserNotPresent)),
        ("nobody verified", |d| d.flags &= !USER_VERIFIED, Check(UserNotVerified)),
        ("backed up, but not eligible", |d| d.flags |= BACKED_UP, Check(WrongFlags)),
        ("a credential that no flag tells of", |d| d.flags &= !ATTESTED_CREDENTIAL, Check(TrailingBytes)),
        ("extensions that are missing", |d| d.flags |= EXTENSIONS, Check(Malformed)),
        ("extensions that no flag tells of", |d| d.after_key = vec![0xa0], Check(TrailingBytes)),
        ("extensions that are no map", |d| {
            d.flags |= EXTENSIONS;
            d.after_key = vec![0x80];
        }, Check(Malformed)),
        ("bytes after the extensions", |d| {
            d.flags |= EXTENSIONS;
            d.after_key = vec![0xa0, 0];
        }, Check(TrailingBytes)),
        ("bytes after the attestation object", |d| d.trailing = vec![0], Check(TrailingBytes)),
        ("authenticator data of 36 bytes", |d| d.cut = Some(36), Check(Malformed)),
        ("authenticator data without the key", |d| d.cut = Some(87), Check(Malformed)),
        ("authenticator data cut in the id", |d| d.cut = Some(70), Check(Malformed)),
        ("a credential id of no bytes", |d| d.credential_id.clear(), Check(CredentialIdLength)),
        ("a credential id of 1,024 bytes", |d| d.credential_id = vec![1; 1_024], Check(CredentialIdLength)),
        ("a credential id of 1,025 bytes", |d| d.credential_id = vec![1; 1_025], Json),
        ("another rawId", |d| d.edit = |j| j["rawId"] = encode(&[9; 32]).into(), Check(CredentialIdMismatch)),
        ("another id", |d| d.edit = |j| j["id"] = encode(&[9; 32]).into(), Check(CredentialIdMismatch)),
        ("another id, twice", |d| d.edit = |j| {
            j["id"] = encode(&[9; 32]).into();
            j["rawId"] = encode(&[9; 32]).into();
        }, Check(CredentialIdMismatch)),
        ("ES384, which was not offered", |d| set(&mut d.cose_key, 3, -35), Check(AlgorithmNotOffered)),
        ("ES256K, which was not offered", |d| set(&mut d.cose_key, 3, -47), Check(AlgorithmNotOffered)),
        ("RS1, which was not offered", |d| set(&mut d.cose_key, 3, -65535), Check(AlgorithmNotOffered)),
        ("EdDSA with a key of two coordinates", |d| set(&mut d.cose_key, 3, -8), Check(InvalidPublicKey)),
        ("RS256 with a key of two coordinates", |d| set(&mut d.cose_key, 3, -257), Check(InvalidPublicKey)),
        ("P-384", |d| set(&mut d.cose_key, -1, 2), Check(InvalidPublicKey)),
        ("a point beside the curve", |d| set(&mut d.cose_key, -3, bytes(32)), Check(InvalidPublicKey)),
        ("a short coordinate", |d| set(&mut d.cose_key, -2, bytes(31)), Check(InvalidPublicKey)),
        ("a compressed point", |d| set(&mut d.cose_key, -3, true), Check(InvalidPublicKey)),
        ("a key type as text", |d| set(&mut d.cose_key, 1, "EC2"), Check(InvalidPublicKey)),
        ("a key without algorithm", |d| { d.cose_key.remove(1); }, Check(InvalidPublicKey)),
        ("a key with a kid", |d| d.cose_key.push((Cbor::from(2), bytes(4))), Check(InvalidPublicKey)),
        ("a key with two algorithms", |d| d.cose_key.push((Cbor::from(3), Cbor::from(-7))), Check(Malformed)),
        ("a short RSA key", |d| d.cose_key = rsa_key(255, &[1, 0, 1]), Check(InvalidPublicKey)),
        ("a long RSA key", |d| d.cose_key = rsa_key(513, &[1, 0, 1]), Check(InvalidPublicKey)),
        ("an RSA exponent of 1", |d| d.cose_key = rsa_key(256, &[1]), Check(InvalidPublicKey)),
        ("no attestation, with a statement", |d| d.statement = Some(vec![(Cbor::from("alg"), Cbor::from(-7))]), Check(InvalidAttestation)),
        ("self attestation without a signature", |d| d.format = "packed", Check(InvalidAttestation)),
        ("self attestation with a wrong signature", |d| {
            d.format = "packed";
            d.statement = Some(vec![(Cbor::from("alg"), Cbor::from(-7)), (Cbor::from("sig"), bytes(70))]);
        }, Check(InvalidAttestation)),
        ("another type", |d| d.edit = |j| j["type"] = "password".into(), Json),
        ("no rawId", |d| d.edit = |j| j["rawId"] = Value::Null, Json),
        ("padding", |d| d.edit = |j| j["rawId"] = "AAE=".into(), Json),
        ("base64 of mail", |d| d.edit = |j| j["rawId"] = "a+/b".into(), Json),
        ("client data of 5,000 bytes", |d| d.client_data["x"] = "x".repeat(5_000).into(), Json),
        ("an attestation object of 8,400 bytes", |d| d.trailing = vec![0; 8_400], Json),
        ("an attestation object that is a list", |d| d.edit = |j| j["response"]["attestationObject"] = encode(&[0x80]).into(), Check(Malformed)),
        ("an empty attestation object", |d| d.edit = |j| j["response"]["attestationObject"] = "".into(), Check(Malformed)),
        ("transports that are no list", |d| d.edit = |j| j["response"]["transports"] = "usb".into(), Json),
    ]
}

fn rsa_key(length: usize, exponent: &[u8]) -> Vec<(Cbor, Cbor)> {
    let integer = |label: i64, value: i64| (Cbor::from(label), Cbor::from(value));
    let modulus = (Cbor::from(-1), Cbor::Bytes(vec![0xff; length]));
    vec![integer(1, 3), integer(3, -257), modulus, (Cbor::from(-2), Cbor::Bytes(exponent.to_vec()))]
}

#[rustfmt::skip]
fn wrong_assertions() -> Vec<Negative<AssertionDraft>> {
    use PasskeyError::*;
    vec![
        ("a registration's client data", |d| d.client_data["type"] = "webauthn.create".into(), Check(WrongCeremony)),
        ("another challenge", |d| d.client_data["challenge"] = encode(&[1; 32]).into(), Check(WrongChallenge)),
        ("another origin", |d| d.client_data["origin"] = "https://evil.example".into(), Check(WrongOrigin)),
        ("no origin", |d| d.client_data["origin"] = Value::Null, Check(Malformed)),
        ("a frame", |d| d.client_data["crossOrigin"] = true.into(), Check(CrossOrigin)),
        ("topOrigin without crossOrigin", |d| d.client_data["topOrigin"] = ORIGIN.into(), Check(CrossOrigin)),
        ("another RP ID", |d| d.rp_id = "example.org".into(), Check(WrongRelyingParty)),
        ("nobody present", |d| d.flags &= !USER_PRESENT, Check(UserNotPresent)),
        ("nobody verified", |d| d.flags &= !USER_VERIFIED, Check(UserNotVerified)),
        ("backed up, but not eligible", |d| d.flags |= BACKED_UP, Check(WrongFlags)),
        ("eligible for backup all at once", |d| d.flags |= BACKUP_ELIGIBLE, Check(BackupEligibilityChanged)),
        ("backed up all at once", |d| d.flags |= BACKUP_ELIGIBLE | BACKED_UP, Check(BackupEligibilityChanged)),
        ("a byte after the counter", |d| d.after_counter = vec![0], Check(TrailingBytes)),
        ("extensions that are missing", |d| d.flags |= EXTENSIONS, Check(Malformed)),
        ("a credential that is missing", |d| d.flags |= ATTESTED_CREDENTIAL, Check(Malformed)),
        ("a credential in an assertion", |d| {
            d.flags |= ATTESTED_CREDENTIAL;
            d.after_counter = [&[0; 16][..], &[0, 1, 7], &[0xa0]].concat();
        }, Check(WrongFlags)),
        ("another credential", |d| d.credential_id = vec![9; 32], Check(CredentialIdMismatch)),
        ("another rawId", |d| d.edit = |j| j["rawId"] = encode(&[9; 32]).into(), Check(CredentialIdMismatch)),
        ("another id", |d| d.edit = |j| j["id"] = encode(&[9; 32]).into(), Check(CredentialIdMismatch)),
        ("no user handle", |d| d.user_handle = None, Check(WrongUser)),
        ("an empty user handle", |d| d.user_handle = Some(Vec::new()), Check(WrongUser)),
        ("somebody else's user handle", |d| d.user_handle = Some(vec![1; 16]), Check(WrongUser)),
        ("a user handle of 65 bytes", |d| d.user_handle = Some(vec![1; 65]), Json),
        ("a bit of the signature", |d| d.spoil = |s| *s.last_mut().expect("bytes") ^= 1, Check(WrongSignature)),
        ("a byte after the signature", |d| d.spoil = |s| s.push(0), Check(WrongSignature)),
        ("a signature that is cut", |d| d.spoil = |s| { s.pop(); }, Check(WrongSignature)),
        ("no signature", |d| d.spoil = Vec::clear, Check(WrongSignature)),
        ("a signature of 1,025 bytes", |d| d.spoil = |s| s.resize(1_025, 0), Json),
        ("client data that was not signed", |d| d.edit = |j| edit_client_data(j, |text| text.replace('}', " }")), Check(WrongSignature)),
        ("a counter that was not signed", |d| d.edit = |j| {
            let mut data = base64_decode(j["response"]["authenticatorData"].as_str().expect("text"));
            data[36] = 200;
            j["response"]["authenticatorData"] = encode(&data).into();
        }, Check(WrongSignature)),
        ("another type", |d| d.edit = |j| j["type"] = "password".into(), Json),
        ("no response", |d| d.edit = |j| j["response"] = Value::Null, Json),
        ("empty authenticator data", |d| d.edit = |j| j["response"]["authenticatorData"] = "".into(), Check(Malformed)),
    ]
}

#[test]
fn a_registration_with_one_thing_wrong_is_refused() {
    let (site, authenticator) = (Site::new(), SoftwareAuthenticator::es256());
    let options = site.creation_options(PasskeyKind::Passkey);
    for (what, change, refusal) in wrong_registrations() {
        let mut draft = authenticator.register(&options, ORIGIN);
        site.register(draft.finish(&authenticator), PasskeyKind::Passkey).expect("it is right so far");
        change(&mut draft);
        let answer = draft.finish(&authenticator);
        assert_eq!(site.register(answer, PasskeyKind::Passkey), Err(refusal), "{what}");
    }
}

#[test]
fn an_assertion_with_one_thing_wrong_is_refused() {
    for authenticator in
        [SoftwareAuthenticator::es256(), SoftwareAuthenticator::ed25519(), SoftwareAuthenticator::rs256()]
    {
        let site = Site::new();
        let passkey = site.stored(&authenticator, PasskeyKind::Passkey, |_| ());
        let options = site.request_options(&[]);
        for (what, change, refusal) in wrong_assertions() {
            let mut draft = authenticator.assert(&options, ORIGIN, Some(site.user.id.as_bytes()));
            site.assert(draft.finish(&authenticator), &passkey, None).expect("it is right so far");
            change(&mut draft);
            assert_eq!(site.assert(draft.finish(&authenticator), &passkey, None), Err(refusal), "{what}");
        }
    }
}
