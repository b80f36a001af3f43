//! The templates of mails: built in, and those in `MAIL_TEMPLATES` in their place, file by file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minijinja::value::merge_maps;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

use super::{Language, Message};

/// A built-in template: its name, which is its path in `MAIL_TEMPLATES`, and its source.
macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("templates/", $name)))),+]
    };
}

/// What all mails share.
const SHARED: &[(&str, &str)] = built_in!["layout.html", "code.html"];

/// For each message and language a text, which begins with its subject, and its HTML.
const OF_MESSAGES: &[(&str, &str)] = built_in![
    "en/account_disabled.txt",
    "en/account_disabled.html",
    "en/account_unlocked.txt",
    "en/account_unlocked.html",
    "en/address_proved.txt",
    "en/address_proved.html",
    "en/email_changed.txt",
    "en/email_changed.html",
    "en/password_changed.txt",
    "en/password_changed.html",
    "en/password_removed.txt",
    "en/password_removed.html",
    "en/password_reset.txt",
    "en/password_reset.html",
    "en/registration_code.txt",
    "en/registration_code.html",
    "en/registration_of_known_address.txt",
    "en/registration_of_known_address.html",
    "en/reset_password_code.txt",
    "en/reset_password_code.html",
    "en/reset_without_password.txt",
    "en/reset_without_password.html",
    "en/sign_in_code.txt",
    "en/sign_in_code.html",
    "en/sign_in_from_new_network.txt",
    "en/sign_in_from_new_network.html",
    "en/factor_added.txt",
    "en/factor_added.html",
    "en/factor_removed.txt",
    "en/factor_removed.html",
    "en/factors_reset.txt",
    "en/factors_reset.html",
    "en/recovery_code_used.txt",
    "en/recovery_code_used.html",
    "en/recovery_codes_renewed.txt",
    "en/recovery_codes_renewed.html",
    "en/step_up_code.txt",
    "en/step_up_code.html",
    "en/test.txt",
    "en/test.html",
    "en/two_step_turned_on.txt",
    "en/two_step_turned_on.html",
    "en/verify_email_code.txt",
    "en/verify_email_code.html",
    "de/account_disabled.txt",
    "de/account_disabled.html",
    "de/account_unlocked.txt",
    "de/account_unlocked.html",
    "de/address_proved.txt",
    "de/address_proved.html",
    "de/email_changed.txt",
    "de/email_changed.html",
    "de/password_changed.txt",
    "de/password_changed.html",
    "de/password_removed.txt",
    "de/password_removed.html",
    "de/password_reset.txt",
    "de/password_reset.html",
    "de/registration_code.txt",
    "de/registration_code.html",
    "de/registration_of_known_address.txt",
    "de/registration_of_known_address.html",
    "de/reset_password_code.txt",
    "de/reset_password_code.html",
    "de/reset_without_password.txt",
    "de/reset_without_password.html",
    "de/sign_in_code.txt",
    "de/sign_in_code.html",
    "de/sign_in_from_new_network.txt",
    "de/sign_in_from_new_network.html",
    "de/factor_added.txt",
    "de/factor_added.html",
    "de/factor_removed.txt",
    "de/factor_removed.html",
    "de/factors_reset.txt",
    "de/factors_reset.html",
    "de/recovery_code_used.txt",
    "de/recovery_code_used.html",
    "de/recovery_codes_renewed.txt",
    "de/recovery_codes_renewed.html",
    "de/step_up_code.txt",
    "de/step_up_code.html",
    "de/test.txt",
    "de/test.html",
    "de/two_step_turned_on.txt",
    "de/two_step_turned_on.html",
    "de/verify_email_code.txt",
    "de/verify_email_code.html",
];

