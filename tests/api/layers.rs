//! The layers: each module of the library uses only those below it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the top down. Modules of one layer don't know each other.
const LAYERS: [&[&str]; 13] = [
    &["commands"],
    &["app"],
    &["session", "jwt", "mode_routes", "oauth", "account", "web"],
    &["sign_in"],
    &["factors"],
    &["auth"],
    &["http"],
    &["users", "logins", "clients", "custom_tokens"],
    &["challenges", "mail"],
    &["audit", "upkeep"],
    &[
        "tokens",
        "clock",
        "config",
        "crypto",
        "database",
        "machine_roots",
        "network_rate_limits",
        "metrics",
        "shards",
        "telemetry",
        "version",
    ],
    // Plain data: each module says for itself which problem its errors are, and `http` makes responses of them.
    &["error"],
    &["property_testing"],
];

/// The exceptions, each with its reason.
const WITHIN_A_LAYER: [(&str, &str); 15] = [
    ("web", "oauth"),                  // the API's document describes OAuth's errors as well
    ("logins", "users"),               // a login has an owner
    ("clients", "logins"),             // the feed tells of both
    ("challenges", "mail"),            // a code goes by mail
    ("audit", "upkeep"),               // old events are deleted in batches, as all is
    ("database", "clock"),             // what it stores is dated
    ("database", "machine_roots"),     // a server is known by its certificate
    ("database", "crypto"),            // it keeps the secret when none is set
    ("config", "crypto"),              // a setting is a secret
    ("config", "database"),            // another says where that is
    ("network_rate_limits", "config"), // how many there may be is a setting
    ("network_rate_limits", "clock"),  // and counted in time
    ("tokens", "crypto"),              // they are drawn and hashed
    ("telemetry", "clock"),            // a line is dated
    ("telemetry", "crypto"),           // a request's id is drawn
];

const TELEMETRY_READS_CONFIG: (&str, &str) = ("telemetry", "config");

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or_else(|| panic!("{module} has no layer"))
}

fn is_allowed(from: &str, to: &str) -> bool {
    let by_name = WITHIN_A_LAYER.contains(&(from, to)) || TELEMETRY_READS_CONFIG == (from, to);
    from == to || layer(from) < layer(to) || by_name
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of the server's library, by its path below `src`.
fn sources_by_path() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let read = |path: PathBuf| {
        let source = std::fs::read_to_string(&path).expect("a source");
        (path.strip_prefix(&root).expect("below src").to_owned(), source)
    };
    paths.into_iter().map(read).collect()
}

/// The same with the module that it belongs to.
fn files() -> Vec<(String, String)> {
    let module = |path: &Path| {
        let first = path.components().next().expect("a name");
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let named = sources_by_path().into_iter().map(|(path, source)| (module(&path), source));
    named.filter(|(module, _)| module != "lib" && module != "main").collect()
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The modules that a source names after `crate::`, one by one or in braces, however deep those are nested.
fn uses(source: &str) -> BTreeSet<String> {
    let named = source.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        None => vec![word(rest)],
        Some(list) => first_words(list),
    });
    named.filter(|name| !name.is_empty()).collect()
}

/// The first word of each item of a list in braces, up to the brace that closes it.
fn first_words(list: &str) -> Vec<String> {
    let (mut depth, mut words, mut is_first) = (0, Vec::new(), true);
    for (at, letter) in list.char_indices() {
        if is_first && depth == 0 && !letter.is_whitespace() {
            words.push(word(&list[at..]));
            is_first = false;
        }
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_first = true,
            _ => {}
        }
    }
    words
}

#[test]
fn a_module_is_found_in_nested_braces_over_several_lines_and_in_macros() {
    for (source, modules) in [
        ("use crate::http::cors;", &["http"][..]),
        (
            "use crate::{auth::{Csrf, Modes}, http::{body::{Json, Ignored}, cors}, users};",
            &["auth", "http", "users"],
        ),
        ("use crate::{\n    auth::{\n        self,\n        web,\n    },\n    jwt,\n};", &["auth", "jwt"]),
        ("macro_rules! a { () => { $crate::web::page() } }", &["web"]),
        ("pub(in crate::jwt) struct A;", &["jwt"]),
    ] {
        let expected = modules.iter().map(|module| (*module).to_owned()).collect();
        assert_eq!(uses(source), expected, "{source}");
    }
}

