//! Who does something: whoever sent a request, an operator by a command, or the node by itself.

use std::net::IpAddr;

use uuid::Uuid;

/// Who makes a change or tries to, and by which way. Whatever changes something is told, and tells the trail.
#[derive(Clone, Debug)]
pub struct Actor {
    pub(super) source: Source,
    pub(super) login: Option<ActorLogin>,
    pub(super) mode: Option<&'static str>,
    pub(super) transport: Option<&'static str>,
    pub(super) client_id: Option<Uuid>,
}

/// The login that a request is made in.
#[derive(Clone, Debug)]
pub struct ActorLogin {
    /// Whose it is.
    pub user_id: Uuid,
    /// Its owner's name.
    pub username: String,
    /// The login.
    pub id: Uuid,
}

/// Where an event comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A request from this network address; what its client says it is.
    Request { address: IpAddr, user_agent: String },
    /// An operator's command.
    Command,
    /// The node, by itself.
    Node,
}

impl Source {
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
    pub const OPERATOR: Self = Self::new(Source::Command);

    /// The node, by itself.
    pub const NODE: Self = Self::new(Source::Node);

    const fn new(source: Source) -> Self {
        Self { source, login: None, mode: None, transport: None, client_id: None }
    }

    /// Whoever sent a request from this network address, by a client that says to be this.
    pub fn request(address: IpAddr, user_agent: impl Into<String>) -> Self {
        Self::new(Source::Request { address, user_agent: user_agent.into() })
    }

    /// Who asks in this mode.
    #[must_use]
    pub fn in_mode(self, mode: &'static str) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Whose credential travels, or is to travel, by this transport.
    #[must_use]
    pub fn by_transport(self, transport: &'static str) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Who is signed in.
    #[must_use]
    pub fn signed_in(self, login: ActorLogin) -> Self {
        Self { login: Some(login), ..self }
    }

    /// Who is this registered service.
    #[must_use]
    pub fn of_client(self, id: Uuid) -> Self {
        Self { client_id: Some(id), ..self }
    }

    /// The login in which they ask, if they are signed in.
    pub fn login_id(&self) -> Option<Uuid> {
        self.login.as_ref().map(|login| login.id)
    }
}
