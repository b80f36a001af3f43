//! All who take part in one part of a run, with their servers.

use std::collections::BTreeMap;

use url::Url;
use uuid::Uuid;

use super::entrants::{DUALAUTH, Entrant, Fleet, Setup};
use super::footprint;
use super::http::Connection;
use super::load::Aim;
use super::rounds::Subject;
use super::stage::{Server, Stage};
use super::target::Target;
use super::visitor::{Call, Visitor};
use super::{CompareError, Options, Plan, bare};

/// Who asks.
const USERNAME: &str = "compare";

/// A password hash that costs next to nothing, where it is not what is weighed.
const CHEAP_HASHES: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];

/// Them, and what they share.
#[derive(Default)]
pub(super) struct Play {
    pub(super) fleets: Vec<Fleet>,
    pub(super) entrants: Vec<Entrant>,
    /// The other system, if it takes part.
    target: Option<Target>,
}

impl Play {
    /// dualauth in each way that it can be set up, a node of each; and another system, if one was named.
    pub(super) fn of_all(stage: &Stage, options: &Options, plan: &Plan) -> Result<Self, CompareError> {
        let mut play = Self::default();
        for setup in Setup::all() {
            play.enter_dualauth(stage, setup, 1, plan)?;
        }
        if let Some(target) = &options.target {
            play.enter_target(stage, target, plan)?;
        }
        Ok(play)
    }

    /// dualauth with its first algorithm, by so many nodes.
    pub(super) fn of_fleets(stage: &Stage, nodes: usize, plan: &Plan) -> Result<Self, CompareError> {
        let mut play = Self::default();
        for setup in Setup::of_first_algorithm() {
            play.enter_dualauth(stage, setup, nodes, plan)?;
        }
        Ok(play)
    }

    /// One node, and one session on it.
    pub(super) fn of_one(stage: &Stage, plan: &Plan) -> Result<Self, CompareError> {
        let (database, visitor) = (stage.postgres.create_database(DUALAUTH)?, somebody(USERNAME));
        let target = Target::dualauth(true)?;
        let mut play = Self::default();
        let setup = Setup::of_first_algorithm().find(|setup| !setup.is_textbook);
        let (setup, way) = setup.zip(target.ways.first()).ok_or(CompareError::Generator)?;
        play.fleets.push(Fleet::of_nodes(stage, setup, &database, 1)?);
        register(&target, &visitor, &play.fleets[0].servers[0])?;
        play.enter(DUALAUTH, way.clone(), 0, &visitor, plan)?;
        Ok(play)
    }

    /// A dualauth that somebody else runs.
    pub(super) fn elsewhere(url: &Url, plan: &Plan) -> Result<Self, CompareError> {
        let target = Target::dualauth(url.scheme() == "https")?;
        let visitor = somebody(&format!("{USERNAME}-{}", &Uuid::new_v4().simple().to_string()[..12]));
        let server = Server::elsewhere(url)?;
        register(&target, &visitor, &server)?;
        let fleet = Fleet { servers: vec![server], database: None, setup: None };
        let mut play = Self { fleets: vec![fleet], ..Self::default() };
        for way in &target.ways {
            play.enter(DUALAUTH, way.clone(), 0, &visitor, plan)?;
        }
        Ok(play)
    }

    /// So many nodes, with a database of their own: what one of them tells the others in Postgres is no cost of nodes
    /// that are set up in another way.
    fn enter_dualauth(
        &mut self,
        stage: &Stage,
        setup: Setup,
        nodes: usize,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let (target, visitor) = (Target::dualauth(true)?, somebody(USERNAME));
        let database = stage.postgres.create_database(&setup.database(nodes))?;
        let fleet = Fleet::of_nodes(stage, setup, &database, nodes)?;
        register(&target, &visitor, &fleet.servers[0])?;
        self.fleets.push(fleet);
        for way in target.ways.iter().filter_map(|way| setup.describe(way)) {
            self.enter(DUALAUTH, way, self.fleets.len() - 1, &visitor, plan)?;
        }
        Ok(())
    }

    fn enter_target(&mut self, stage: &Stage, target: &Target, plan: &Plan) -> Result<(), CompareError> {
        let database = stage.postgres.create_database("target")?;
        let server = stage.target(target, &database, &BTreeMap::new())?;
        let visitor = somebody(USERNAME);
        register(target, &visitor, &server)?;
        // Of one that runs elsewhere nobody knows where it keeps what.
        let database = target.start.as_ref().map(|_| database);
        self.fleets.push(Fleet { servers: vec![server], database, setup: None });
        for way in &target.ways {
            self.enter(&target.name, way.clone(), self.fleets.len() - 1, &visitor, plan)?;
        }
        self.target = Some(target.clone());
        Ok(())
    }

