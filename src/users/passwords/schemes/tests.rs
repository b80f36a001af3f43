//! Tests of hash formats, with hashes made by the original systems.

use std::sync::Arc;

use super::*;

const PASSWORD: &str = "a quiet lantern over the weir";

/// Django 5.2: `get_hasher(name).encode(PASSWORD, salt)`, with a cost that tests can wait for.
const DJANGO: [&str; 5] = [
    "pbkdf2_sha256$1000$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=",
    "argon2$argon2id$v=19$m=64,t=1,p=2$c2FsdHNhbHRzYWx0c2FsdA$+6hNuNqZF+RK0jj0fagqBPIg7KeksBiI3MpwqP72n/Q",
    "bcrypt_sha256$$2b$04$YGVsp9ISsd.eMqNewYv99.FC8DPR6OzokfnnNsQa4VhSJlaoZCel.",
    "bcrypt$$2b$04$SdZv9nhOoXbAasLdv8BEruv7ib7W56Jil14VeCxe6E83oMvLRVMim",
    "scrypt$16$saltsaltsalt$8$2$\
     w6ICAGtfgtwKLYhxmLn4wC6V2Ug/iExIiXtLRFakUvYj680+xFl3CLzDAUWZjA+6K323nxPq46AiQFsyLqki7g==",
];

/// bcrypt 5.0 for Python: `hashpw(PASSWORD, gensalt(4, prefix))`; PHP calls its `$2b$` `$2y$`.
const BCRYPT: [&str; 3] = [
    "$2a$04$qP1GC/ZVmfKE6ZitKVzPmO5TnVYmJnBB7kIbchUu7DfMDM8QlycsO",
    "$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q",
    "$2y$04$QRBHz6dR3/4OBEX6ilyfI.whwYlsGa18EuSeb8xdgUXRu9KrKotkS",
];

/// argon2-cffi 25.1: `PasswordHasher(time_cost, memory_cost, parallelism, type=type).hash(PASSWORD)`; the last two by
/// `hash_secret(…, version=16)`, which may say its version or not.
const ARGON2: [&str; 7] = [
    "$argon2d$v=19$m=64,t=2,p=1$zLsXXAC9Ur8ZXTpaylt1TQ$ThDMPk6ICP1ZgVPYKCmO8rhN/S+Ak9P3lig1/dYU0TU",
    "$argon2i$v=19$m=64,t=2,p=1$ULsUrVy3DVt8qtU3oSFQxw$A3VpUJGcK599PQl5OR3OI9S0+VH+U8U3DL2XAKZApR0",
    "$argon2id$v=19$m=64,t=2,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
    "$argon2id$v=19$m=128,t=1,p=4$tOsKZ3zINBkY3UGF4B4Vug$qtCzOPYdRDPohaAhJEieP2/wy89VFQoDMV0eIRTrW/A",
    "$argon2id$v=19$m=64,t=2,p=1$dulzHxGSd3I$5TJ3O4GUn+xdvM7IJuo3Bg",
    "$argon2i$v=16$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNsdA$SZ/gSHVHL7NOnoFJLmg3s53h+/GkgalXhAHa0LitG/w",
    "$argon2i$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNsdA$SZ/gSHVHL7NOnoFJLmg3s53h+/GkgalXhAHa0LitG/w",
];

/// passlib 1.7: `scrypt.using(rounds=ln, block_size=r, parallelism=p).hash(PASSWORD)`.
const SCRYPT: [&str; 2] = [
    "$scrypt$ln=4,r=8,p=1$2Pu/V6q1NkZIaU0pRWhNaQ$uNJ45psWHdF2iKI5lemeLkjY9YI+xE/s59Icxg4tttw",
    "$scrypt$ln=5,r=4,p=2$cy7FWMt5T6n1XqtVKmXM+Q$yiuV0cmr9ERNJzwfU81PJU+1UHpXAglwuzCgs2ZkFBI",
];

/// A system, a password, and its hash by that system: `tests/imports/make.py` has the code that made each.
const OTHERS: &str = include_str!("../../../../tests/imports/hashes.json");

fn others() -> Vec<(String, String, String)> {
    serde_json::from_str(OTHERS).expect("triples")
}

fn all() -> impl Iterator<Item = &'static str> {
    DJANGO.into_iter().chain(BCRYPT).chain(ARGON2).chain(SCRYPT)
}