#[test]
fn each_module_uses_only_those_below_it() {
    let mut wrong = Vec::new();
    for (module, source) in files() {
        let wrongly_used = uses(&source).into_iter().filter(|used| !is_allowed(&module, used));
        wrong.extend(wrongly_used.map(|used| format!("{module} uses {used}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn users_logins_clients_the_trail_and_problems_know_nothing_of_http() {
    for (module, source) in files().into_iter().filter(|(module, _)| {
        ["users", "logins", "clients", "custom_tokens", "challenges", "mail", "audit", "error"]
            .contains(&module.as_str())
    }) {
        assert!(!source.contains("actix"), "{module} names actix");
    }
}

/// A change and its event are made in one place. What asks for changes can't forget to tell of them, nor word it anew.
#[test]
fn only_what_makes_changes_or_refuses_somebody_tells_the_audit_trail() {
    let tellers = ["audit", "users", "logins", "clients", "custom_tokens", "factors", "sign_in", "mail"];
    let tells = |source: &str| source.contains("trail.record(") || names_new_event(source);
    let files = sources_by_path().into_iter().filter(|(_, source)| tells(source));
    let others: Vec<_> = files
        .map(|(path, _)| path)
        .filter(|path| {
            !tellers.iter().any(|module| path.starts_with(module)) && !path.starts_with("jwt/keys")
        })
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// Whether an event is made in it.
fn names_new_event(source: &str) -> bool {
    let of_audit = source.split("crate::audit::").skip(1).map(|rest| rest.split(';').next().unwrap_or(rest));
    of_audit
        .into_iter()
        .any(|names| names.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "NewEvent"))
}

/// A request runs nothing of the comparison, and of the private Postgres only what the start has kept.
#[test]
fn only_commands_name_the_comparison_and_only_they_and_the_start_the_private_postgres() {
    let users = |library: &str| {
        let files = files().into_iter().filter(|(_, source)| source.contains(library));
        files.map(|(module, _)| module).collect::<BTreeSet<_>>()
    };
    assert_eq!(users("dualauth_compare"), BTreeSet::from(["commands".to_owned()]));
    assert_eq!(users("dualauth_postgres"), BTreeSet::from(["app", "commands"].map(str::to_owned)));
}

/// They are libraries for whoever wants to use them, and know nothing of the service.
#[test]
fn the_libraries_do_not_depend_on_the_server() {
    for library in ["compare", "postgres", "verify"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(library);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let names = manifest.lines().filter_map(|line| line.split([' ', '.', '=']).next());
        let own: Vec<_> = names.filter(|name| name.starts_with("dualauth")).collect();
        let allowed: &[&str] = match library {
            "compare" => &["dualauth-postgres"],
            // Itself, with every feature, for its tests.
            "verify" => &["dualauth-verify"],
            _ => &[],
        };
        assert_eq!(own, allowed, "{library}");
    }
}

#[test]
fn what_all_modes_share_names_none_of_them() {
    for (module, source) in
        files().into_iter().filter(|(module, _)| ["auth", "mode_routes"].contains(&module.as_str()))
    {
        for mode in ["crate::session", "crate::jwt", "\"session\"", "\"jwt\""] {
            // An example in the API's document may: a person reads that.
            let code = source
                .lines()
                .filter(|line| !line.contains("example") && !line.trim_start().starts_with('"'));
            assert!(code.into_iter().all(|line| !line.contains(mode)), "{module} names {mode}");
        }
    }
}

#[test]
fn every_file_says_its_subject_first() {
    for (module, source) in files() {
        assert!(source.starts_with("//! "), "a file of {module} begins with {:?}", source.lines().next());
    }
    let mut libraries = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates"), &mut libraries);
    for path in libraries {
        let source = std::fs::read_to_string(&path).expect("a source");
        assert!(source.starts_with("//! "), "{} begins with {:?}", path.display(), source.lines().next());
    }
}
