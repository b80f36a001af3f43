//! Promises of the file of providers.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::super::Config;
use super::*;
use crate::crypto::random_bytes;

/// A folder with a secret in it, which is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("dualauth-providers-{:016x}", u64::from_ne_bytes(random_bytes()));
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir(&folder.0).expect("a folder");
        folder.write("secret", "hunter2\n");
        folder.write("empty", "\n");
        folder
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.join(name), content).expect("a file");
    }

    fn read(&self, providers: &str) -> Result<Vec<ProviderConfig>, String> {
        self.write("providers.toml", providers);
        let path = self.0.join("providers.toml").to_str().expect("a path").to_owned();
        let read = Config::from_vars(|name| (name == "PROVIDERS").then(|| path.clone()));
        read.map(|config| config.providers).map_err(|error| error.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn providers_are_read_in_the_order_of_the_file() {
    let folder = Folder::new();
    let read = folder
        .read(
            r#"
[work]
issuer = "http://127.0.0.1:9/realms/work"
client_id = "dualauth"
title = "Example & Sons"
client_ids = ["app"]
scopes = ["openid", "groups"]
aal2_acr = ["gold"]
aal2_amr = ["mfa"]
store_tokens = true

[github]
kind = "github"
client_id = "g"
client_secret_file = "secret"

[microsoft]
kind = "microsoft"
client_id = "m"
client_secret_file = "secret"
"#,
        )
        .expect("it is right");
    let [work, github, microsoft] = &read[..] else { panic!("{read:?}") };
    assert_eq!((&*work.name, &*work.title, work.kind), ("work", "Example & Sons", ProviderKind::Oidc));
    assert_eq!(work.scopes, ["openid", "groups"]);
    assert!(work.issuer_is_set && work.store_tokens && matches!(work.credential, ProviderCredential::None));
    assert_eq!((&work.client_ids, &work.aal2_acr), (&vec!["app".to_owned()], &vec!["gold".to_owned()]));
    assert_eq!((&*github.title, &*github.issuer), ("GitHub", "https://github.com"));
    assert!(!github.issuer_is_set);
    let ProviderCredential::Secret(secret) = &github.credential else { panic!("{github:?}") };
    assert_eq!(secret.expose_secret(), "hunter2");
    assert_eq!(microsoft.issuer, "https://login.microsoftonline.com/common/v2.0");
    assert!(!format!("{read:?}").contains("hunter2"));
}

#[test]
fn every_fault_is_told_with_its_line() {
    let folder = Folder::new();
    folder.write("key", &test_key());
    for (file, line, told) in [
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\n]", 4, ""),
        ("[a]\nclient_id = 'x'\nclient_secret = 'hunter2'", 3, "unknown field `client_secret`"),
        ("[a]\nclient_id = 'x'\n\nissuer = 5", 4, "string"),
        ("[a]\nissuer = 'https://a.example'", 1, "client_id"),
        ("[a]\nclient_id = 'x'", 1, "`issuer`"),
        ("[a]\nclient_id = 'x'\nkind = 'facebook'", 3, "facebook"),
        ("\n[A]\nclient_id = 'x'\nkind = 'microsoft'", 2, "a-z"),
        ("['']\nclient_id = 'x'\nkind = 'microsoft'", 1, "a-z"),
        ("['a/b']\nclient_id = 'x'\nkind = 'microsoft'", 1, "a-z"),
        ("[email]\nclient_id = 'x'\nkind = 'microsoft'", 1, "another name"),
        ("[passkey]\nclient_id = 'x'\nkind = 'microsoft'", 1, "another name"),
        ("[a]\nclient_id = 'x'\nissuer = 'http://a.example'", 3, "https"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example?x'", 3, "https"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://u@a.example'", 3, "https"),
        ("[a]\nclient_id = 'x'\nissuer = ' https://a.example'", 3, "https"),
        ("[a]\nclient_id = ''\nissuer = 'https://a.example'", 2, "ASCII"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nclient_ids = [\n'y',\n'']", 6, "ASCII"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nclient_ids = 'y'", 4, "sequence"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nscopes = ['email']", 4, "openid"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nscopes = ['openid email']", 4, "one string"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\ntitle = ''", 4, "title"),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nteam_id = 'T'", 4, "apple"),
        (
            "[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nclient_secret_file = 'none'",
            4,
            "can't be read",
        ),
        ("[a]\nclient_id = 'x'\nissuer = 'https://a.example'\nclient_secret_file = 'empty'", 4, "empty"),
        ("[a]\nclient_id = 'x'\nkind = 'github'", 1, "client_secret_file"),
        (
            "[a]\nclient_id = 'x'\nkind = 'github'\nclient_secret_file = 'secret'\naal2_amr = ['mfa']",
            5,
            "GitHub",
        ),
        (
            "[a]\nclient_id = 'x'\nkind = 'microsoft'\nissuer = 'https://login.microsoftonline.com/me.example/v2.0'",
            4,
            "TENANT",
        ),
        ("[a]\nclient_id = 'x'\nkind = 'apple'\nclient_secret_file = 'key'", 1, "team_id"),
        (
            "[a]\nclient_id = 'x'\nkind = 'apple'\nteam_id = 'T'\nkey_id = 'K'\nclient_secret_file = 'secret'",
            6,
            "P-256",
        ),
        ("[a]\nclient_id = 'x'\nkind = 'microsoft'\n[a]\nclient_id = 'y'", 4, ""),
    ] {
        let error = folder.read(file).expect_err(file);
        assert!(
            error.contains(&format!("PROVIDERS, line {line}: ")) && error.contains(told),
            "{file}\n{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    let apple =
        "[a]\nclient_id = 'x'\nkind = 'apple'\nteam_id = 'T'\nkey_id = 'K'\nclient_secret_file = 'key'";
    assert!(matches!(folder.read(apple).expect("a key")[0].credential, ProviderCredential::AppleKey(_)));
}

#[test]
fn faults_of_several_providers_are_told_together() {
    let told = Folder::new()
        .read("[A]\nclient_id = 'x'\nkind = 'microsoft'\n[b]\nclient_id = ''\nissuer = 'http://b.example'")
        .expect_err("faults");
    for line in [1, 5, 6] {
        assert!(told.contains(&format!("line {line}:")), "{told}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let told = Config::from_vars(|name| (name == "PROVIDERS").then(|| "/nowhere".to_owned()));
    assert!(told.expect_err("no file").to_string().contains("PROVIDERS names can't be read"));
}

fn test_key() -> String {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    pem::encode(&pem::Pem::new("PRIVATE KEY", der.expect("a key").as_ref()))
}
