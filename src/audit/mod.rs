//! The audit trail: security events, each with user, actor and mode.
//!
//! A function that changes something takes the [`Actor`], creates an [`NewEvent`] and passes it to the [`Trail`], which
//! accepts it at once and writes it to Postgres shortly after, in batches ([`store`]). `docs/decisions/0010` explains
//! why it is not written in the transaction of the change itself.

mod actor;
mod kind;
mod store;
mod trail;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use self::actor::ActorSource;
pub use self::actor::{Actor, ActorLogin};
pub use self::kind::Kind;
pub use self::store::Filter;
pub use self::trail::Trail;

/// An event before it is recorded.
#[derive(Clone, Debug)]
pub struct NewEvent {
    kind: Kind,
    source: ActorSource,
    user_id: Option<Uuid>,
    username: Option<String>,
    login_id: Option<Uuid>,
    mode: Option<String>,
    transport: Option<&'static str>,
    client_id: Option<Uuid>,
    detail: Map<String, Value>,
}

impl NewEvent {
    /// An event of this kind by this actor. The affected user is still to be set.
    pub fn new(kind: Kind, actor: &Actor) -> Self {
        Self {
            kind,
            source: actor.source.clone(),
            user_id: None,
            username: None,
            login_id: None,
            mode: actor.mode.map(str::to_owned),
            transport: actor.transport,
            client_id: actor.client_id,
            detail: Map::new(),
        }
    }

    /// An event by a signed-in actor that affects their own account or current login.
    pub fn to_oneself(kind: Kind, actor: &Actor) -> Self {
        let entry = Self::new(kind, actor);
        match &actor.login {
            Some(login) => entry.of_user(login.user_id, &login.username).in_login(login.id),
            None => entry,
        }
    }

    /// Of this account. The name is the account's own, and never what somebody typed.
    pub fn of_user(self, id: Uuid, username: impl Into<String>) -> Self {
        Self { user_id: Some(id), username: Some(username.into()), ..self }
    }

    /// In this login, or to it.
    pub fn in_login(self, id: Uuid) -> Self {
        Self { login_id: Some(id), ..self }
    }

    /// Sets the mode, also if the actor's is another one.
    pub fn in_mode(self, mode: impl Into<String>) -> Self {
        Self { mode: Some(mode.into()), ..self }
    }

    /// Sets the transport, also if the actor's is another one.
    pub fn by_transport(self, transport: &'static str) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Sets the affected client.
    pub fn of_client(self, id: Uuid) -> Self {
        Self { client_id: Some(id), ..self }
    }

    /// And this besides. Nothing that a stranger could choose.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// An event in the trail.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedEvent {
    /// Its own id.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its kind, by name.
    pub event: String,
    /// `request`, `command` or `node`.
    pub source: String,
    /// Whose account.
    pub user_id: Option<Uuid>,
    /// That account's name.
    pub username: Option<String>,
    /// In which login, or to which.
    pub login_id: Option<Uuid>,
    /// In which mode.
    pub mode: Option<String>,
    /// By which transport.
    pub transport: Option<String>,
    /// Which service.
    pub client_id: Option<Uuid>,
    /// The client's network address.
    pub address: Option<String>,
    /// What the client says it is: anything.
    pub user_agent: Option<String>,
    /// What is to be said of this kind besides: an object.
    pub detail: Option<Value>,
}

impl RecordedEvent {
    fn new(entry: NewEvent, at: DateTime<Utc>) -> Self {
        let source = entry.source.as_str().to_owned();
        let (address, user_agent) = match entry.source {
            ActorSource::Request { address, user_agent } => (Some(address.to_string()), Some(user_agent)),
            ActorSource::Command | ActorSource::Node => (None, None),
        };
        Self {
            id: Uuid::now_v7(),
            at,
            event: entry.kind.as_str().to_owned(),
            source,
            user_id: entry.user_id,
            username: entry.username,
            login_id: entry.login_id,
            mode: entry.mode,
            transport: entry.transport.map(str::to_owned),
            client_id: entry.client_id,
            address,
            user_agent,
            detail: (!entry.detail.is_empty()).then_some(Value::Object(entry.detail)),
        }
    }
}
