//! What a second factor costs: sign-in in two steps against sign-in by the password, and a request of a login of either kind.

use std::collections::BTreeMap;

use serde_json::json;

use super::http::Connection;
use super::load::RequestTarget;
use super::report::{ActionCost, SecondFactorCost};
use super::sign_in_cost::{PostgresWithBaseline, RepeatedAction};
use super::statistics::Estimate;
use super::target::{AuthMode, CredentialTransport, Source, Step, Target, VariantSpec};
use super::test_user::TestUser;
use super::testbed::Server;
use super::variant::NodeGroup;
use super::variants::{USERNAME, register, test_user};
use super::{CompareError, Plan, TerminalProgressBar, rounds, run, totp};

/// Measures both modes by Bearer, on the node with dualauth's default configuration, interleaved as in `rounds`.
pub(super) fn measure(
    groups: &[NodeGroup],
    baseline: &PostgresWithBaseline<'_>,
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<Vec<SecondFactorCost>, CompareError> {
    let is_default = |group: &&NodeGroup| {
        group.configuration.is_some_and(|it| it.has_default_algorithm() && !it.is_textbook)
    };
    let Some(group) = groups.iter().find(is_default) else { return Ok(Vec::new()) };
    let target = Target::dualauth(true)?;
    let bearers = target.variants.iter().filter(|spec| spec.transport == CredentialTransport::Bearer);
    let modes = bearers.map(|spec| ModeMeasurement::of(&target, spec, group, plan));
    let mut modes = modes.collect::<Result<Vec<_>, _>>()?;
    progress.expect(plan.sign_in_rounds * modes.len());
    for at in rounds::interleaved_order(plan.sign_in_rounds, modes.len()) {
        modes[at].run_round(baseline, plan)?;
        progress.step();
    }
    Ok(modes.into_iter().map(ModeMeasurement::cost).collect())
}

/// The actions of one mode. In each, the first is that of an account with a password alone, the second with a TOTP as well.
struct ModeMeasurement<'a> {
    spec: &'a VariantSpec,
    one_step_user: TestUser,
    /// One for each sign-in: a code is good once, and the next one comes half a minute later.
    two_step_users: Vec<TestUser>,
    sign_ins: [RepeatedAction<'a>; 2],
    requests: [RepeatedAction<'a>; 2],
    targets: [RequestTarget; 2],
}

impl<'a> ModeMeasurement<'a> {
    fn of(
        target: &Target,
        spec: &'a VariantSpec,
        group: &'a NodeGroup,
        plan: &Plan,
    ) -> Result<Self, CompareError> {
        let server = &group.servers[0];
        let new_user = |kind: &str, number| {
            let user = test_user(&format!("{USERNAME}-{}-{kind}-{number}", spec.mode.as_str()));
            register(target, &user, server).map(|()| user)
        };
        let one_step_user = new_user("one-step", 0)?;
        let mut enrolled = (0..=plan.sign_in_rounds * plan.sign_ins)
            .map(|number| enrol(new_user("two-step", number)?, server))
            .collect::<Result<Vec<_>, _>>()?;
        let actions = || [RepeatedAction::new(group), RepeatedAction::new(group)];
        let mut sign_ins = actions();
        // The first ones open the connections and are not counted.
        let mut one_step = one_step_user.clone();
        one_step.sign_in(spec, &mut sign_ins[0].connection)?;
        let mut two_step = enrolled.pop().ok_or(CompareError::Internal("no user with two steps"))?;
        sign_in_in_two_steps(&mut two_step, spec, &mut sign_ins[1].connection)?;
        let targets = [one_step, two_step].map(|user| RequestTarget {
            origin: server.origin.clone(),
            call: user.call(spec, server.origin.host()),
        });
        Ok(Self { spec, one_step_user, two_step_users: enrolled, sign_ins, requests: actions(), targets })
    }

    fn run_round(&mut self, baseline: &PostgresWithBaseline<'_>, plan: &Plan) -> Result<(), CompareError> {
        let Self { spec, one_step_user, two_step_users, sign_ins, requests, targets } = self;
        let [by_password, in_two_steps] = sign_ins;
        by_password
            .measure(baseline, plan.sign_ins, |connection| one_step_user.clone().sign_in(spec, connection))?;
        in_two_steps.measure(baseline, plan.sign_ins, |connection| {
            let mut user =
                two_step_users.pop().ok_or(CompareError::Internal("too few users with two steps"))?;
            sign_in_in_two_steps(&mut user, spec, connection)
        })?;
        for (action, target) in requests.iter_mut().zip(targets) {
            action.measure(baseline, plan.factor_requests, |connection| send(target, connection))?;
        }
        Ok(())
    }

    fn cost(self) -> SecondFactorCost {
        let [login_ratio, request_ratio] = [&self.sign_ins, &self.requests].map(|[one, two]| ratio(one, two));
        let [login, two_step_login] = self.sign_ins.map(RepeatedAction::cost);
        let [request, two_step_request] = self.requests.map(RepeatedAction::cost);
        let mode = self.spec.mode;
        SecondFactorCost {
            mode,
            login,
            two_step_login,
            login_ratio,
            request,
            two_step_request,
            request_ratio,
        }
    }
}

/// CPU time of the second as a multiple of the first's, computed within each round, since rounds differ.
fn ratio(one: &RepeatedAction<'_>, two: &RepeatedAction<'_>) -> Option<Estimate> {
    let cpu = |cost: &ActionCost| cost.server_cpu_us;
    let rounds = one.samples.iter().zip(&two.samples);
    Estimate::of(rounds.filter_map(|(one, two)| Some(cpu(two)? / cpu(one)?)))
}

fn send(target: &RequestTarget, connection: &mut Connection) -> Result<(), CompareError> {
    let failed = |reason| CompareError::Answer { call: target.call.name(), reason };
    let response = connection.exchange(&target.call.request).map_err(|error| failed(error.to_string()))?;
    match target.call.is_answered_by(&response) {
        true => Ok(()),
        false => Err(failed(format!("answered {}", response.status))),
    }
}

/// Turns two-step sign-in on. By the code of the step before, so that the current one is still good for a sign-in.
fn enrol(mut user: TestUser, server: &Server) -> Result<TestUser, CompareError> {
    let mut connection = Connection::new(server.origin.clone());
    let bearer = || BTreeMap::from([("Authorization".to_owned(), "Bearer {access}".to_owned())]);
    user.run_step(
        &log_in(AuthMode::Jwt, json!({ "username": "{username}", "password": "{password}" }), 200),
        &mut connection,
    )?;
    let ask = Step {
        request: "POST /challenges".to_owned(),
        headers: bearer(),
        json: Some(json!({ "for": "factor", "method": "totp" })),
        form: None,
        status: 201,
        keep: keep(&[("challenge", "/challenge"), ("totp_secret", "/totp/secret")]),
    };
    user.run_step(&ask, &mut connection)?;
    user.keep_code(totp::earlier_code)?;
    let enrol = Step {
        request: "POST /account/factors".to_owned(),
        json: Some(json!({ "challenge": "{challenge}", "code": "{code}" })),
        keep: BTreeMap::new(),
        ..ask
    };
    user.run_step(&enrol, &mut connection)?;
    Ok(user)
}

/// Both requests of a sign-in; the user keeps the credential.
fn sign_in_in_two_steps(
    user: &mut TestUser,
    spec: &VariantSpec,
    connection: &mut Connection,
) -> Result<(), CompareError> {
    let first = Step {
        keep: keep(&[("challenge", "/challenge")]),
        ..log_in(
            spec.mode,
            json!({ "username": "{username}", "password": "{password}", "transport": spec.transport.as_str() }),
            401,
        )
    };
    user.run_step(&first, connection)?;
    user.keep_code(totp::code)?;
    let credential = spec.sign_in.last().map(|step| step.keep.clone()).unwrap_or_default();
    let second = Step {
        keep: credential,
        ..log_in(spec.mode, json!({ "challenge": "{challenge}", "code": "{code}" }), 200)
    };
    user.run_step(&second, connection)
}

fn log_in(mode: AuthMode, body: serde_json::Value, status: u16) -> Step {
    Step {
        request: format!("POST /{}/login", mode.as_str()),
        headers: BTreeMap::new(),
        json: Some(body),
        form: None,
        status,
        keep: keep(&[("access", "/access_token")]),
    }
}

fn keep(values: &[(&str, &str)]) -> BTreeMap<String, Source> {
    let owned = |(name, pointer): &(&str, &str)| ((*name).to_owned(), Source::Json((*pointer).to_owned()));
    values.iter().map(owned).collect()
}

impl TestUser {
    /// Keeps the code of the user's authenticator for the next step.
    fn keep_code(&mut self, code: fn(&str, i64) -> Option<String>) -> Result<(), CompareError> {
        let code = self.value("totp_secret").and_then(|secret| code(secret, run::now().timestamp()));
        self.keep("code", code.ok_or(CompareError::Internal("no secret of an authenticator"))?);
        Ok(())
    }
}