    fn enter(
        &mut self,
        system: &str,
        way: super::target::Way,
        at: usize,
        visitor: &Visitor,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let fleet = (at, &self.fleets[at]);
        self.entrants.push(Entrant::sign_in(system, way, fleet, visitor, plan.connections)?);
        Ok(())
    }

    /// Where its servers keep what they keep.
    pub(super) fn databases(&self) -> Vec<&Url> {
        let mut databases: Vec<&Url> =
            self.fleets.iter().filter_map(|fleet| fleet.database.as_ref()).collect();
        databases.dedup();
        databases
    }

    /// What each asks who has signed in right now: credentials of before may have run out.
    pub(super) fn fresh_aims(&self) -> Result<Vec<Aim>, CompareError> {
        self.entrants.iter().map(|entrant| entrant.fresh_aim(&self.fleets[entrant.fleet])).collect()
    }

    /// Another node of each that is looked at closely, if that can be had.
    pub(super) fn others(&self, stage: &Stage, plan: &Plan) -> Result<Vec<Option<Server>>, CompareError> {
        let another = |fleet: &Fleet| match plan.looks_closely_at(fleet) {
            true => fleet.another(stage),
            false => Ok(None),
        };
        self.fleets.iter().map(another).collect()
    }

    /// The bare handler, if there is one, and all entrants.
    pub(super) fn subjects<'a>(&'a self, bare: Option<&'a Server>, plan: &Plan) -> Vec<Subject<'a>> {
        // One node of ours: others may not be made for so many, and several would share them.
        let many = |fleet: &Fleet| {
            (fleet.setup.is_some() && fleet.servers.len() == 1).then_some(plan.many_connections)
        };
        let bare = bare.map(|server| Subject {
            many_connections: self.fleets.iter().find_map(many),
            ..bare_subject(server, plan)
        });
        let entrants = self.entrants.iter().map(|entrant| {
            let fleet = &self.fleets[entrant.fleet];
            Subject {
                aims: entrant.aims.clone(),
                servers: &fleet.servers,
                database: fleet.database.as_ref(),
                many_connections: many(fleet),
            }
        });
        bare.into_iter().chain(entrants).collect()
    }

    /// What a login of this entrant weighs, on a server and a database of their own: none, of one that runs elsewhere.
    pub(super) fn weigh(
        &self,
        stage: &Stage,
        entrant: &Entrant,
        plan: &Plan,
    ) -> Result<Vec<footprint::Footprint>, CompareError> {
        let mut weighed = Vec::new();
        for logins in plan.footprints {
            let name = format!("weigh_{}", Uuid::new_v4().simple());
            let database = stage.postgres.create_database(&name)?;
            let Some((target, server)) = self.to_weigh(stage, entrant, &database)? else { break };
            let visitors: Vec<_> =
                (0..footprint::AT_ONCE).map(|number| somebody(&format!("{USERNAME}{number}"))).collect();
            for visitor in &visitors {
                register(&target, visitor, &server)?;
            }
            let place = Some((&stage.postgres, &database));
            let footprint =
                footprint::weigh(&entrant.way, &visitors, &server, place, *logins, plan.patience)?;
            drop(server);
            stage.postgres.drop_database(&database)?;
            weighed.push(footprint);
            if footprint.logins < *logins {
                break;
            }
        }
        Ok(weighed)
    }

    /// The same as the entrant's, but that passwords cost little.
    fn to_weigh(
        &self,
        stage: &Stage,
        entrant: &Entrant,
        database: &Url,
    ) -> Result<Option<(Target, Server)>, CompareError> {
        if let Some(setup) = self.fleets[entrant.fleet].setup {
            let node = stage.node(
                &format!("{}-weighed", setup.name()),
                0,
                database,
                &[setup.settings().as_slice(), &CHEAP_HASHES].concat(),
            )?;
            return Ok(Some((Target::dualauth(true)?, node)));
        }
        let Some((target, start)) =
            self.target.as_ref().and_then(|target| Some((target, target.start.as_ref()?)))
        else {
            return Ok(None);
        };
        let server = stage.target(target, database, &start.when_weighed)?;
        Ok(Some((target.clone(), server)))
    }
}

/// The bare handler, as it is measured.
pub(super) fn bare_subject<'a>(server: &'a Server, plan: &Plan) -> Subject<'a> {
    let origin = server.origin.clone();
    let request = format!("GET /profile HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let call = Call { request, status: 200, owner: bare::USERNAME.to_owned() };
    let aims = vec![Aim { origin, call }; plan.connections];
    Subject { aims, servers: std::slice::from_ref(server), database: None, many_connections: None }
}

/// With a password that nobody guesses.
fn somebody(username: &str) -> Visitor {
    Visitor::named(username, &format!("{}", Uuid::new_v4().simple()))
}

fn register(target: &Target, visitor: &Visitor, server: &Server) -> Result<(), CompareError> {
    let Some(step) = &target.register else { return Ok(()) };
    visitor.clone().take(step, &mut Connection::to(server.origin.clone()))
}
