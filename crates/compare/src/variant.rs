//! Who takes part: each way to be somebody, in each way to set dualauth up, on servers of its own.

use url::Url;

use super::CompareError;
use super::http::Connection;
use super::load::RequestTarget;
use super::target::{CredentialKind, VariantSpec};
use super::testbed::{Server, Testbed};
use super::visitor::Visitor;

/// What `JWT_ALGORITHM` may be. The first is the default.
const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

/// How dualauth can be set up, as far as that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DualauthSettings {
    algorithm: &'static str,
    /// As tutorials have it: each session is looked up, and no token can be revoked.
    pub(super) is_textbook: bool,
}

impl DualauthSettings {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let both = |algorithm| [true, false].map(|is_textbook| Self { algorithm, is_textbook });
        ALGORITHMS.into_iter().flat_map(both)
    }

    /// The two that differ in nothing but that.
    pub(super) fn of_first_algorithm() -> impl Iterator<Item = Self> {
        Self::all().filter(|configuration| configuration.is_first())
    }

    /// With another algorithm, sessions would be the same again.
    pub(super) fn is_first(self) -> bool {
        self.algorithm == ALGORITHMS[0]
    }

    fn lookup(self) -> &'static str {
        if self.is_textbook { "always" } else { "cached" }
    }

    fn revocation(self) -> &'static str {
        if self.is_textbook { "off" } else { "feed" }
    }

    pub(super) fn settings(self) -> [(&'static str, &'static str); 3] {
        [
            ("SESSION_LOOKUP", self.lookup()),
            ("JWT_REVOCATION", self.revocation()),
            ("JWT_ALGORITHM", self.algorithm),
        ]
    }

    pub(super) fn name(self) -> String {
        format!("{}-{}", self.algorithm, if self.is_textbook { "textbook" } else { "dualauth" })
    }

    /// What the database of so many nodes is called.
    pub(super) fn database(self, nodes: usize) -> String {
        format!("{}_{nodes}", self.name().to_lowercase().replace('-', "_"))
    }

    /// What is to be told of this way in this configuration; `None`: it would be the same as in another.
    pub(super) fn describe(self, method: &VariantSpec) -> Option<VariantSpec> {
        let mut method = method.clone();
        match method.mode {
            CredentialKind::Session if !self.is_first() => return None,
            CredentialKind::Session => method.lookup = Some(self.lookup().to_owned()),
            CredentialKind::Jwt => {
                method.algorithm = Some(self.algorithm.to_owned());
                method.revocation = Some(self.revocation().to_owned());
            }
        }
        Some(method)
    }
}

/// Servers of one kind, which share a database.
pub(super) struct NodeGroup {
    pub(super) servers: Vec<Server>,
    pub(super) database: Option<Url>,
    /// `None`: of another system.
    pub(super) configuration: Option<DualauthSettings>,
}

/// A variant, on its servers, with somebody who is signed in.
pub(super) struct RunningVariant {
    pub(super) system: String,
    pub(super) method: VariantSpec,
    /// Which group of servers.
    pub(super) group: usize,
    pub(super) visitor: Visitor,
    pub(super) request_targets: Vec<RequestTarget>,
}

impl NodeGroup {
    /// So many nodes of dualauth.
    pub(super) fn of_nodes(
        testbed: &Testbed,
        configuration: DualauthSettings,
        database: &Url,
        nodes: usize,
    ) -> Result<Self, CompareError> {
        let settings = configuration.settings();
        let start =
            |number| testbed.node(&format!("{}-{number}", configuration.name()), number, database, &settings);
        let servers = (0..nodes).map(start).collect::<Result<_, _>>()?;
        Ok(Self { servers, database: Some(database.clone()), configuration: Some(configuration) })
    }

    /// Another node like the first, if that can be had.
    pub(super) fn another(&self, testbed: &Testbed) -> Result<Option<Server>, CompareError> {
        let (Some(configuration), Some(database)) = (self.configuration, &self.database) else {
            return Ok(None);
        };
        testbed
            .node(&format!("{}-other", configuration.name()), 1, database, &configuration.settings())
            .map(Some)
    }
}

impl RunningVariant {
    /// What somebody asks who has signed in right now, on the first of the servers.
    pub(super) fn fresh_request_target(&self, group: &NodeGroup) -> Result<RequestTarget, CompareError> {
        request_target(&self.method, &mut self.visitor.clone(), &group.servers[0])
    }

    /// Signs in so often, spread over the servers, each of which gets so many connections: several would otherwise have less
    /// to do at a time than one.
    pub(super) fn sign_in(
        system: &str,
        method: VariantSpec,
        (at, group): (usize, &NodeGroup),
        visitor: &Visitor,
        connections: usize,
    ) -> Result<Self, CompareError> {
        let mut request_targets = Vec::new();
        let mut latest = visitor.clone();
        for server in group.servers.iter().cycle().take(connections) {
            latest = visitor.clone();
            request_targets.push(request_target(&method, &mut latest, server)?);
        }
        let request_targets =
            request_targets.iter().cycle().take(connections * group.servers.len()).cloned().collect();
        Ok(Self { system: system.to_owned(), method, group: at, visitor: latest, request_targets })
    }

    /// What it is called, on so many nodes.
    pub(super) fn name(&self, nodes: usize) -> String {
        let method = &self.method;
        let mut words = Vec::new();
        if self.system != DUALAUTH {
            words.push(self.system.as_str());
        }
        words.extend([method.mode.as_str(), method.transport.as_str()]);
        words.extend(
            [&method.algorithm, &method.lookup, &method.revocation].into_iter().flatten().map(String::as_str),
        );
        let name = words.join(" ");
        if nodes == 1 { name } else { format!("{name}, {nodes} nodes") }
    }
}

/// Signs in on this server, and gives what is asked there from then on.
fn request_target(
    method: &VariantSpec,
    visitor: &mut Visitor,
    server: &Server,
) -> Result<RequestTarget, CompareError> {
    let origin = &server.origin;
    visitor.sign_in(method, &mut Connection::to(origin.clone()))?;
    Ok(RequestTarget { origin: origin.clone(), call: visitor.call(method, origin.host()) })
}

/// What dualauth is called among other systems.
pub(super) const DUALAUTH: &str = "dualauth";
