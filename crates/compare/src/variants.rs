//! Sets up the variants of one part of a run: starts their nodes, registers a user and signs in.

use std::collections::BTreeMap;

use url::Url;
use uuid::Uuid;

use super::http::Connection;
use super::load::RequestTarget;
use super::memory_and_disk_per_login;
use super::rounds::Subject;
use super::target::Target;
use super::test_user::{PreparedRequest, TestUser};
use super::testbed::{Server, Testbed};
use super::variant::{AlgorithmAndLookupSettings, DUALAUTH, NodeGroup, OtherPlaces, RunningVariant};
use super::{CompareError, Options, Plan, bare};

/// The user name of the registered user.
pub(super) const USERNAME: &str = "compare";

/// Argon2 settings for cheap password hashes: thousands of logins are needed where memory and disk per login are measured.
const CHEAP_HASHES: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];

/// All variants under test and their groups of nodes.
#[derive(Default)]
pub(super) struct RunningVariants {
    pub(super) groups: Vec<NodeGroup>,
    pub(super) members: Vec<RunningVariant>,
    /// The other system, if one is measured.
    target: Option<Target>,
}

impl RunningVariants {
    /// One node of dualauth in each configuration, and the other system if there is one.
    pub(super) fn all_variants(
        testbed: &Testbed,
        options: &Options,
        plan: &Plan,
    ) -> Result<Self, CompareError> {
        let mut variants = Self::default();
        for configuration in AlgorithmAndLookupSettings::all() {
            variants.add_dualauth(testbed, configuration, 1, plan)?;
        }
        if let Some(target) = &options.target {
            variants.add_target(testbed, target, plan)?;
        }
        Ok(variants)
    }

    /// Groups of so many nodes of dualauth, with the default algorithm.
    pub(super) fn node_groups(testbed: &Testbed, nodes: usize, plan: &Plan) -> Result<Self, CompareError> {
        let mut variants = Self::default();
        for configuration in AlgorithmAndLookupSettings::with_default_algorithm() {
            variants.add_dualauth(testbed, configuration, nodes, plan)?;
        }
        Ok(variants)
    }

    /// One node with default settings, and the first variant (a session in a cookie) on it.
    pub(super) fn single_session(testbed: &Testbed, plan: &Plan) -> Result<Self, CompareError> {
        let (database, user) = (testbed.postgres.create_database(DUALAUTH)?, test_user(USERNAME));
        let target = Target::dualauth(true)?;
        let mut variants = Self::default();
        let configuration = AlgorithmAndLookupSettings::with_default_algorithm()
            .find(|configuration| !configuration.is_textbook);
        let (configuration, spec) = configuration
            .zip(target.variants.first())
            .ok_or(CompareError::Internal("no default configuration"))?;
        variants.groups.push(NodeGroup::of_nodes(testbed, configuration, &database, 1)?);
        register(&target, &user, &variants.groups[0].servers[0])?;
        variants.add(DUALAUTH, spec.clone(), 0, &user, plan)?;
        Ok(variants)
    }

    /// A dualauth that runs already.
    pub(super) fn elsewhere(url: &Url, plan: &Plan) -> Result<Self, CompareError> {
        let target = Target::dualauth(url.scheme() == "https")?;
        let user = test_user(&format!("{USERNAME}-{}", &Uuid::new_v4().simple().to_string()[..12]));
        let server = Server::remote(url)?;
        register(&target, &user, &server)?;
        let group = NodeGroup { servers: vec![server], database: None, configuration: None };
        let mut variants = Self { groups: vec![group], ..Self::default() };
        for spec in &target.variants {
            variants.add(DUALAUTH, spec.clone(), 0, &user, plan)?;
        }
        Ok(variants)
    }

    /// Adds a group of nodes with a database of its own: with a shared one, the notifications of one configuration would cost
    /// the nodes of another.
    fn add_dualauth(
        &mut self,
        testbed: &Testbed,
        configuration: AlgorithmAndLookupSettings,
        nodes: usize,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let (target, user) = (Target::dualauth(true)?, test_user(USERNAME));
        let database = testbed.postgres.create_database(&configuration.database(nodes))?;
        let group = NodeGroup::of_nodes(testbed, configuration, &database, nodes)?;
        register(&target, &user, &group.servers[0])?;
        self.groups.push(group);
        for spec in target.variants.iter().filter_map(|spec| configuration.describe(spec)) {
            self.add(DUALAUTH, spec, self.groups.len() - 1, &user, plan)?;
        }
        Ok(())
    }

    fn add_target(&mut self, testbed: &Testbed, target: &Target, plan: &Plan) -> Result<(), CompareError> {
        let database = testbed.postgres.create_database("target")?;
        let server = testbed.start_target(target, &database, &BTreeMap::new())?;
        let user = test_user(USERNAME);
        register(target, &user, &server)?;
        // A system that was not started here does not use this database.
        let database = target.start.as_ref().map(|_| database);
        self.groups.push(NodeGroup { servers: vec![server], database, configuration: None });
        for spec in &target.variants {
            self.add(&target.name, spec.clone(), self.groups.len() - 1, &user, plan)?;
        }
        self.target = Some(target.clone());
        Ok(())
    }