fn matches(hash: &str, password: &str) -> bool {
    let stored = StoredHash::parse(hash).unwrap_or_else(|error| panic!("{hash} {error}"));
    stored.matches(password.as_bytes(), &mut Workspace::new(64, Arc::default())).expect("an answer")
}

fn refusal(hash: &str) -> Unusable {
    StoredHash::parse(hash).err().unwrap_or_else(|| panic!("{hash} is taken"))
}

fn too_costly(hash: &str) -> bool {
    matches!(refusal(hash), Unusable::TooCostly(_))
}

#[test]
fn what_other_systems_hashed_verifies_with_its_password_only() {
    for hash in all() {
        assert!(matches(hash, PASSWORD), "{hash}");
        for wrong in ["", "A quiet lantern over the weir", "a quiet lantern over the weir ", hash] {
            assert!(!matches(hash, wrong), "{hash} takes {wrong:?}");
        }
    }
}

#[test]
fn what_each_systems_own_library_hashed_verifies_with_its_password_as_it_was_typed() {
    for (system, password, hash) in others() {
        assert!(matches(&hash, &password), "{system}: {hash} is not of {password:?}");
        let cut: String = password.chars().skip(2).collect();
        assert!(!matches(&hash, &cut), "{system}: {hash} takes {cut:?}");
        let normal = super::super::normalize(&password);
        assert!(*normal == password || !matches(&hash, &normal), "{system}: {hash} takes {normal:?}");
    }
}

#[test]
fn what_the_reference_implementation_hashed_verifies() {
    // printf 'correct horse battery' | argon2 'sixteen byte salt' -id -t 2 -k 64 -p 1 -l 32 -e
    let reference =
        "$argon2id$v=19$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNhbHQ$X6Fj9PAz44CW9o2llHNH3IHhMu7PRGSMF20dNZjCVOE";
    assert!(matches(reference, "correct horse battery"));
    assert!(!matches(reference, "correct horse batterz"));
}

#[test]
fn bcrypt_looks_at_72_bytes_as_those_who_made_the_hash_did() {
    // hashpw(password.encode()[:72], gensalt(4)), as all versions of bcrypt for Python before 5.0 truncated by
    // themselves.
    let hash = "$2b$04$27qjRmh8K24cc7erwczuD.VyF4haJjG4QZF4XEhTCdMTjGP4fvZ/u";
    let password = "long ".repeat(18);
    assert!(matches(hash, &password));
    assert!(matches(hash, &password[..72]));
    assert!(!matches(hash, &password[..71]));
}

#[test]
fn only_what_is_argon2id_at_todays_cost_or_more_stays() {
    let today = Params::new(64, 2, 1, None).expect("valid");
    let is_outdated = |hash: &str| StoredHash::parse(hash).expect("a hash").is_outdated(&today);
    assert!(all().filter(|hash| !is_outdated(hash)).eq([ARGON2[2]]));

    let with = |cost: &str| ARGON2[2].replace("m=64,t=2,p=1", cost);
    for cost in ["m=63,t=2,p=1", "m=64,t=1,p=1", "m=6400,t=1,p=1", "m=32,t=200,p=1"] {
        assert!(is_outdated(&with(cost)), "{cost}");
    }
    for cost in ["m=64,t=3,p=1", "m=65,t=2,p=1", "m=640,t=20,p=1", "m=64,t=2,p=2"] {
        assert!(!is_outdated(&with(cost)), "{cost}");
        assert!(
            is_outdated(&format!("argon2{}", with(cost))),
            "Django's are none of ours, whatever they cost"
        );
    }
}

