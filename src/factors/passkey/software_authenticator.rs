//! For tests: an authenticator in software, with a browser around it. What it answers is right unless a test changes the draft of it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaEncoding};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use crate::crypto::{random_bytes, sha256};

pub(super) const USER_PRESENT: u8 = 0x01;
pub(super) const USER_VERIFIED: u8 = 0x04;
pub(super) const BACKUP_ELIGIBLE: u8 = 0x08;
pub(super) const BACKED_UP: u8 = 0x10;
pub(super) const ATTESTED_CREDENTIAL: u8 = 0x40;
pub(super) const EXTENSIONS: u8 = 0x80;

/// An authenticator with one credential.
pub(super) struct SoftwareAuthenticator {
    key: SigningKey,
    pub(super) credential_id: Vec<u8>,
}

enum SigningKey {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// The answer to creation options, before it is encoded.
pub(super) struct RegistrationDraft {
    pub(super) client_data: Value,
    pub(super) rp_id: String,
    pub(super) flags: u8,
    pub(super) sign_count: u32,
    pub(super) credential_id: Vec<u8>,
    pub(super) cose_key: Vec<(Cbor, Cbor)>,
    /// Authenticator data after the public key: extensions.
    pub(super) after_key: Vec<u8>,
    /// Cuts the authenticator data to this length.
    pub(super) cut: Option<usize>,
    pub(super) format: &'static str,
    /// `None`: self attestation, signed by the credential.
    pub(super) statement: Option<Vec<(Cbor, Cbor)>>,
    /// Bytes after the attestation object.
    pub(super) trailing: Vec<u8>,
    /// Changes the JSON.
    pub(super) edit: fn(&mut Value),
}

/// The answer to request options, before it is signed and encoded.
pub(super) struct AssertionDraft {
    pub(super) client_data: Value,
    pub(super) rp_id: String,
    pub(super) flags: u8,
    pub(super) sign_count: u32,
    /// Authenticator data after the counter.
    pub(super) after_counter: Vec<u8>,
    pub(super) credential_id: Vec<u8>,
    pub(super) user_handle: Option<Vec<u8>>,
    /// Changes the signature.
    pub(super) spoil: fn(&mut Vec<u8>),
    /// Changes the JSON.
    pub(super) edit: fn(&mut Value),
}

impl SoftwareAuthenticator {
    pub(super) fn es256() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        Self::with(SigningKey::Es256(key))
    }

    pub(super) fn ed25519() -> Self {
        Self::with(SigningKey::EdDsa(Ed25519KeyPair::generate().expect("a key")))
    }

