//! How a line says who somebody is: CSV with a header line, or JSON lines.

use std::path::Path;

use secrecy::SecretString;

use crate::users::ForeignUser;

const COLUMNS: [&str; 3] = ["username", "email", "password_hash"];

/// The format of a file.
pub(super) enum Format {
    /// With the place of each column.
    Csv([usize; 3]),
    JsonLines,
}

impl Format {
    /// By the file's name, else by what it begins with. With CSV, the first line is not a user.
    pub(super) fn detect(path: &Path, first_line: &str) -> Result<Self, String> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_json = match extension.to_ascii_lowercase().as_str() {
            "json" | "jsonl" | "ndjson" => true,
            "csv" => false,
            _ => first_line.starts_with('{'),
        };
        if is_json { Ok(Self::JsonLines) } else { columns(first_line).map(Self::Csv) }
    }

    pub(super) fn has_header(&self) -> bool {
        matches!(self, Self::Csv(_))
    }

    /// What is wrong is said in words of our own: a parser's may have a hash in them.
    pub(super) fn parse(&self, line: &str) -> Result<ForeignUser, String> {
        match self {
            Self::Csv(columns) => parse_csv(line, columns),
            Self::JsonLines => parse_json(line),
        }
    }
}

/// Exactly ours, in any order: one that is not known may say what must not be lost, such as who is disabled.
fn columns(header: &str) -> Result<[usize; 3], String> {
    let names = fields(header).unwrap_or_default();
    let place = |column: &str| names.iter().position(|name| name.trim() == column);
    let places = COLUMNS.map(place);
    match places {
        [Some(username), Some(email), Some(hash)] if names.len() == COLUMNS.len() => {
            Ok([username, email, hash])
        }
        _ => Err(format!("the first line must name the columns {}, and no others", COLUMNS.join(","))),
    }
}

fn parse_csv(line: &str, columns: &[usize; 3]) -> Result<ForeignUser, String> {
    let fields = fields(line).unwrap_or_default();
    if fields.len() != COLUMNS.len() {
        let count = fields.len();
        return Err(format!(
            "it has {count} fields, not {}: what has commas in it needs quotes",
            COLUMNS.len()
        ));
    }
    let [username, email, hash] = columns.map(|at| fields.get(at).unwrap_or_default());
    Ok(ForeignUser {
        username: username.to_owned(),
        email: email.to_owned(),
        password_hash: SecretString::from(hash),
    })
}

/// By RFC 4180, but that no field has a line break: a quotation mark that is missing spoils one line, not the file.
fn fields(line: &str) -> Option<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).ok()?.then_some(record)
}

fn parse_json(line: &str) -> Result<ForeignUser, String> {
    let refused = || format!("it is no JSON object of exactly {}, each a string", COLUMNS.join(", "));
    // An array of three strings would do as well, for serde.
    let object = line.trim_start().starts_with('{').then_some(line).ok_or_else(refused)?;
    serde_json::from_str(object).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn of(format: &Format, line: &str) -> Option<[String; 3]> {
        let user = format.parse(line).ok()?;
        Some([user.username, user.email, user.password_hash.expose_secret().to_owned()])
    }

    fn ada() -> Option<[String; 3]> {
        Some(["ada", "ada@example.org", "$argon2id$m=1,t=1,p=1$x"].map(str::to_owned))
    }

    #[test]
    fn the_name_of_a_file_tells_its_format_or_else_its_beginning_does() {
        let header = "username,email,password_hash";
        let is_csv = |name: &str, line: &str| Format::detect(Path::new(name), line).map(|it| it.has_header());
        for name in ["users.json", "users.jsonl", "users.NDJSON"] {
            assert_eq!(is_csv(name, "{}"), Ok(false));
            assert_eq!(is_csv(name, header), Ok(false));
        }
        assert_eq!(is_csv("users.csv", header), Ok(true));
        assert_eq!(is_csv("users", header), Ok(true));
        assert_eq!(is_csv("users", "{"), Ok(false));
        assert!(is_csv("users.csv", "{}").is_err());
    }

    #[test]
    fn the_columns_of_csv_come_in_any_order_and_are_all_that_there_are() {
        let detect = |header: &str| Format::detect(Path::new("users.csv"), header);
        for (header, line) in [
            ("username,email,password_hash", "ada,ada@example.org,\"$argon2id$m=1,t=1,p=1$x\""),
            ("password_hash, email ,username", "\"$argon2id$m=1,t=1,p=1$x\",ada@example.org,ada"),
            (
                "\"email\",\"password_hash\",\"username\"",
                "ada@example.org,\"$argon2id$m=1,t=1,p=1$x\",\"ada\"",
            ),
        ] {
            assert_eq!(of(&detect(header).expect("a header"), line), ada(), "{header}");
        }
        for header in [
            "",
            "ada,ada@example.org,x",
            "username,email",
            "username,email,password",
            "username,email,password_hash,is_active",
            "username,email,email",
            "username;email;password_hash",
        ] {
            assert!(detect(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_line_of_another_shape_is_refused_and_not_repeated() {
        let csv = Format::Csv([0, 1, 2]);
        let lines =
            ["ada", "ada,ada@example.org", "ada,ada@example.org,$2b$x,", "\"ada,ada@example.org,$2b$x", ","];
        for line in lines {
            let refused = csv.parse(line).map(drop).expect_err(line);
            assert!(!refused.contains("2b"), "{refused}");
        }
        for line in [
            "\"$2b$x\"",
            "[\"ada\", \"ada@example.org\", \"$2b$x\"]",
            r#"{"username": "ada", "email": "ada@example.org"}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": null}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": "$2b$x", "is_active": false}"#,
            r#"{"username": "ada", "username": "a", "email": "ada@example.org", "password_hash": "$2b$x"}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": "$2b$x"} {}"#,
            "{",
        ] {
            let refused = Format::JsonLines.parse(line).map(drop).expect_err(line);
            assert!(!refused.contains("2b"), "{refused}");
        }
        let good =
            r#" {"password_hash": "$argon2id$m=1,t=1,p=1$x", "email": "ada@example.org", "username": "ada"}"#;
        assert_eq!(of(&Format::JsonLines, good), ada());
    }
}
