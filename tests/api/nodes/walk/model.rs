//! What clients know of their credentials: when each may have ended, and when somebody was told that it had.

use std::collections::HashMap;
use std::time::Instant;

use crate::nodes::BOUND;
use crate::support::client::{Client, Mode};

/// Something that was asked for, and ends credentials.
struct Ending {
    sent: Instant,
    outcome: Outcome,
}

enum Outcome {
    /// It is under way; or nobody knows what became of it.
    Open,
    Acknowledged(Instant),
    /// It was refused.
    Nothing,
}

/// What it ends.
#[derive(Clone, Copy, Debug)]
pub enum Whom {
    Login(usize),
    /// Every login of a user, but one.
    User(usize, Option<usize>),
    /// Access tokens with the roles that a user has had up to now.
    Roles(usize),
}

pub struct User {
    pub name: String,
    pub id: String,
    /// Which of the two passwords it probably is.
    pub password: bool,
    /// How often the roles were changed.
    pub version: usize,
    endings: Vec<(usize, Option<usize>)>,
    /// What ended each set of roles.
    roles: HashMap<String, usize>,
}

impl User {
    pub fn new(name: String, id: String) -> Self {
        Self { name, id, password: false, version: 0, endings: Vec::new(), roles: HashMap::new() }
    }

    /// As they are shown, separated by commas.
    pub fn roles(&self) -> String {
        if self.version == 0 { "user".to_owned() } else { format!("user,v{}", self.version) }
    }
}

pub struct Login {
    pub user: usize,
    pub id: String,
    /// When it was asked for, and when it was there.
    sent: Instant,
    told: Instant,
    endings: Vec<usize>,
    /// With the refresh token that is good, and those that were, the oldest first.
    pub newest: Client,
    pub older: Vec<Client>,
}

pub struct Credential {
    pub login: usize,
    pub client: Client,
    pub roles: String,
}

#[derive(Default)]
pub struct Model {
    pub users: Vec<User>,
    pub logins: Vec<Login>,
    pub credentials: Vec<Credential>,
    endings: Vec<Ending>,
}

impl Model {
    pub fn add_login(&mut self, user: usize, id: String, sent: Instant, client: Client, roles: String) {
        let (told, newest) = (Instant::now(), client.clone());
        self.logins.push(Login { user, id, sent, told, endings: Vec::new(), newest, older: Vec::new() });
        self.add_credential(self.logins.len() - 1, client, roles);
    }

    pub fn add_credential(&mut self, login: usize, client: Client, roles: String) {
        self.credentials.push(Credential { login, client, roles });
    }

    /// To be called before the request is sent.
    pub fn begin(&mut self, whom: Whom) -> usize {
        let ending = self.endings.len();
        self.endings.push(Ending { sent: Instant::now(), outcome: Outcome::Open });
        match whom {
            Whom::Login(login) => self.logins[login].endings.push(ending),
            Whom::User(user, kept) => self.users[user].endings.push((ending, kept)),
            Whom::Roles(user) => {
                let roles = self.users[user].roles();
                self.users[user].roles.insert(roles, ending);
            }
        }
        ending
    }

    /// To be called when the answer is there.
    pub fn finish(&mut self, ending: usize, status: u16) {
        self.endings[ending].outcome = match status {
            200..300 => Outcome::Acknowledged(Instant::now()),
            400..500 => Outcome::Nothing,
            _ => return,
        };
    }

    /// What may have ended a login.
    fn endings_of_login(&self, login: usize) -> impl Iterator<Item = usize> {
        let of_user = self.users[self.logins[login].user].endings.iter();
        let of_user = of_user.filter(move |(ending, kept)| {
            let was_over_before = match self.endings[*ending].outcome {
                Outcome::Acknowledged(at) => at < self.logins[login].sent,
                _ => false,
            };
            *kept != Some(login) && !was_over_before
        });
        self.logins[login].endings.iter().copied().chain(of_user.map(|(ending, _)| *ending))
    }

    fn endings_of(&self, credential: usize) -> impl Iterator<Item = usize> {
        let Credential { login, client, roles } = &self.credentials[credential];
        let of_roles = self.users[self.logins[*login].user].roles.get(roles);
        let of_roles = of_roles.filter(|_| client.pair.mode == Mode::Jwt);
        self.endings_of_login(*login).chain(of_roles.copied())
    }

    fn may_have_come(&self, ending: usize) -> bool {
        !matches!(self.endings[ending].outcome, Outcome::Nothing)
    }

    /// When somebody was told that it had ended, if it had to end this login.
    fn told_of(&self, ending: usize, login: usize) -> Option<Instant> {
        let Ending { sent, outcome: Outcome::Acknowledged(at) } = self.endings[ending] else { return None };
        // One that was still being begun may have escaped.
        (self.logins[login].told <= sent).then_some(at)
    }

    /// Whether anything but `except` was asked for that may have ended it.
    pub fn may_be_over(&self, credential: usize, except: Option<usize>) -> bool {
        self.endings_of(credential).any(|ending| Some(ending) != except && self.may_have_come(ending))
    }

    pub fn login_may_be_over(&self, login: usize, except: Option<usize>) -> bool {
        self.endings_of_login(login).any(|ending| Some(ending) != except && self.may_have_come(ending))
    }

    /// Since when everybody may take it for over.
    pub fn over_since(&self, credential: usize) -> Option<Instant> {
        let login = self.credentials[credential].login;
        self.endings_of(credential).filter_map(|ending| self.told_of(ending, login)).min()
    }

    pub fn login_over_since(&self, login: usize) -> Option<Instant> {
        self.endings_of_login(login).filter_map(|ending| self.told_of(ending, login)).min()
    }

    /// What is wrong about an answer that has just come.
    pub fn fault(&self, credential: usize, sent: Instant, answer: &Answer) -> Option<String> {
        match answer.status {
            200..300 => self.fault_of_acceptance(credential, sent, answer),
            401 if !self.may_be_over(credential, answer.except) => {
                Some("it was refused, and nobody had asked for its end".to_owned())
            }
            401 | 403 | 404 | 503 => None,
            other => Some(format!("it was answered {other}")),
        }
    }

    fn fault_of_acceptance(&self, credential: usize, sent: Instant, answer: &Answer) -> Option<String> {
        let late = |since: Instant| sent.checked_duration_since(since + BOUND).filter(|late| !late.is_zero());
        if let Some(late) = self.over_since(credential).and_then(late) {
            return Some(format!("it was accepted {late:?} past the bound"));
        }
        let user = &self.users[self.logins[self.credentials[credential].login].user];
        let ending = user.roles.get(answer.roles.as_ref()?)?;
        let Outcome::Acknowledged(changed) = self.endings[*ending].outcome else { return None };
        late(changed).map(|late| format!("it showed old roles {late:?} past the bound"))
    }
}

/// What matters of one.
pub struct Answer {
    pub status: u16,
    /// The roles that it shows.
    pub roles: Option<String>,
    /// What its own request was to end.
    pub except: Option<usize>,
}
