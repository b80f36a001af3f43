//! Variants under test: each combination of credential and transport of a target, signed in on running servers.

use url::Url;

use super::CompareError;
use super::http::Connection;
use super::load::RequestTarget;
use super::target::{AuthMode, VariantSpec};
use super::test_user::TestUser;
use super::testbed::{Server, Testbed};

/// Values of `JWT_ALGORITHM`. The first is the default, the others have public keys.
const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

/// The settings of dualauth in which its variants differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AlgorithmAndLookupSettings {
    algorithm: &'static str,
    /// As in tutorials: each session is looked up in Postgres with each request, and no token can be revoked.
    pub(super) is_textbook: bool,
}

impl AlgorithmAndLookupSettings {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let both = |algorithm| [true, false].map(|is_textbook| Self { algorithm, is_textbook });
        ALGORITHMS.into_iter().flat_map(both)
    }

    /// The two configurations with the default algorithm: textbook, and dualauth's own.
    pub(super) fn with_default_algorithm() -> impl Iterator<Item = Self> {
        Self::all().filter(|configuration| configuration.has_default_algorithm())
    }

    /// Whether it signs with the default algorithm. Sessions do not depend on the algorithm.
    pub(super) fn has_default_algorithm(self) -> bool {
        self.algorithm == ALGORITHMS[0]
    }

    /// Whether other services can verify the tokens: the default's key is symmetric, and not published.
    fn has_public_keys(self) -> bool {
        !self.has_default_algorithm()
    }

    /// Whether it is the default configuration, but for the first algorithm with public keys.
    pub(super) fn is_default_with_public_keys(self) -> bool {
        self.algorithm == ALGORITHMS[1] && !self.is_textbook
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

    /// The name of the database that so many nodes share.
    pub(super) fn database(self, nodes: usize) -> String {
        format!("{}_{nodes}", self.name().to_lowercase().replace('-', "_"))
    }

    /// The variant, labelled with this configuration's settings. `None`: a session with another algorithm than the default,
    /// which would be measured twice.
    pub(super) fn describe(self, spec: &VariantSpec) -> Option<VariantSpec> {
        let mut spec = spec.clone();
        match spec.mode {
            AuthMode::Session if !self.has_default_algorithm() => return None,
            AuthMode::Session => spec.lookup = Some(self.lookup().to_owned()),
            AuthMode::Jwt => {
                spec.algorithm = Some(self.algorithm.to_owned());
                spec.revocation = Some(self.revocation().to_owned());
            }
        }
        Some(spec)
    }
}

/// Where the credentials of a group of nodes are accepted besides its first node.
#[derive(Default)]
pub(super) struct OtherPlaces {
    /// Another node.
    pub(super) node: Option<Server>,
    /// Another service, which verifies access tokens by itself.
    pub(super) service: Option<Server>,
}

/// Nodes with the same configuration, which share a database.
pub(super) struct NodeGroup {
    pub(super) servers: Vec<Server>,
    pub(super) database: Option<Url>,
    /// `None`: the nodes of another system, or of a dualauth that this program has not started.
    pub(super) configuration: Option<AlgorithmAndLookupSettings>,
}

/// A variant on its nodes, with a signed-in user.
pub(super) struct RunningVariant {
    pub(super) system: String,
    pub(super) spec: VariantSpec,
    /// Index of its group of nodes.
    pub(super) group: usize,
    pub(super) user: TestUser,
    pub(super) request_targets: Vec<RequestTarget>,
}

impl NodeGroup {
    /// Starts so many nodes of dualauth on one database.
    pub(super) fn of_nodes(
        testbed: &Testbed,
        configuration: AlgorithmAndLookupSettings,
        database: &Url,
        nodes: usize,
    ) -> Result<Self, CompareError> {
        let settings = configuration.settings();
        let start = |number| {
            testbed.start_node(&format!("{}-{number}", configuration.name()), number, database, &settings)
        };
        let servers = (0..nodes).map(start).collect::<Result<_, _>>()?;
        Ok(Self { servers, database: Some(database.clone()), configuration: Some(configuration) })
    }

    /// Starts another node with the same configuration and database and, if the algorithm has public keys, another service, which
    /// asks that node. None of them if this program does not run the group.
    pub(super) fn other_places(&self, testbed: &Testbed) -> Result<OtherPlaces, CompareError> {
        let (Some(configuration), Some(database)) = (self.configuration, &self.database) else {
            return Ok(OtherPlaces::default());
        };
        let name = format!("{}-other", configuration.name());
        let node = testbed.start_node(&name, 1, database, &configuration.settings())?;
        let service = configuration.has_public_keys().then(|| {
            let client =
                (!configuration.is_textbook).then(|| testbed.register_client(database)).transpose()?;
            testbed.start_other_service(&format!("{}-service", configuration.name()), &node, client)
        });
        Ok(OtherPlaces { service: service.transpose()?, node: Some(node) })
    }
}

impl RunningVariant {
    /// Signs in on the first node, and returns the measured request with the new credential.
    pub(super) fn fresh_request_target(&self, group: &NodeGroup) -> Result<RequestTarget, CompareError> {
        request_target(&self.spec, &mut self.user.clone(), &group.servers[0])
    }

    /// Signs in once per connection, round-robin on the nodes. Each node gets this number of connections: with the total divided
    /// among them, several nodes would have less concurrency each than one node alone.
    pub(super) fn sign_in(
        system: &str,
        spec: VariantSpec,
        (at, group): (usize, &NodeGroup),
        user: &TestUser,
        connections: usize,
    ) -> Result<Self, CompareError> {
        let mut request_targets = Vec::new();
        let mut latest = user.clone();
        for server in group.servers.iter().cycle().take(connections) {
            latest = user.clone();
            request_targets.push(request_target(&spec, &mut latest, server)?);
        }
        let request_targets =
            request_targets.iter().cycle().take(connections * group.servers.len()).cloned().collect();
        Ok(Self { system: system.to_owned(), spec, group: at, user: latest, request_targets })
    }

    /// Its name in the report, with so many nodes.
    pub(super) fn name(&self, nodes: usize) -> String {
        let spec = &self.spec;
        let mut words = Vec::new();
        if self.system != DUALAUTH {
            words.push(self.system.as_str());
        }
        words.extend([spec.mode.as_str(), spec.transport.as_str()]);
        words.extend(
            [&spec.algorithm, &spec.lookup, &spec.revocation].into_iter().flatten().map(String::as_str),
        );
        let name = words.join(" ");
        if nodes == 1 { name } else { format!("{name}, {nodes} nodes") }
    }
}

/// Signs in on this server, and returns the measured request with the new credential.
fn request_target(
    spec: &VariantSpec,
    user: &mut TestUser,
    server: &Server,
) -> Result<RequestTarget, CompareError> {
    let origin = &server.origin;
    user.sign_in(spec, &mut Connection::new(origin.clone()))?;
    Ok(RequestTarget { origin: origin.clone(), call: user.call(spec, origin.host()) })
}

/// dualauth's name in the report, as against another system's.
pub(super) const DUALAUTH: &str = "dualauth";