    pub(super) fn rs256() -> Self {
        Self::with(SigningKey::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    fn with(key: SigningKey) -> Self {
        Self { key, credential_id: random_bytes::<32>().to_vec() }
    }

    /// A right answer to creation options, by a page of this origin.
    pub(super) fn register(&self, options: &Value, origin: &str) -> RegistrationDraft {
        RegistrationDraft {
            client_data: client_data("webauthn.create", options, origin),
            rp_id: text(&options["rp"]["id"]),
            flags: USER_PRESENT | USER_VERIFIED | ATTESTED_CREDENTIAL,
            sign_count: 0,
            credential_id: self.credential_id.clone(),
            cose_key: self.cose_key(),
            after_key: Vec::new(),
            cut: None,
            format: "none",
            statement: Some(Vec::new()),
            trailing: Vec::new(),
            edit: |_| (),
        }
    }

    /// A right answer to request options, by a page of this origin.
    pub(super) fn assert(&self, options: &Value, origin: &str, user_handle: Option<&[u8]>) -> AssertionDraft {
        AssertionDraft {
            client_data: client_data("webauthn.get", options, origin),
            rp_id: text(&options["rpId"]),
            flags: USER_PRESENT | USER_VERIFIED,
            sign_count: 1,
            after_counter: Vec::new(),
            credential_id: self.credential_id.clone(),
            user_handle: user_handle.map(<[u8]>::to_vec),
            spoil: |_| (),
            edit: |_| (),
        }
    }

    fn cose_key(&self) -> Vec<(Cbor, Cbor)> {
        match &self.key {
            SigningKey::EdDsa(key) => cose(&[(1, 1), (3, -8), (-1, 6)], &[(-2, key.public_key().as_ref())]),
            SigningKey::Es256(key) => {
                let point = key.public_key().as_ref();
                cose(&[(1, 2), (3, -7), (-1, 1)], &[(-2, &point[1..33]), (-3, &point[33..])])
            }
            SigningKey::Rs256(key) => {
                // An RSAPublicKey in DER: the modulus begins after its header, and the exponent's three bytes are the last.
                let der = key.public_key().as_ref();
                cose(&[(1, 3), (3, -257)], &[(-1, &der[9..265]), (-2, &der[der.len() - 3..])])
            }
        }
    }

    fn algorithm(&self) -> i64 {
        match &self.key {
            SigningKey::EdDsa(_) => -8,
            SigningKey::Es256(_) => -7,
            SigningKey::Rs256(_) => -257,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            SigningKey::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            SigningKey::Es256(key) => {
                key.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
            }
            SigningKey::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let encoding: &'static dyn RsaEncoding = &RSA_PKCS1_SHA256;
                key.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("a signature");
                signature
            }
        }
    }
}

impl RegistrationDraft {
    /// The JSON of the answer.
    pub(super) fn finish(&self, authenticator: &SoftwareAuthenticator) -> Value {
        let client_data = self.client_data.to_string();
        let mut data = header(&self.rp_id, self.flags, self.sign_count);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential_id.len()).expect("short").to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(cbor_bytes(&Cbor::Map(self.cose_key.clone())));
        data.extend(&self.after_key);
        data.truncate(self.cut.unwrap_or(data.len()));
        let signature = authenticator.sign(&[data.as_slice(), &sha256(client_data.as_bytes())].concat());
        let statement = self.statement.clone().unwrap_or_else(|| {
            vec![
                (Cbor::from("alg"), Cbor::from(authenticator.algorithm())),
                (Cbor::from("sig"), Cbor::Bytes(signature)),
            ]
        });
        let mut object = cbor_bytes(&Cbor::Map(vec![
            (Cbor::from("fmt"), Cbor::from(self.format)),
            (Cbor::from("attStmt"), Cbor::Map(statement)),
            (Cbor::from("authData"), Cbor::Bytes(data)),
        ]));
        object.extend(&self.trailing);
        let response = json!({
            "clientDataJSON": encode(client_data.as_bytes()), "attestationObject": encode(&object),
            "transports": ["usb", "internal"],
        });
        credential(&self.credential_id, response, self.edit)
    }
}

impl AssertionDraft {
    /// The JSON of the answer.
    pub(super) fn finish(&self, authenticator: &SoftwareAuthenticator) -> Value {
        let client_data = self.client_data.to_string();
        let mut data = header(&self.rp_id, self.flags, self.sign_count);
        data.extend(&self.after_counter);
        let mut signature = authenticator.sign(&[data.as_slice(), &sha256(client_data.as_bytes())].concat());
        (self.spoil)(&mut signature);
        let response = json!({
            "clientDataJSON": encode(client_data.as_bytes()), "authenticatorData": encode(&data),
            "signature": encode(&signature), "userHandle": self.user_handle.as_deref().map(encode),
        });
        credential(&self.credential_id, response, self.edit)
    }
}

fn client_data(ceremony: &str, options: &Value, origin: &str) -> Value {
    json!({
        "type": ceremony, "challenge": options["challenge"], "origin": origin, "crossOrigin": false,
        "other_keys_can_be_added_here": "do not compare clientDataJSON against a template",
    })
}

fn credential(id: &[u8], response: Value, edit: fn(&mut Value)) -> Value {
    let mut credential = json!({
        "id": encode(id), "rawId": encode(id), "type": "public-key", "authenticatorAttachment": "platform",
        "clientExtensionResults": {}, "response": response,
    });
    edit(&mut credential);
    credential
}

fn header(rp_id: &str, flags: u8, sign_count: u32) -> Vec<u8> {
    [sha256(rp_id.as_bytes()).as_slice(), &[flags], &sign_count.to_be_bytes()].concat()
}

fn cose(integers: &[(i64, i64)], bytes: &[(i64, &[u8])]) -> Vec<(Cbor, Cbor)> {
    let integers = integers.iter().map(|(label, value)| (Cbor::from(*label), Cbor::from(*value)));
    let bytes = bytes.iter().map(|(label, value)| (Cbor::from(*label), Cbor::Bytes(value.to_vec())));
    integers.chain(bytes).collect()
}

pub(super) fn cbor_bytes(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory");
    bytes
}

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