#[test]
fn a_hash_may_cost_so_much_and_no_more() {
    let argon2 = |cost: &str| ARGON2[2].replace("m=64,t=2,p=1", cost);
    let scrypt = |cost: &str| SCRYPT[0].replace("ln=4,r=8,p=1", cost);
    let django_scrypt = |cost: &str| DJANGO[4].replacen("16$saltsaltsalt$8$2", cost, 1);
    let pbkdf2 = |iterations: &str| DJANGO[0].replace("$1000$", &format!("${iterations}$"));
    let bcrypt = |hash: &str, cost: &str| hash.replace("$04$", &format!("${cost}$"));
    for (taken, refused) in [
        (argon2("m=262144,t=16,p=1"), argon2("m=262145,t=1,p=1")),
        (argon2("m=19456,t=215,p=1"), argon2("m=19456,t=216,p=1")),
        (argon2("m=8,t=524288,p=1"), argon2("m=8,t=4294967295,p=1")),
        (argon2("m=64,t=2,p=8"), argon2("m=4294967295,t=4294967295,p=16777215")),
        (scrypt("ln=17,r=15,p=4"), scrypt("ln=18,r=8,p=1")),
        (scrypt("ln=17,r=8,p=8"), scrypt("ln=17,r=8,p=9")),
        (scrypt("ln=4,r=8,p=1000"), scrypt("ln=1,r=1,p=1073741823")),
        (scrypt("ln=1,r=524288,p=1"), scrypt("ln=1,r=1,p=4194304")),
        (scrypt("ln=14,r=8,p=5"), scrypt("ln=63,r=8,p=1")),
        (scrypt("ln=20,r=1,p=1"), scrypt("ln=4294967295,r=4294967295,p=4294967295")),
        (django_scrypt("131072$saltsaltsalt$8$8"), django_scrypt("2147483648$saltsaltsalt$8$1")),
        (pbkdf2("12000000"), pbkdf2("12000001")),
        (pbkdf2("1"), pbkdf2("4294967295")),
        (bcrypt(BCRYPT[0], "15"), bcrypt(BCRYPT[0], "16")),
        (bcrypt(DJANGO[2], "15"), bcrypt(DJANGO[2], "31")),
    ] {
        assert!(StoredHash::parse(&taken).is_ok(), "{taken}");
        assert!(too_costly(&refused), "{refused}: {}", refusal(&refused));
    }
}

/// The first hash with this prefix.
fn other(begins: &str) -> String {
    others().into_iter().map(|(.., hash)| hash).find(|hash| hash.starts_with(begins)).expect(begins)
}

#[test]
fn a_hash_of_another_system_may_cost_so_much_and_no_more() {
    let with = |begins: &str, cost: &str, other_cost: &str| other(begins).replacen(cost, other_cost, 1);
    let identity = |iterations: u32| {
        let head = [1_u32, iterations, 16].map(u32::to_be_bytes).concat();
        base64::engine::general_purpose::STANDARD.encode([&[1], &head[..], &[7; 48]].concat())
    };
    for (taken, refused) in [
        (with("pbkdf2:sha256", "1000", "12000000"), with("pbkdf2:sha256", "1000", "12000001")),
        (with("pbkdf2:sha512", "1000", "6000000"), with("pbkdf2:sha512", "1000", "6000001")),
        (with("pbkdf2_sha1", "1000", "12000000"), with("pbkdf2_sha1", "1000", "4294967295")),
        // Two blocks of digest cost twice as much.
        (
            with("$pbkdf2-sha256$i", "i=1000,l=32", "i=12000000"),
            with("$pbkdf2-sha256$i", "i=1000", "i=12000001"),
        ),
        (identity(12_000_000), identity(12_000_001)),
        (with("scrypt:", "1024:8:1", "131072:8:8"), with("scrypt:", "1024:8:1", "131072:8:9")),
        (with("{scrypt}", "$e0801$", "$110808$"), with("{scrypt}", "$e0801$", "$120801$")),
        (with("$fbscrypt$", "n=14", "n=17"), with("$fbscrypt$", "n=14", "n=18")),
        (with("$6$rounds", "1000", "1000000"), with("$6$rounds", "1000", "1000001")),
        (with("$5$rounds", "1000", "1000000"), with("$5$rounds", "1000", "999999999")),
        (with("$P$5", "$P$5", "$P$I"), with("$P$5", "$P$5", "$P$J")),
        (with("$wp$2y$04", "$04$", "$15$"), with("$wp$2y$04", "$04$", "$16$")),
        (with("$bcrypt-sha256$v=2", "r=4", "r=15"), with("$bcrypt-sha256$v=2", "r=4", "r=16")),
        (with("{bcrypt}", "$04$", "$15$"), with("{bcrypt}", "$04$", "$31$")),
        (with("{argon2", "t=2", "t=3"), with("{argon2", "m=64", "m=262145")),
    ] {
        assert!(StoredHash::parse(&taken).is_ok(), "{taken}: {}", refusal(&taken));
        assert!(too_costly(&refused), "{refused}: {}", refusal(&refused));
    }
}

