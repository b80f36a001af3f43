//! All who take part in one part of a run, with their servers.

use std::collections::BTreeMap;

use url::Url;
use uuid::Uuid;

use super::http::Connection;
use super::load::RequestTarget;
use super::login_footprint;
use super::rounds::Subject;
use super::target::Target;
use super::testbed::{Server, Testbed};
use super::variant::{DUALAUTH, DualauthSettings, NodeGroup, RunningVariant};
use super::visitor::{PreparedRequest, Visitor};
use super::{CompareError, Options, Plan, bare};

/// Who asks.
const USERNAME: &str = "compare";

/// A password hash that costs next to nothing, where it is not what is weighed.
const CHEAP_HASHES: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];

/// Them, and what they share.
#[derive(Default)]
pub(super) struct RunningVariants {
    pub(super) groups: Vec<NodeGroup>,
    pub(super) members: Vec<RunningVariant>,
    /// The other system, if it takes part.
    target: Option<Target>,
}

impl RunningVariants {
    /// dualauth in each way that it can be set up, a node of each; and another system, if one was named.
    pub(super) fn of_all(testbed: &Testbed, options: &Options, plan: &Plan) -> Result<Self, CompareError> {
        let mut participants = Self::default();
        for configuration in DualauthSettings::all() {
            participants.add_dualauth(testbed, configuration, 1, plan)?;
        }
        if let Some(target) = &options.target {
            participants.add_target(testbed, target, plan)?;
        }
        Ok(participants)
    }

    /// dualauth with its first algorithm, by so many nodes.
    pub(super) fn of_groups(testbed: &Testbed, nodes: usize, plan: &Plan) -> Result<Self, CompareError> {
        let mut participants = Self::default();
        for configuration in DualauthSettings::of_first_algorithm() {
            participants.add_dualauth(testbed, configuration, nodes, plan)?;
        }
        Ok(participants)
    }

    /// One node, and one session on it.
    pub(super) fn of_one(testbed: &Testbed, plan: &Plan) -> Result<Self, CompareError> {
        let (database, visitor) = (testbed.postgres.create_database(DUALAUTH)?, somebody(USERNAME));
        let target = Target::dualauth(true)?;
        let mut participants = Self::default();
        let configuration =
            DualauthSettings::of_first_algorithm().find(|configuration| !configuration.is_textbook);
        let (configuration, method) =
            configuration.zip(target.methods.first()).ok_or(CompareError::Generator)?;
        participants.groups.push(NodeGroup::of_nodes(testbed, configuration, &database, 1)?);
        register(&target, &visitor, &participants.groups[0].servers[0])?;
        participants.add(DUALAUTH, method.clone(), 0, &visitor, plan)?;
        Ok(participants)
    }

    /// A dualauth that somebody else runs.
    pub(super) fn elsewhere(url: &Url, plan: &Plan) -> Result<Self, CompareError> {
        let target = Target::dualauth(url.scheme() == "https")?;
        let visitor = somebody(&format!("{USERNAME}-{}", &Uuid::new_v4().simple().to_string()[..12]));
        let server = Server::elsewhere(url)?;
        register(&target, &visitor, &server)?;
        let group = NodeGroup { servers: vec![server], database: None, configuration: None };
        let mut participants = Self { groups: vec![group], ..Self::default() };
        for method in &target.methods {
            participants.add(DUALAUTH, method.clone(), 0, &visitor, plan)?;
        }
        Ok(participants)
    }

    /// So many nodes, with a database of their own: what one of them tells the others in Postgres is no cost of nodes
    /// that are set up in another way.
    fn add_dualauth(
        &mut self,
        testbed: &Testbed,
        configuration: DualauthSettings,
        nodes: usize,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let (target, visitor) = (Target::dualauth(true)?, somebody(USERNAME));
        let database = testbed.postgres.create_database(&configuration.database(nodes))?;
        let group = NodeGroup::of_nodes(testbed, configuration, &database, nodes)?;
        register(&target, &visitor, &group.servers[0])?;
        self.groups.push(group);
        for method in target.methods.iter().filter_map(|method| configuration.describe(method)) {
            self.add(DUALAUTH, method, self.groups.len() - 1, &visitor, plan)?;
        }
        Ok(())
    }

    fn add_target(&mut self, testbed: &Testbed, target: &Target, plan: &Plan) -> Result<(), CompareError> {
        let database = testbed.postgres.create_database("target")?;
        let server = testbed.target(target, &database, &BTreeMap::new())?;
        let visitor = somebody(USERNAME);
        register(target, &visitor, &server)?;
        // Of one that runs elsewhere nobody knows where it keeps what.
        let database = target.start.as_ref().map(|_| database);
        self.groups.push(NodeGroup { servers: vec![server], database, configuration: None });
        for method in &target.methods {
            self.add(&target.name, method.clone(), self.groups.len() - 1, &visitor, plan)?;
        }
        self.target = Some(target.clone());
        Ok(())
    }

