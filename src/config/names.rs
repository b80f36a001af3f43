//! Names that look like a setting and are none: nothing reads them, and whoever set them believes otherwise.

use std::collections::BTreeSet;

use super::UnknownSetting;

/// What others put before the names of their settings.
const PREFIX: &str = "DUALAUTH_";

/// Of the names that are given, those that come close to a setting, or stand in `.env`.
pub(super) fn unknown(
    given: BTreeSet<String>,
    in_file: &[String],
    known: &BTreeSet<String>,
) -> Vec<UnknownSetting> {
    let names: BTreeSet<&String> = given.iter().chain(in_file).collect();
    let unknown = names.into_iter().filter(|name| !known.contains(*name));
    let unknown = unknown.map(|name| UnknownSetting { name: name.clone(), meant: meant(name, known) });
    unknown.filter(|setting| setting.meant.is_some() || in_file.contains(&setting.name)).collect()
}

/// The setting that somebody meant who wrote this.
fn meant(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let bare = name.strip_prefix(PREFIX).unwrap_or(&name);
    let close = known.iter().map(|setting| (strsim::osa_distance(bare, setting), setting));
    let close = close.filter(|(distance, setting)| *distance <= slips_allowed(setting));
    close.min().map(|(_, setting)| setting.clone())
}

/// How many slips leave a name recognisable. In a short one each makes another word: LOG and LANG.
fn slips_allowed(setting: &str) -> usize {
    (setting.len() / 5).min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(given: &[&str], in_file: &[&str]) -> Vec<(String, Option<String>)> {
        let known = ["APP_SECRET", "DATABASE_URL", "LISTEN", "LOG", "SESSION_TTL", "SESSION_IDLE_TTL"];
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let in_file: Vec<String> = in_file.iter().map(|name| (*name).to_owned()).collect();
        let unknown = unknown(set(given), &in_file, &set(&known));
        unknown.into_iter().map(|setting| (setting.name, setting.meant)).collect()
    }

    #[test]
    fn a_slip_is_noticed_and_what_was_meant_is_said() {
        for (slip, meant) in [
            ("SESION_TTL", "SESSION_TTL"),
            ("SESSION_TLL", "SESSION_TTL"),
            ("session_ttl", "SESSION_TTL"),
            ("SESSION_IDEL_TTL", "SESSION_IDLE_TTL"),
            ("LISTNE", "LISTEN"),
            ("log", "LOG"),
            ("DUALAUTH_LOG", "LOG"),
            ("DUALAUTH_APP_SECRETS", "APP_SECRET"),
        ] {
            assert_eq!(found(&[slip], &[]), [(slip.to_owned(), Some(meant.to_owned()))]);
        }
    }

    #[test]
    fn what_others_set_is_theirs_except_in_the_file() {
        let others =
            ["PATH", "LANG", "LOGNAME", "LISTEN_FDS", "LISTEN_PID", "PGPASSWORD", "SESSION_MANAGER", "TZ"];
        assert_eq!(found(&others, &[]), []);
        assert_eq!(found(&["LISTEN"], &["APP_SECRET"]), []);
        assert_eq!(found(&["PATH"], &["POSTGRES_PASSWORD"]), [("POSTGRES_PASSWORD".to_owned(), None)]);
    }
}