/// Why templates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder or a file can't be read.
    #[error("MAIL_TEMPLATES: {} can't be read: {error}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that takes no template's place.
    #[error("MAIL_TEMPLATES: {name} takes the place of no template. A language's folder (en, de) has: {}", names().join(", "))]
    Unknown {
        /// Its path in the folder.
        name: String,
    },
    /// A template can't be rendered.
    #[error("MAIL_TEMPLATES: {0}")]
    Render(String),
    /// A text does not begin with its subject.
    #[error(
        "MAIL_TEMPLATES: {name}, line 1: expected `Subject: ` and a subject of one line, then an empty line and the text"
    )]
    Subject {
        /// Its name.
        name: String,
    },
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let place = match (error.name(), error.line()) {
            (Some(name), Some(line)) => format!("{name}, line {line}: "),
            (Some(name), None) => format!("{name}: "),
            _ => String::new(),
        };
        let what = match (error.kind(), error.detail()) {
            (ErrorKind::UndefinedError, None) => "a value that is not defined".to_owned(),
            (kind, None) => kind.to_string(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
        };
        Self::Render(format!("{place}{what}"))
    }
}

/// The file names of a language's folder.
fn names() -> Vec<String> {
    let names = Message::samples().into_iter().map(|message| message.name());
    names.flat_map(|name| ["txt", "html"].map(|format| format!("{name}.{format}"))).collect()
}

/// The rendered parts of a mail.
pub(super) struct RenderedParts {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The templates.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// The built-in ones, and those of the folder in their place. Whether they can be rendered is not checked yet.
    ///
    /// # Errors
    /// When a file can't be read or parsed, or takes the place of none.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // What is misspelt is not left out in silence. HTML is escaped by the name's ending.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in SHARED.iter().chain(OF_MESSAGES) {
            environment.add_template(name, source)?;
        }
        for (name, source) in folder.map(read_folder).transpose()?.unwrap_or_default() {
            environment.add_template_owned(name, source)?;
        }
        Ok(Self(environment))
    }

    /// Renders a message's templates with these values.
    ///
    /// # Errors
    /// When a template is wrong.
    pub(super) fn render(
        &self,
        language: Language,
        message: &str,
        values: &Value,
    ) -> Result<RenderedParts, TemplateError> {
        let name = |format: &str| format!("{}/{message}.{format}", language.as_str());
        let text = self.0.get_template(&name("txt"))?.render(values)?;
        let (subject, text) =
            split_subject(&text).ok_or_else(|| TemplateError::Subject { name: name("txt") })?;
        let values = merge_maps([values.clone(), context! { subject => subject.as_str() }]);
        let html = self.0.get_template(&name("html"))?.render(values)?;
        Ok(RenderedParts { subject, text, html })
    }
}

/// The subject and the text of a rendered `.txt` template.
fn split_subject(rendered: &str) -> Option<(String, String)> {
    let (head, text) = rendered.split_once("\n\n")?;
    let subject = head.strip_prefix("Subject:")?.trim();
    let is_one_line = !subject.is_empty() && !subject.contains(char::is_control);
    is_one_line.then(|| (subject.to_owned(), format!("{}\n", text.trim())))
}

/// The files of the folder itself, which all templates can include, and of its languages' folders, by their paths.
fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, TemplateError> {
    let mut found = Vec::new();
    for (name, path) in entries(folder)? {
        if path.is_file() {
            found.push((name, read(&path)?));
            continue;
        }
        for (file, path) in entries(&path)? {
            let name = format!("{name}/{file}");
            if !OF_MESSAGES.iter().any(|(known, _)| *known == name) {
                return Err(TemplateError::Unknown { name });
            }
            found.push((name, read(&path)?));
        }
    }
    Ok(found)
}

/// The names and paths in a folder, without hidden ones, such as those of a mounted Kubernetes volume.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, TemplateError> {
    let unreadable = |error| TemplateError::Unreadable { path: folder.to_owned(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, TemplateError> {
    fs::read_to_string(path).map_err(|error| TemplateError::Unreadable { path: path.to_owned(), error })
}