    fn add(
        &mut self,
        system: &str,
        spec: super::target::VariantSpec,
        at: usize,
        user: &TestUser,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let group = (at, &self.groups[at]);
        self.members.push(RunningVariant::sign_in(system, spec, group, user, plan.connections)?);
        Ok(())
    }

    /// The databases of all groups.
    pub(super) fn databases(&self) -> Vec<&Url> {
        let mut databases: Vec<&Url> =
            self.groups.iter().filter_map(|group| group.database.as_ref()).collect();
        databases.dedup();
        databases
    }

    /// The measured request of each variant with a new credential: the earlier ones may have expired.
    pub(super) fn fresh_request_targets(&self) -> Result<Vec<RequestTarget>, CompareError> {
        self.members.iter().map(|variant| variant.fresh_request_target(&self.groups[variant.group])).collect()
    }

    /// The other places for each group whose revocation delay is measured. None where it is not measured, or there can be none.
    pub(super) fn other_places(
        &self,
        testbed: &Testbed,
        plan: &Plan,
    ) -> Result<Vec<OtherPlaces>, CompareError> {
        let others = |group: &NodeGroup| match plan.measures_revocation(group) {
            true => group.other_places(testbed),
            false => Ok(OtherPlaces::default()),
        };
        self.groups.iter().map(others).collect()
    }

    /// What the rounds measure: the bare handler, if there is one, then all variants.
    pub(super) fn subjects<'a>(&'a self, bare: Option<&'a Server>, plan: &Plan) -> Vec<Subject<'a>> {
        // On a single node of dualauth only: another system may not support so many, and several nodes would share them.
        let many = |group: &NodeGroup| {
            (group.configuration.is_some() && group.servers.len() == 1).then_some(plan.many_connections)
        };
        let bare = bare.map(|server| Subject {
            many_connections: self.groups.iter().find_map(many),
            ..bare_subject(server, plan)
        });
        let members = self.members.iter().map(|variant| {
            let group = &self.groups[variant.group];
            Subject {
                request_targets: variant.request_targets.clone(),
                servers: &group.servers,
                database: group.database.as_ref(),
                many_connections: many(group),
            }
        });
        bare.into_iter().chain(members).collect()
    }

    /// Measures memory and disk per login, on a server and a database of its own. Empty for a system that was not started here.
    pub(super) fn measure_footprint(
        &self,
        testbed: &Testbed,
        variant: &RunningVariant,
        plan: &Plan,
    ) -> Result<Vec<memory_and_disk_per_login::LoginFootprint>, CompareError> {
        let mut footprints = Vec::new();
        for logins in plan.login_counts {
            let name = format!("weigh_{}", Uuid::new_v4().simple());
            let database = testbed.postgres.create_database(&name)?;
            let Some((target, server)) = self.start_footprint_server(testbed, variant, &database)? else {
                break;
            };
            let users: Vec<_> = (0..memory_and_disk_per_login::CONCURRENT_SIGN_INS)
                .map(|number| test_user(&format!("{USERNAME}{number}")))
                .collect();
            for user in &users {
                register(&target, user, &server)?;
            }
            let place = Some((&testbed.postgres, &database));
            let footprint = memory_and_disk_per_login::measure(
                &variant.spec,
                &users,
                &server,
                place,
                *logins,
                plan.footprint_time_limit,
            )?;
            drop(server);
            testbed.postgres.drop_database(&database)?;
            footprints.push(footprint);
            if footprint.logins < *logins {
                break;
            }
        }
        Ok(footprints)
    }

    /// Starts a server like the variant's, but with cheap password hashes. `None`: this program does not run the system.
    fn start_footprint_server(
        &self,
        testbed: &Testbed,
        variant: &RunningVariant,
        database: &Url,
    ) -> Result<Option<(Target, Server)>, CompareError> {
        if let Some(configuration) = self.groups[variant.group].configuration {
            let node = testbed.start_node(
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
        let server = testbed.start_target(target, database, &start.when_weighed)?;
        Ok(Some((target.clone(), server)))
    }
}

/// The bare handler as a subject of the rounds.
pub(super) fn bare_subject<'a>(server: &'a Server, plan: &Plan) -> Subject<'a> {
    let origin = server.origin.clone();
    let request = format!("GET /profile HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let call = PreparedRequest { request, status: 200, owner: bare::USERNAME.to_owned() };
    let request_targets = vec![RequestTarget { origin, call }; plan.connections];
    Subject { request_targets, servers: std::slice::from_ref(server), database: None, many_connections: None }
}

/// A user with a random password.
pub(super) fn test_user(username: &str) -> TestUser {
    TestUser::named(username, &format!("{}", Uuid::new_v4().simple()))
}

pub(super) fn register(target: &Target, user: &TestUser, server: &Server) -> Result<(), CompareError> {
    let Some(step) = &target.register else { return Ok(()) };
    user.clone().run_step(step, &mut Connection::new(server.origin.clone()))
}
