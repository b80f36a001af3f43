//! The actor of an audit event: the sender of a request, an operator's command, or the node itself.

use std::net::IpAddr;

use uuid::Uuid;

/// The actor of a change or an attempt. Functions that change something take it as an argument and record it in the
/// trail.
#[derive(Clone, Debug)]
pub struct Actor {
    pub(super) source: ActorSource,
    pub(super) login: Option<ActorLogin>,
    pub(super) mode: Option<&'static str>,
    pub(super) transport: Option<&'static str>,
    pub(super) client_id: Option<Uuid>,
}

/// The login of an authenticated request.
#[derive(Clone, Debug)]
pub struct ActorLogin {
    /// Its owner's id.
    pub user_id: Uuid,
    /// Its owner's name.
    pub username: String,
    /// Its id.
    pub id: Uuid,
}

/// The source of an event.
#[derive(Clone, Debug)]
pub(super) enum ActorSource {
    /// A request: the client's network address and its `User-Agent` header.
    Request { address: IpAddr, user_agent: String },
    /// An operator's command.
    Command,
    /// The node, by itself.
    Node,
}

impl ActorSource {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request",
            Self::Command => "command",
            Self::Node => "node",
        }
    }
}

impl Actor {
    /// An operator, by a command.
    pub const OPERATOR: Self = Self::new(ActorSource::Command);

    /// The node, by itself.
    pub const NODE: Self = Self::new(ActorSource::Node);

    const fn new(source: ActorSource) -> Self {
        Self { source, login: None, mode: None, transport: None, client_id: None }
    }

    /// The sender of a request, with the client's network address and `User-Agent` header.
    pub fn request(address: IpAddr, user_agent: impl Into<String>) -> Self {
        Self::new(ActorSource::Request { address, user_agent: user_agent.into() })
    }

    /// Sets the mode.
    #[must_use]
    pub fn in_mode(self, mode: &'static str) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Sets the transport of the credential.
    #[must_use]
    pub fn by_transport(self, transport: &'static str) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Sets the login.
    #[must_use]
    pub fn signed_in(self, login: ActorLogin) -> Self {
        Self { login: Some(login), ..self }
    }

    /// Sets the registered client.
    #[must_use]
    pub fn of_client(self, id: Uuid) -> Self {
        Self { client_id: Some(id), ..self }
    }

    /// The login, if the actor is signed in.
    pub fn login_id(&self) -> Option<Uuid> {
        self.login.as_ref().map(|login| login.id)
    }
}
