//! Who takes part: each way to be somebody, in each way to set dualauth up, on servers of its own.

use url::Url;

use super::CompareError;
use super::http::Connection;
use super::load::Aim;
use super::stage::{Server, Stage};
use super::target::{Mode, Way};
use super::visitor::Visitor;

/// What `JWT_ALGORITHM` may be. The first is the default.
const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

/// How dualauth can be set up, as far as that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    algorithm: &'static str,
    /// As tutorials have it: each session is looked up, and no token can be revoked.
    pub(super) is_textbook: bool,
}

impl Setup {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let both = |algorithm| [true, false].map(|is_textbook| Self { algorithm, is_textbook });
        ALGORITHMS.into_iter().flat_map(both)
    }

    /// The two that differ in nothing but that.
    pub(super) fn of_first_algorithm() -> impl Iterator<Item = Self> {
        Self::all().filter(|setup| setup.is_first())
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

    /// What is to be told of this way in this set-up; `None`: it would be the same as in another.
    pub(super) fn describe(self, way: &Way) -> Option<Way> {
        let mut way = way.clone();
        match way.mode {
            Mode::Session if !self.is_first() => return None,
            Mode::Session => way.lookup = Some(self.lookup().to_owned()),
            Mode::Jwt => {
                way.algorithm = Some(self.algorithm.to_owned());
                way.revocation = Some(self.revocation().to_owned());
            }
        }
        Some(way)
    }
}

/// Servers of one kind, which share a database.
pub(super) struct Fleet {
    pub(super) servers: Vec<Server>,
    pub(super) database: Option<Url>,
    /// `None`: of another system.
    pub(super) setup: Option<Setup>,
}

/// A variant, on its servers, with somebody who is signed in.
pub(super) struct Entrant {
    pub(super) system: String,
    pub(super) way: Way,
    /// Which fleet.
    pub(super) fleet: usize,
    pub(super) visitor: Visitor,
    pub(super) aims: Vec<Aim>,
}

impl Fleet {
    /// So many nodes of dualauth.
    pub(super) fn of_nodes(
        stage: &Stage,
        setup: Setup,
        database: &Url,
        nodes: usize,
    ) -> Result<Self, CompareError> {
        let settings = setup.settings();
        let start = |number| stage.node(&format!("{}-{number}", setup.name()), number, database, &settings);
        let servers = (0..nodes).map(start).collect::<Result<_, _>>()?;
        Ok(Self { servers, database: Some(database.clone()), setup: Some(setup) })
    }

    /// Another node like the first, if that can be had.
    pub(super) fn another(&self, stage: &Stage) -> Result<Option<Server>, CompareError> {
        let (Some(setup), Some(database)) = (self.setup, &self.database) else { return Ok(None) };
        stage.node(&format!("{}-other", setup.name()), 1, database, &setup.settings()).map(Some)
    }
}

impl Entrant {
    /// What somebody asks who has signed in right now, on the first of the servers.
    pub(super) fn fresh_aim(&self, fleet: &Fleet) -> Result<Aim, CompareError> {
        aim(&self.way, &mut self.visitor.clone(), &fleet.servers[0])
    }

    /// Signs in so often, spread over the servers, each of which gets so many connections: several would otherwise have less
    /// to do at a time than one.
    pub(super) fn sign_in(
        system: &str,
        way: Way,
        (at, fleet): (usize, &Fleet),
        visitor: &Visitor,
        connections: usize,
    ) -> Result<Self, CompareError> {
        let mut aims = Vec::new();
        let mut latest = visitor.clone();
        for server in fleet.servers.iter().cycle().take(connections) {
            latest = visitor.clone();
            aims.push(aim(&way, &mut latest, server)?);
        }
        let aims = aims.iter().cycle().take(connections * fleet.servers.len()).cloned().collect();
        Ok(Self { system: system.to_owned(), way, fleet: at, visitor: latest, aims })
    }

    /// What it is called, on so many nodes.
    pub(super) fn name(&self, nodes: usize) -> String {
        let way = &self.way;
        let mut words = Vec::new();
        if self.system != DUALAUTH {
            words.push(self.system.as_str());
        }
        words.extend([way.mode.as_str(), way.transport.as_str()]);
        words
            .extend([&way.algorithm, &way.lookup, &way.revocation].into_iter().flatten().map(String::as_str));
        let name = words.join(" ");
        if nodes == 1 { name } else { format!("{name}, {nodes} nodes") }
    }
}

/// Signs in on this server, and gives what is asked there from then on.
fn aim(way: &Way, visitor: &mut Visitor, server: &Server) -> Result<Aim, CompareError> {
    let origin = &server.origin;
    visitor.sign_in(way, &mut Connection::to(origin.clone()))?;
    Ok(Aim { origin: origin.clone(), call: visitor.call(way, origin.host()) })
}

/// What dualauth is called among other systems.
pub(super) const DUALAUTH: &str = "dualauth";
