//! Parses the file: each fault with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Deserialize;
use toml::Spanned;
use url::Url;
use uuid::Uuid;

use super::super::public_url::{is_loopback, is_plain};
use super::super::source;
use super::{AppleKey, ProviderConfig, ProviderCredential, ProviderKind};
use crate::crypto::SecretBytes;

/// The other methods of proving oneself: a provider by one of these names could not be told from it.
const RESERVED: [&str; 8] =
    ["email", "handoff", "passkey", "password", "recovery_code", "second_factor", "security_key", "totp"];

/// The longest name or title.
const MOST_NAME: usize = 32;
const MOST_TITLE: usize = 64;

const GITHUB: &str = "https://github.com";
const APPLE: &str = "https://appleid.apple.com";
const MICROSOFT: &str = "https://login.microsoftonline.com/common/v2.0";

/// Which accounts of Microsoft may sign in, where it is not one tenant.
const TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

/// A table of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderTable {
    #[serde(default)]
    kind: ProviderKind,
    title: Option<Spanned<String>>,
    issuer: Option<Spanned<String>>,
    client_id: Spanned<String>,
    client_secret_file: Option<Spanned<String>>,
    #[serde(default)]
    client_ids: Vec<Spanned<String>>,
    scopes: Option<Spanned<Vec<String>>>,
    aal2_acr: Option<Spanned<Vec<String>>>,
    aal2_amr: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    store_tokens: bool,
    team_id: Option<Spanned<String>>,
    key_id: Option<Spanned<String>>,
}

/// Where a value stands in the file, and what was expected there.
struct Misplaced(Range<usize>, String);

/// The providers in the order of the file. Paths in it are relative to `folder`.
///
/// # Errors
/// Every fault, or the first one if it is not TOML of these keys.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Vec<ProviderConfig>, Vec<Fault>> {
    let fault = |at: usize, what: &str| Fault { line: line(text, at), what: what.to_owned() };
    let tables: BTreeMap<Spanned<String>, Spanned<ProviderTable>> =
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The rest of the library's text is an excerpt of the file.
            vec![fault(at, error.message().lines().next().unwrap_or_default())]
        })?;
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut check = Check { folder, misplaced: Vec::new() };
    let providers = tables.into_iter().filter_map(|(name, table)| check.provider(&name, table)).collect();
    match check.misplaced.is_empty() {
        true => Ok(providers),
        false => Err(check.misplaced.iter().map(|Misplaced(span, what)| fault(span.start, what)).collect()),
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Checks values, and collects what is wrong.
struct Check<'a> {
    folder: &'a Path,
    misplaced: Vec<Misplaced>,
}