#[test]
fn a_hash_of_another_system_that_is_broken_is_refused() {
    for (_, _, hash) in others() {
        for text in [format!("{hash}$"), format!("{hash}é"), format!(" {hash}"), hash.replace('$', "")] {
            // Some contain no dollar signs.
            assert!(text == hash || StoredHash::parse(&text).is_err(), "{text}");
        }
        for at in (0..hash.len()).filter(|at| hash.is_char_boundary(*at)) {
            // Any result is fine, but no panic.
            let _ = StoredHash::parse(&hash[..at]);
            let _ = StoredHash::parse(&hash[at..]);
        }
    }
}

#[test]
fn what_nobody_should_keep_is_refused_by_its_name() {
    for (hash, name) in [
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "md5-crypt"),
        ("$2x$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q", "bcrypt by a faulty crypt_blowfish"),
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7", "yescrypt"),
        ("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", "salted MD5"),
        ("{noop}a quiet lantern over the weir", "a password in the clear"),
        ("{noop}$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q", "a password in the clear"),
        ("{MD5}5f4dcc3b5aa765d61d8327deb882cf99", "MD5"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "salted SHA-1"),
    ] {
        assert_eq!(refusal(hash), Unusable::NotTaken(name), "{hash}");
        assert!(refusal(hash).to_string().contains(name));
    }
}

#[test]
fn no_password_fits_where_there_was_none() {
    for text in ["!", "*", "!!", "!NmQ5LHPW0wVpFi5Bz4D1Z8XlrMe0tZQa2zYzUCHM", "!$6$salt$digest"] {
        for password in ["", "!", text, PASSWORD] {
            assert!(!matches(text, password), "{text} takes {password}");
        }
    }
}

#[test]
fn what_is_no_hash_is_refused_and_not_repeated() {
    let unknown = [
        "",
        "$",
        "-",
        PASSWORD,
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "{bcrypt}",
        "{unknown}5f4dcc3b5aa765d61d8327deb882cf99",
        "A quiet lantern over the weir",
        " $argon2id$v=19$m=64,t=2,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
    ];
    for text in unknown {
        assert_eq!(refusal(text), Unusable::Unknown, "{text}");
    }
    let kinds: std::collections::BTreeSet<String> = all()
        .flat_map(|hash| {
            let cut = (1..8).map(|less| hash[..hash.len() - less].to_owned());
            let fields = hash.split('$').enumerate();
            let without = fields.filter(|(_, field)| !field.is_empty()).map(|(at, _)| {
                let kept = hash.split('$').enumerate().filter(|(field, _)| *field != at);
                kept.map(|(_, field)| field).collect::<Vec<_>>().join("$")
            });
            let broken = [format!("{hash}$"), format!("{hash} "), hash.replace(['1', '4'], "x")];
            cut.chain(without).chain(broken).collect::<Vec<_>>()
        })
        .filter_map(|text| StoredHash::parse(&text).err().map(|error| error.to_string()))
        .collect();
    let expected = ["PBKDF2", "argon2", "bcrypt", "scrypt"];
    let expected = expected.map(|kind| Unusable::Malformed(kind).to_string());
    assert_eq!(kinds, expected.into_iter().chain([Unusable::Unknown.to_string()]).collect());
}

#[test]
fn parameters_that_are_none_are_malformed() {
    let argon2 = |cost: &str| ARGON2[2].replace("m=64,t=2,p=1", cost);
    let scrypt = |cost: &str| SCRYPT[0].replace("ln=4,r=8,p=1", cost);
    for hash in [
        argon2("m=64,t=2"),
        argon2("m=64,t=0,p=1"),
        argon2("m=64,t=2,p=0"),
        argon2("m=64,t=2,p=9"),
        argon2("m=4,t=2,p=1"),
        argon2("m=64,t=2,p=1,keyid=AAAA"),
        argon2("m=64,t=2,p=1,data=AAAA"),
        argon2("m=4294967296,t=2,p=1"),
        argon2("m=-64,t=2,p=1"),
        scrypt("ln=0,r=8,p=1"),
        scrypt("ln=4,r=0,p=1"),
        scrypt("ln=4,r=8,p=0"),
        scrypt("ln=4,r=8"),
        DJANGO[4].replacen("16$", "17$", 1),
        DJANGO[4].replacen("16$", "0$", 1),
        DJANGO[0].replace("1000", "0"),
        BCRYPT[0].replace("$04$", "$03$"),
        BCRYPT[0].replace("$04$", "$4$"),
    ] {
        assert!(matches!(refusal(&hash), Unusable::Malformed(_)), "{hash}: {}", refusal(&hash));
    }
}