    fn add(
        &mut self,
        system: &str,
        method: super::target::VariantSpec,
        at: usize,
        visitor: &Visitor,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let group = (at, &self.groups[at]);
        self.members.push(RunningVariant::sign_in(system, method, group, visitor, plan.connections)?);
        Ok(())
    }

    /// Where its servers keep what they keep.
    pub(super) fn databases(&self) -> Vec<&Url> {
        let mut databases: Vec<&Url> =
            self.groups.iter().filter_map(|group| group.database.as_ref()).collect();
        databases.dedup();
        databases
    }

    /// What each asks who has signed in right now: credentials of before may have run out.
    pub(super) fn fresh_request_targets(&self) -> Result<Vec<RequestTarget>, CompareError> {
        self.members
            .iter()
            .map(|participant| participant.fresh_request_target(&self.groups[participant.group]))
            .collect()
    }

    /// Another node of each that is looked at closely, if that can be had.
    pub(super) fn others(&self, testbed: &Testbed, plan: &Plan) -> Result<Vec<Option<Server>>, CompareError> {
        let another = |group: &NodeGroup| match plan.looks_closely_at(group) {
            true => group.another(testbed),
            false => Ok(None),
        };
        self.groups.iter().map(another).collect()
    }

    /// The bare handler, if there is one, and all participants.
    pub(super) fn subjects<'a>(&'a self, bare: Option<&'a Server>, plan: &Plan) -> Vec<Subject<'a>> {
        // One node of ours: others may not be made for so many, and several would share them.
        let many = |group: &NodeGroup| {
            (group.configuration.is_some() && group.servers.len() == 1).then_some(plan.many_connections)
        };
        let bare = bare.map(|server| Subject {
            many_connections: self.groups.iter().find_map(many),
            ..bare_subject(server, plan)
        });
        let members = self.members.iter().map(|participant| {
            let group = &self.groups[participant.group];
            Subject {
                request_targets: participant.request_targets.clone(),
                servers: &group.servers,
                database: group.database.as_ref(),
                many_connections: many(group),
            }
        });
        bare.into_iter().chain(members).collect()
    }

    /// What a login of this participant weighs, on a server and a database of their own: none, of one that runs elsewhere.
    pub(super) fn weigh(
        &self,
        testbed: &Testbed,
        participant: &RunningVariant,
        plan: &Plan,
    ) -> Result<Vec<login_footprint::LoginFootprint>, CompareError> {
        let mut weighed = Vec::new();
        for logins in plan.footprints {
            let name = format!("weigh_{}", Uuid::new_v4().simple());
            let database = testbed.postgres.create_database(&name)?;
            let Some((target, server)) = self.to_weigh(testbed, participant, &database)? else { break };
            let visitors: Vec<_> = (0..login_footprint::AT_ONCE)
                .map(|number| somebody(&format!("{USERNAME}{number}")))
                .collect();
            for visitor in &visitors {
                register(&target, visitor, &server)?;
            }
            let place = Some((&testbed.postgres, &database));
            let footprint = login_footprint::weigh(
                &participant.method,
                &visitors,
                &server,
                place,
                *logins,
                plan.patience,
            )?;
            drop(server);
            testbed.postgres.drop_database(&database)?;
            weighed.push(footprint);
            if footprint.logins < *logins {
                break;
            }
        }
        Ok(weighed)
    }

    /// The same as the participant's, but that passwords cost little.
    fn to_weigh(
        &self,
        testbed: &Testbed,
        participant: &RunningVariant,
        database: &Url,
    ) -> Result<Option<(Target, Server)>, CompareError> {
        if let Some(configuration) = self.groups[participant.group].configuration {
            let node = testbed.node(
                &format!("{}-weighed", configuration.name()),
                0,
                database,
                &[configuration.settings().as_slice(), &CHEAP_HASHES].concat(),
            )?;
            return Ok(Some((Target::dualauth(true)?, node)));
        }
        let Some((target, start)) =
            self.target.as_ref().and_then(|target| Some((target, target.start.as_ref()?)))
        else {
            return Ok(None);
        };
        let server = testbed.target(target, database, &start.when_weighed)?;
        Ok(Some((target.clone(), server)))
    }
}

/// The bare handler, as it is measured.
pub(super) fn bare_subject<'a>(server: &'a Server, plan: &Plan) -> Subject<'a> {
    let origin = server.origin.clone();
    let request = format!("GET /profile HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let call = PreparedRequest { request, status: 200, owner: bare::USERNAME.to_owned() };
    let request_targets = vec![RequestTarget { origin, call }; plan.connections];
    Subject { request_targets, servers: std::slice::from_ref(server), database: None, many_connections: None }
}

/// With a password that nobody guesses.
fn somebody(username: &str) -> Visitor {
    Visitor::named(username, &format!("{}", Uuid::new_v4().simple()))
}

fn register(target: &Target, visitor: &Visitor, server: &Server) -> Result<(), CompareError> {
    let Some(step) = &target.register else { return Ok(()) };
    visitor.clone().take(step, &mut Connection::to(server.origin.clone()))
}
