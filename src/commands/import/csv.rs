//! Users in CSV with a header line.

use secrecy::SecretString;

use crate::users::ForeignUser;

use super::parsed_row::ParsedRow;

/// The positions of the columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    username: Option<usize>,
    email: usize,
    password_hash: usize,
}

impl Columns {
    /// Parses the header. The known columns may come in any order; unknown ones are an error, since they may contain what
    /// must not be ignored, such as which users are disabled.
    pub(super) fn parse(header: &str) -> Result<Self, String> {
        let names = fields(header).unwrap_or_default();
        let position = |column: &str| names.iter().position(|name| name.trim() == column);
        let username = position("username");
        match (position("email"), position("password_hash")) {
            (Some(email), Some(password_hash)) if names.len() == 2 + usize::from(username.is_some()) => {
                Ok(Self { username, email, password_hash })
            }
            _ => Err(
                "the first line must name the columns email,password_hash or username,email,password_hash, \
                      and no others"
                    .to_owned(),
            ),
        }
    }

    fn count(&self) -> usize {
        2 + usize::from(self.username.is_some())
    }

    /// Parses a line. Error texts are our own, since a parser's might quote a hash.
    pub(super) fn row(&self, line: &str) -> ParsedRow {
        let fields = fields(line).unwrap_or_default();
        let (found, wanted) = (fields.len(), self.count());
        if found != wanted {
            let why = format!("it has {found} fields, not {wanted}: fields with commas need quotes");
            return ParsedRow::unreadable(why);
        }
        let field = |at: usize| fields.get(at).unwrap_or_default();
        ParsedRow::of(ForeignUser {
            username: self.username.map(|at| field(at).to_owned()),
            email: field(self.email).to_owned(),
            password_hash: SecretString::from(field(self.password_hash)),
        })
    }
}

/// Parses a record by RFC 4180, except that fields can't contain line breaks: a missing quotation mark then spoils one
/// line only.
fn fields(line: &str) -> Option<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).ok()?.then_some(record)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const ADA: [&str; 3] = ["ada", "ada@example.org", "$argon2id$m=1,t=1,p=1$x"];

    fn of(header: &str, line: &str) -> Option<(Option<String>, String, String)> {
        let user = Columns::parse(header).expect("a header").row(line).user.ok()?;
        Some((user.username, user.email, user.password_hash.expose_secret().to_owned()))
    }

    #[test]
    fn the_columns_come_in_any_order_and_are_all_that_there_are() {
        let [username, email, hash] = ADA.map(str::to_owned);
        for (header, line, username) in [
            (
                "username,email,password_hash",
                "ada,ada@example.org,\"$argon2id$m=1,t=1,p=1$x\"",
                Some(username.clone()),
            ),
            (
                "password_hash, email ,username",
                "\"$argon2id$m=1,t=1,p=1$x\",ada@example.org,ada",
                Some(username.clone()),
            ),
            (
                "\"email\",\"password_hash\",\"username\"",
                "ada@example.org,\"$argon2id$m=1,t=1,p=1$x\",\"ada\"",
                Some(username),
            ),
            ("email,password_hash", "ada@example.org,\"$argon2id$m=1,t=1,p=1$x\"", None),
        ] {
            assert_eq!(of(header, line), Some((username, email.clone(), hash.clone())), "{header}");
        }
        for header in [
            "",
            "ada,ada@example.org,x",
            "username,email",
            "username,email,password",
            "username,email,password_hash,is_active",
            "username,email,email",
            "email,password_hash,name",
            "username;email;password_hash",
        ] {
            assert!(Columns::parse(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_line_of_another_shape_is_refused_and_not_repeated() {
        let columns = Columns::parse("username,email,password_hash").expect("a header");
        let lines =
            ["ada", "ada,ada@example.org", "ada,ada@example.org,$2b$x,", "\"ada,ada@example.org,$2b$x", ","];
        for line in lines {
            let refused = columns.row(line).user.map(drop).expect_err(line);
            assert!(!refused.contains("2b"), "{refused}");
        }
    }
}