impl Check<'_> {
    fn expect(&mut self, is_right: bool, span: Range<usize>, what: &str) {
        if !is_right {
            self.misplaced.push(Misplaced(span, what.to_owned()));
        }
    }

    /// `None`: its issuer is not right, which is told.
    fn provider(&mut self, name: &Spanned<String>, table: Spanned<ProviderTable>) -> Option<ProviderConfig> {
        self.name(name);
        let whole = name.span();
        let table = table.into_inner();
        let kind = table.kind;
        self.client_ids(&table);
        self.two_factor_claims(&table);
        let issuer_is_set = table.issuer.is_some();
        let credential = self.credential(&table, &whole);
        let title = self.title(table.title, kind, name.get_ref());
        let scopes = self.scopes(table.scopes, kind);
        let issuer = self.issuer(table.issuer, kind, &whole);
        Some(ProviderConfig {
            issuer_url: parse_issuer(&issuer)?,
            issuer_is_set,
            credential,
            title,
            issuer,
            scopes,
            name: name.get_ref().clone(),
            kind,
            client_id: table.client_id.into_inner(),
            client_ids: table.client_ids.into_iter().map(Spanned::into_inner).collect(),
            aal2_acr: table.aal2_acr.map(Spanned::into_inner).unwrap_or_default(),
            aal2_amr: table.aal2_amr.map(Spanned::into_inner).unwrap_or_default(),
            store_tokens: table.store_tokens,
        })
    }

    fn name(&mut self, name: &Spanned<String>) {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let text = name.get_ref();
        let is_name = (1..=MOST_NAME).contains(&text.len()) && text.bytes().all(is_allowed);
        self.expect(is_name, name.span(), "expected a name of up to 32 characters of a-z, 0-9 and -");
        let is_free = !RESERVED.contains(&text.as_str());
        self.expect(
            is_free,
            name.span(),
            &format!("expected another name: {text} is another way to sign in"),
        );
    }

    fn title(&mut self, given: Option<Spanned<String>>, kind: ProviderKind, name: &str) -> String {
        let Some(title) = given else { return default_title(kind, name) };
        let text = title.get_ref();
        let is_title = (1..=MOST_TITLE).contains(&text.chars().count()) && !text.contains(char::is_control);
        self.expect(is_title && text.trim() == text, title.span(), "expected a title of up to 64 characters");
        title.into_inner()
    }

    fn issuer(&mut self, given: Option<Spanned<String>>, kind: ProviderKind, whole: &Range<usize>) -> String {
        let default = match kind {
            ProviderKind::Oidc => None,
            ProviderKind::GitHub => Some(GITHUB),
            ProviderKind::Apple => Some(APPLE),
            ProviderKind::Microsoft => Some(MICROSOFT),
        };
        let Some(issuer) = given else {
            self.expect(default.is_some(), whole.clone(), "expected `issuer`, or another `kind`");
            return default.unwrap_or_default().to_owned();
        };
        self.expect(
            parse_issuer(issuer.get_ref()).is_some(),
            issuer.span(),
            "expected an https URL without user, query and fragment (http only for this machine)",
        );
        if kind == ProviderKind::Microsoft {
            self.expect(
                is_tenant(issuer.get_ref()),
                issuer.span(),
                "expected https://login.microsoftonline.com/TENANT/v2.0, where TENANT is a tenant's id, common, organizations or consumers",
            );
        }
        issuer.into_inner()
    }

    fn client_ids(&mut self, table: &ProviderTable) {
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        for id in table.client_ids.iter().chain([&table.client_id]) {
            self.expect(is_id(id.get_ref()), id.span(), "expected printable ASCII characters");
        }
    }

    fn scopes(&mut self, given: Option<Spanned<Vec<String>>>, kind: ProviderKind) -> Vec<String> {
        let Some(scopes) = given else {
            return default_scopes(kind).iter().map(|scope| (*scope).to_owned()).collect();
        };
        // RFC 6749, section 3.3.
        let is_allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(is_allowed);
        let all = scopes.get_ref();
        self.expect(all.iter().all(is_scope), scopes.span(), "expected scopes, one string for each");
        let has_openid = kind == ProviderKind::GitHub || all.iter().any(|scope| scope == "openid");
        self.expect(has_openid, scopes.span(), "expected \"openid\" among the scopes");
        scopes.into_inner()
    }

    /// GitHub does not say how somebody signed in.
    fn two_factor_claims(&mut self, table: &ProviderTable) {
        for claims in table.aal2_acr.iter().chain(&table.aal2_amr) {
            let expected =
                "expected neither aal2_acr nor aal2_amr: GitHub does not tell how somebody signed in";
            self.expect(table.kind != ProviderKind::GitHub, claims.span(), expected);
        }
    }

    fn credential(&mut self, table: &ProviderTable, whole: &Range<usize>) -> ProviderCredential {
        if table.kind == ProviderKind::Apple {
            return self.apple_key(table, whole);
        }
        for id in table.team_id.iter().chain(&table.key_id) {
            self.expect(false, id.span(), "expected no team_id or key_id: they are for kind = \"apple\"");
        }
        let Some(path) = &table.client_secret_file else {
            let may_be_public = table.kind != ProviderKind::GitHub;
            self.expect(may_be_public, whole.clone(), "expected `client_secret_file`");
            return ProviderCredential::None;
        };
        let Some(secret) = self.secret(path) else { return ProviderCredential::None };
        ProviderCredential::Secret(secret.into())
    }

    fn apple_key(&mut self, table: &ProviderTable, whole: &Range<usize>) -> ProviderCredential {
        let (Some(team_id), Some(key_id), Some(path)) =
            (&table.team_id, &table.key_id, &table.client_secret_file)
        else {
            let expected =
                "expected `team_id`, `key_id`, and `client_secret_file`: the key (.p8) that Apple gave";
            self.expect(false, whole.clone(), expected);
            return ProviderCredential::None;
        };
        let pem = SecretBytes::new(self.secret(path).unwrap_or_default().into_bytes());
        let signs = EncodingKey::from_ec_pem(pem.reveal())
            .and_then(|key| crypto::sign(b"dualauth", &key, Algorithm::ES256));
        self.expect(signs.is_ok(), path.span(), "expected a file with a P-256 key: PKCS #8 in PEM");
        let (team_id, key_id) = (team_id.get_ref().clone(), key_id.get_ref().clone());
        ProviderCredential::AppleKey(AppleKey { team_id, key_id, pem })
    }

    /// What the file has. It is never repeated in a fault.
    fn secret(&mut self, path: &Spanned<String>) -> Option<String> {
        match source::read(self.folder.join(path.get_ref())) {
            Ok(secret) => {
                self.expect(!secret.trim().is_empty(), path.span(), "the file that this names is empty");
                Some(secret)
            }
            Err(error) => {
                self.expect(false, path.span(), &format!("the file that this names can't be read: {error}"));
                None
            }
        }
    }
}

/// An https URL without user, query and fragment; plain http only for this machine.
fn parse_issuer(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_safe = url.scheme() == "https" || url.host().is_some_and(|host| is_loopback(&host));
    let is_written_so = text.is_ascii() && !text.contains(char::is_whitespace);
    (is_plain(&url) && url.has_host() && is_safe && is_written_so).then_some(url)
}

fn is_tenant(issuer: &str) -> bool {
    let tenant =
        issuer.strip_suffix("/v2.0").and_then(|rest| rest.rsplit_once('/')).map(|(_, tenant)| tenant);
    tenant.is_some_and(|tenant| TENANTS.contains(&tenant) || Uuid::try_parse(tenant).is_ok())
}

fn default_title(kind: ProviderKind, name: &str) -> String {
    match kind {
        ProviderKind::GitHub => "GitHub".to_owned(),
        ProviderKind::Apple => "Apple".to_owned(),
        ProviderKind::Microsoft => "Microsoft".to_owned(),
        ProviderKind::Oidc => {
            let (first, rest) = name.split_at_checked(1).unwrap_or_default();
            format!("{}{rest}", first.to_ascii_uppercase())
        }
    }
}

fn default_scopes(kind: ProviderKind) -> &'static [&'static str] {
    match kind {
        ProviderKind::GitHub => &["read:user", "user:email"],
        ProviderKind::Apple => &["openid", "email"],
        ProviderKind::Oidc | ProviderKind::Microsoft => &["openid", "email", "profile"],
    }
}
