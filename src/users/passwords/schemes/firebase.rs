//! Firebase's scrypt in Supabase's format: `$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=…$salt$digest`. The digest is the
//! project's signer key, encrypted with a key derived from the password.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::crypto;

use super::super::workspace::Workspace;
use super::scrypt::ScryptCost;
use super::{Unusable, decode_base64};

const MALFORMED: Unusable = Unusable::Malformed("Firebase scrypt");

/// Length of an AES-256 key in bytes.
const KEY: usize = 32;

pub(in super::super) struct FirebaseHash {
    cost: ScryptCost,
    /// The user's salt followed by the project's salt separator.
    salt: Vec<u8>,
    signer_key: Zeroizing<Vec<u8>>,
    digest: Vec<u8>,
}

impl FirebaseHash {
    /// Parses a hash after the prefix.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let fields: Vec<&str> = text.split('$').collect();
        let [params, salt, digest] = fields[..] else { return Err(MALFORMED) };
        let params = Params::parse(params).ok_or(MALFORMED)?;
        let decode = |text: &str| decode_base64(text).ok_or(MALFORMED);
        let salt = [decode(salt)?, decode(params.separator)?].concat();
        let (signer_key, digest) = (Zeroizing::new(decode(params.signer_key)?), decode(digest)?);
        if signer_key.is_empty() || signer_key.len() != digest.len() {
            return Err(MALFORMED);
        }
        let number = |text: &str| text.parse().map_err(|_| MALFORMED);
        let cost = ScryptCost::checked(number(params.n)?, number(params.r)?, number(params.p)?, MALFORMED)?;
        Ok(Self { cost, salt, signer_key, digest })
    }

    pub(super) fn matches(&self, password: &[u8], workspace: &Workspace) -> bool {
        let mut key = Zeroizing::new([0; KEY]);
        self.cost.derive(password, &self.salt, key.as_mut_slice(), workspace)
            && encipher(&self.signer_key, &key).is_some_and(|digest| crypto::equal(&digest, &self.digest))
    }
}

/// The parameters: all six, in this order.
struct Params<'a> {
    n: &'a str,
    r: &'a str,
    p: &'a str,
    separator: &'a str,
    signer_key: &'a str,
}

impl<'a> Params<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let fields: Vec<&str> = text.split(',').collect();
        let ["v=1", n, r, p, separator, signer_key] = fields[..] else { return None };
        Some(Self {
            n: n.strip_prefix("n=")?,
            r: r.strip_prefix("r=")?,
            p: p.strip_prefix("p=")?,
            separator: separator.strip_prefix("ss=")?,
            signer_key: signer_key.strip_prefix("sk=")?,
        })
    }
}

/// Encrypts with AES-256 in counter mode, starting at zero.
fn encipher(text: &[u8], key: &[u8; KEY]) -> Option<Zeroizing<Vec<u8>>> {
    let key = UnboundCipherKey::new(&AES_256, key).and_then(EncryptingKey::ctr).ok()?;
    let mut text = Zeroizing::new(text.to_vec());
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from([0; 16]))).ok()?;
    Some(text)
}
