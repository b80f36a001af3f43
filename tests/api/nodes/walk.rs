//! Random walks: people and operators who do whatever can be done, all at once, on two nodes whose ways to Postgres
//! break again and again; services of others follow each. A model of what the clients were told says which answers must not come.
//!
//! `WALK_SEED` walks one way again, as far as the machine's timing allows; `WALK_ROUNDS` says how many new ways to go.

mod model;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dualauth::clock::Clock;
use dualauth::crypto::random_bytes;
use dualauth_verify::{Verifier, VerifyError};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use self::model::{Answer, Model, User, Whom};
use super::{PAIRS, sql};
use crate::exchange;
use crate::oauth::Service;
use crate::support::{
    PASSWORD, SECOND,
    client::{Client, Jar, Mode, Pair},
    eventually,
    http::{Request, Response},
    proxy::Proxy,
    random::Random,
    server::{ONE_NAME, TestServer},
    signer, text, with,
};

/// The ways that are gone each time.
const SEEDS: [u64; 3] = [1, 2, 3];

const LENGTH: Duration = Duration::from_secs(3);
const USERS: usize = 6;
const WORKERS: u64 = 20;

/// What a password is changed to, and back from.
const OTHER_PASSWORD: &str = "another lantern over the weir";

#[tokio::test]
async fn whatever_happens_the_ended_are_refused_in_time_and_the_living_are_not() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("WALK_SEED") {
        Some(seed) => vec![seed],
        None => {
            let new = (0..number("WALK_ROUNDS").unwrap_or(1)).map(|_| u64::from_ne_bytes(random_bytes()));
            SEEDS.into_iter().chain(new).collect()
        }
    };
    for seed in seeds {
        // Past the test's own capture: when it hangs, this is what one needs.
        let _ = writeln!(std::io::stderr(), "a walk with WALK_SEED={seed}");
        Walk::begin(seed).await.go().await;
    }
}

struct Walk {
    seed: u64,
    began: Instant,
    nodes: [TestServer; 2],
    proxies: [Proxy; 2],
    /// Services that verify access tokens by themselves: each follows a node.
    followers: [Verifier; 2],
    model: Mutex<Model>,
    /// Whoever changes a user's roles, or disables them, is alone with it.
    managing: Vec<tokio::sync::Mutex<()>>,
    faults: Mutex<Vec<String>>,
    accepted: Mutex<[usize; 2]>,
    /// The same of what the followers said.
    by_followers: Mutex<[usize; 2]>,
}

impl Walk {
    async fn begin(seed: u64) -> Self {
        let settings = [
            ONE_NAME,
            ("JWT_ALGORITHM", "EdDSA"),
            ("JWT_WHEN_STALE", "refuse"),
            ("LAST_SEEN_INTERVAL", "1s"),
        ];
        let (server, proxy) = TestServer::behind_a_proxy(&settings).await;
        // The followers go by the machine's clock.
        server.clock.set(Clock::system().now());
        let (other, other_proxy) = server.another_node_behind_a_proxy(&[]).await;
        let mut model = Model::default();
        for number in 0..USERS {
            let name = format!("walker-{number}");
            let id = server.user(&name).await;
            model.users.push(User::new(name, id));
        }
        let service = Service::registered(&server).await;
        let followers = [&server, &other].map(|node| follower(node, &service));
        for follower in &followers {
            follower.ready().await;
        }
        Self {
            seed,
            began: Instant::now(),
            nodes: [server, other],
            proxies: [proxy, other_proxy],
            followers,
            model: Mutex::new(model),
            managing: (0..USERS).map(|_| tokio::sync::Mutex::default()).collect(),
            faults: Mutex::default(),
            accepted: Mutex::default(),
            by_followers: Mutex::default(),
        }
    }

    async fn go(self) {
        let workers = (0..WORKERS).map(async |lane| {
            let mut random = Random::new(self.seed, lane);
            while self.began.elapsed() < LENGTH {
                self.step(&mut random).await;
            }
        });
        let weather = [0, 1].map(async |node| self.weather(node).await);
        join(join_all(workers), join_all(weather)).await;
        self.arrive().await;

        let faults = lock(&self.faults);
        assert!(
            faults.is_empty(),
            "WALK_SEED={}: {} faults:\n{}",
            self.seed,
            faults.len(),
            faults.join("\n")
        );
        // Else nothing was tried.
        for counts in [&self.accepted, &self.by_followers] {
            assert!(lock(counts).iter().all(|count| *count > 0), "{:?}", lock(counts));
        }
    }

    /// One node's way to Postgres: open for a while, then not.
    async fn weather(&self, node: usize) {
        let mut random = Random::new(self.seed, WORKERS + node as u64);
        let proxy = &self.proxies[node];
        loop {
            let (fair, foul) = (random.millis(200..2_000), random.millis(100..2_200));
            sleep(fair.min(LENGTH.saturating_sub(self.began.elapsed()))).await;
            if self.began.elapsed() >= LENGTH {
                break;
            }
            if random.below(2) == 0 {
                proxy.go_away();
            } else {
                proxy.fall_silent();
            }
            sleep(foul).await;
            if random.below(2) == 0 {
                proxy.cut().await;
            }
            proxy.come_back();
        }
        // Nobody is to wait any longer on a connection that fell silent.
        proxy.cut().await;
        proxy.come_back();
    }

    async fn step(&self, random: &mut Random) {
        let Some(credential) = self.pick(random) else { return self.login(random).await };
        let choice = random.below(100);
        let asked = async {
            match choice {
                0..35 => self.look(random, credential).await,
                35..50 => self.show(random.of(&self.followers), credential).await,
                50..56 => self.exchange(random, credential).await,
                56..70 => self.login(random).await,
                70..80 => self.refresh(random, credential).await,
                80..84 => self.end(random, credential, "logout").await,
                84..88 => self.delete(random, credential).await,
                88..90 => self.end(random, credential, "logout-all").await,
                90..92 => self.change_password(random, credential).await,
                92..95 => self.change_roles(random).await,
                95..96 => self.disable(random).await,
                _ => self.steal(random).await,
            }
        };
        match choice {
            // Past the nodes, and to be brought to an end.
            92..96 => asked.await,
            // Who gets no answer hangs up, and what it asked for may happen or not.
            _ => drop(timeout(SECOND / 2, asked).await),
        }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    fn fault(&self, what: impl std::fmt::Display) {
        lock(&self.faults).push(format!("after {:?}: {what}", self.began.elapsed()));
    }

    /// Any credential, the last ones more often.
    fn pick(&self, random: &mut Random) -> Option<usize> {
        let count = self.model().credentials.len();
        let first = if random.below(4) == 0 { 0 } else { count.saturating_sub(30) };
        (count > 0).then(|| first + random.below(count - first))
    }

    fn client(&self, random: &mut Random, credential: usize) -> Client {
        let node = random.of(&self.nodes);
        self.model().credentials[credential].client.at(node)
    }

    /// Holds an answer against what is known.
    fn judge(&self, credential: usize, sent: Instant, response: &Response, except: Option<usize>) {
        let roles = (response.status == 200).then(|| shown_roles(response)).flatten();
        let answer = Answer { status: response.status, roles, except };
        let fault = self.model().fault(credential, sent, &answer);
        if let Some(fault) = fault {
            let login = self.model_login(credential);
            let login = self.model().logins[login].id.clone();
            self.fault(format!("login {login}, credential {credential}: {fault}: {response}"));
        }
        match response.status {
            200..300 => lock(&self.accepted)[0] += 1,
            401 => lock(&self.accepted)[1] += 1,
            _ => {}
        }
    }

    /// Shows an access token to a service that is not ours.
    async fn show(&self, follower: &Verifier, credential: usize) {
        let client = self.model().credentials[credential].client.clone();
        if client.pair.mode != Mode::Jwt {
            return;
        }
        let sent = Instant::now();
        let verified = follower.verify(&client.credential()).await;
        let (status, roles) = match &verified {
            Ok(claims) => (200, Some(claims.roles.join(","))),
            Err(VerifyError::Unavailable) => (503, None),
            Err(_) => (401, None),
        };
        let fault = self.model().fault(credential, sent, &Answer { status, roles, except: None });
        if let Some(fault) = fault {
            self.fault(format!("a follower, credential {credential}: {fault}: {verified:?}"));
        }
        match status {
            200 => lock(&self.by_followers)[0] += 1,
            401 => lock(&self.by_followers)[1] += 1,
            _ => {}
        }
    }

    fn model_login(&self, credential: usize) -> usize {
        self.model().credentials[credential].login
    }

    async fn look(&self, random: &mut Random, credential: usize) {
        let client = self.client(random, credential);
        let path = random.of(&[client.path("profile"), "/profile".to_owned(), "/verify".to_owned()]).clone();
        let sent = Instant::now();
        let response = client.get(&path).await;
        self.judge(credential, sent, &response, None);
    }

    async fn login(&self, random: &mut Random) {
        let user = random.below(USERS);
        let mut client = Client::new(random.of(&self.nodes), *random.of(&PAIRS));
        let (name, password) = {
            let user = &self.model().users[user];
            (user.name.clone(), user.password)
        };
        let body = with(client.pair.credentials(&name), "password", password_text(password));
        let sent = Instant::now();
        let response = client.login(&body).await;
        match response.status {
            200 => {
                let body = response.json();
                let id = text(&body["login"]["id"]).to_owned();
                self.model().add_login(user, id, sent, client, roles(&body["user"]["roles"]));
            }
            // Another password by now, or disabled.
            401 => self.model().users[user].password = !password,
            // After some wrong ones, passwords are not listened to for a while.
            429 | 503 => {}
            _ => self.fault(response),
        }
    }

    /// Sends what is to end something, and notes what came of it.
    async fn ask(&self, credential: usize, client: &mut Client, whom: Whom, request: Request) -> Response {
        let ending = self.model().begin(whom);
        let sent = Instant::now();
        let response = client.send(request).await;
        // To change a password, the current one is asked for, and wrong ones are paced.
        let checks_a_password = matches!(whom, Whom::User(_, Some(_)));
        if !(response.status == 429 && checks_a_password) {
            self.judge(credential, sent, &response, Some(ending));
        }
        let escaped = match whom {
            Whom::Login(login) if response.status == 404 => {
                !self.model().login_may_be_over(login, Some(ending))
            }
            _ => false,
        };
        if escaped {
            self.fault(format!("a live login was not found: {response}"));
        }
        self.model().finish(ending, response.status);
        response
    }

    async fn end(&self, random: &mut Random, credential: usize, how: &str) {
        let mut client = self.client(random, credential);
        let login = self.model_login(credential);
        let whom = match how {
            "logout" => Whom::Login(login),
            _ => Whom::User(self.model().logins[login].user, None),
        };
        let request = client.request("POST", &client.path(how));
        self.ask(credential, &mut client, whom, request).await;
    }

    async fn delete(&self, random: &mut Random, credential: usize) {
        let mut client = self.client(random, credential);
        let (victim, id) = {
            let model = self.model();
            let user = model.logins[model.credentials[credential].login].user;
            let own = (0..model.logins.len()).filter(|login| model.logins[*login].user == user);
            let own: Vec<_> = own.collect();
            let victim = *random.of(&own[own.len().saturating_sub(6)..]);
            (victim, model.logins[victim].id.clone())
        };
        let request = client.request("DELETE", &format!("/account/logins/{id}"));
        self.ask(credential, &mut client, Whom::Login(victim), request).await;
    }

    async fn change_password(&self, random: &mut Random, credential: usize) {
        let mut client = self.client(random, credential);
        let login = self.model_login(credential);
        let (user, password) = {
            let model = self.model();
            let user = model.logins[login].user;
            (user, model.users[user].password)
        };
        let body = json!({
            "current_password": password_text(password), "new_password": password_text(!password)
        });
        let request = client.request("POST", "/account/password").json(&body);
        let response = self.ask(credential, &mut client, Whom::User(user, Some(login)), request).await;
        if [204, 403].contains(&response.status) {
            self.model().users[user].password = !password;
        }
    }

    async fn refresh(&self, random: &mut Random, credential: usize) {
        let mut client = self.client(random, credential);
        let login = self.model_login(credential);
        if client.pair.mode == Mode::Jwt {
            // An access token of a session that was not handed off has nothing that renews it.
            if self.model().logins[login].newest.pair.mode == Mode::Jwt {
                self.refresh_tokens(random, login).await;
            }
            return;
        }
        // It ends nothing: the clock stands still, and so does the grace of what is replaced.
        let sent = Instant::now();
        let response = client.refresh().await;
        self.judge(credential, sent, &response, None);
        if response.status == 200 {
            self.model().add_credential(login, client, roles(&response.json()["user"]["roles"]));
        }
    }

    /// Gets another credential of the same login, in the other mode: an access token of a session, or what a code brings.
    async fn exchange(&self, random: &mut Random, credential: usize) {
        let client = self.client(random, credential);
        if client.pair.mode == Mode::Session && random.below(2) == 0 {
            return self.take_token(credential, &client).await;
        }
        let sent = Instant::now();
        let response = client.clone().send(client.request("POST", "/account/handoff")).await;
        self.judge(credential, sent, &response, None);
        if response.status == 201 {
            self.hand_off(random, credential, text(&response.json()["code"])).await;
        }
    }

    async fn take_token(&self, credential: usize, session: &Client) {
        let sent = Instant::now();
        let response = session.clone().send(session.request("POST", "/session/token")).await;
        self.judge(credential, sent, &response, None);
        if response.status == 200 {
            let mut app = session.clone();
            app.pair = Pair::JWT_BEARER;
            app.jar = Jar::default();
            app.bearer = Some(text(&response.json()["access_token"]).to_owned());
            let shown = signer::part(app.bearer.as_deref().unwrap_or_default(), 1);
            let login = self.model_login(credential);
            self.model().add_credential(login, app, roles(&shown["roles"]));
        }
    }

    async fn hand_off(&self, random: &mut Random, credential: usize, code: &str) {
        let login = self.model_login(credential);
        let mode = self.model().credentials[credential].client.pair.mode;
        let others: Vec<Pair> = PAIRS.into_iter().filter(|pair| pair.mode != mode).collect();
        let mut other = Client::new(random.of(&self.nodes), *random.of(&others));
        let over_since = self.model().login_over_since(login);
        let sent = Instant::now();
        let response = other.login(&exchange::body(code, other.pair)).await;
        let fault = match response.status {
            200 if over_since.is_some_and(|over| over < sent) => {
                Some("a login that had ended was handed off")
            }
            200 if response.json()["login"]["id"] != self.model().logins[login].id.as_str() => {
                Some("another login came")
            }
            200 => {
                let shown = roles(&response.json()["user"]["roles"]);
                let mut model = self.model();
                if other.pair.mode == Mode::Jwt {
                    model.logins[login].newest = other.clone();
                }
                model.add_credential(login, other, shown);
                None
            }
            // It is presented there already, or somebody was faster; or nobody answered.
            409 | 429 | 503 => None,
            401 if self.model().login_may_be_over(login, None) => None,
            _ => Some("a live login was not handed off"),
        };
        if let Some(fault) = fault {
            self.fault(format!("{fault}: {response}"));
        }
    }

    async fn refresh_tokens(&self, random: &mut Random, login: usize) {
        let mut client = self.model().logins[login].newest.at(random.of(&self.nodes));
        let (before, over_since) = (client.clone(), self.model().login_over_since(login));
        // When it is renewed meanwhile, and the grace is over at once, this one is taken for stolen.
        let ending = self.model().begin(Whom::Login(login));
        let sent = Instant::now();
        let response = client.refresh().await;
        let mut model = self.model();
        let is_newest = model.logins[login].newest.renewal() == before.renewal();
        let may_be_over = model.login_may_be_over(login, Some(ending));
        match response.status {
            // Nothing is remembered here that could be out of date.
            200 if over_since.is_some_and(|over| over < sent) => {
                drop(model);
                self.fault(format!("a login that had ended was renewed: {response}"));
            }
            200 => {
                model.finish(ending, 400);
                model.add_credential(login, client.clone(), roles(&response.json()["user"]["roles"]));
                // Another refresh at once got the same successor.
                if is_newest {
                    model.logins[login].older.push(before);
                    model.logins[login].newest = client;
                }
            }
            // Others' answers, by which this one is an older one, may be under way yet.
            401 if taken_for_stolen(&response) && (!is_newest || may_be_over) => model.finish(ending, 204),
            401 if may_be_over => model.finish(ending, 401),
            503 if is_newest => model.finish(ending, 400),
            503 => {}
            _ => {
                drop(model);
                self.fault(format!("a live login was not renewed: {response}"));
            }
        }
    }

    /// Offers a refresh token that was replaced, when its grace is over.
    async fn steal(&self, random: &mut Random) {
        let (login, token, ending) = {
            let mut model = self.model();
            let renewed = (0..model.logins.len()).filter(|login| !model.logins[*login].older.is_empty());
            let renewed: Vec<_> = renewed.collect();
            if renewed.is_empty() {
                return;
            }
            let login = *random.of(&renewed);
            let token = random.of(&model.logins[login].older).renewal();
            (login, token, model.begin(Whom::Login(login)))
        };
        let id = self.model().logins[login].id.clone();
        sql(
            &self.nodes[0],
            &format!(
                "update logins set replaced_at = (select array_agg(at - interval '31 s' order by number)
                     from unnest(replaced_at) with ordinality as old (at, number)) where id = '{id}' and mode = 'jwt';
                 update logins set other_replaced_at = (select array_agg(at - interval '31 s' order by number)
                     from unnest(other_replaced_at) with ordinality as old (at, number)) where id = '{id}' and mode = 'session'"
            ),
        )
        .await;
        let request = Request::post("/jwt/refresh").json(&json!({ "refresh_token": token }));
        let response = random.of(&self.nodes).send(request).await;
        let mut model = self.model();
        match (response.status, taken_for_stolen(&response)) {
            (401, true) => model.finish(ending, 204),
            (401, false) if model.login_may_be_over(login, Some(ending)) => model.finish(ending, 401),
            (503, _) => {}
            _ => {
                drop(model);
                self.fault(format!("a stolen refresh token: {response}"));
            }
        }
    }

    async fn change_roles(&self, random: &mut Random) {
        let user = random.below(USERS);
        let _alone = self.managing[user].lock().await;
        let (id, roles, ending) = {
            let mut model = self.model();
            let ending = model.begin(Whom::Roles(user));
            model.users[user].version += 1;
            (model.users[user].id.clone(), model.users[user].roles(), ending)
        };
        sql(&self.nodes[0], &format!("update users set roles = '{{{roles}}}' where id = '{id}'")).await;
        self.model().finish(ending, 204);
    }

    async fn disable(&self, random: &mut Random) {
        let user = random.below(USERS);
        let _alone = self.managing[user].lock().await;
        let (id, ending) = {
            let mut model = self.model();
            (model.users[user].id.clone(), model.begin(Whom::User(user, None)))
        };
        sql(&self.nodes[0], &format!("update users set disabled_at = now() where id = '{id}'")).await;
        self.model().finish(ending, 204);
        sleep(random.millis(0..300)).await;
        sql(&self.nodes[0], &format!("update users set disabled_at = null where id = '{id}'")).await;
    }

    /// When all is well again, every credential is what it was said to be.
    async fn arrive(&self) {
        for node in &self.nodes {
            eventually("a node that is ready again", async || {
                node.send(Request::get("/health/ready")).await.status == 200
            })
            .await;
        }
        sleep(SECOND).await;
        let count = self.model().credentials.len();
        for credential in count.saturating_sub(120)..count {
            for node in &self.nodes {
                let client = self.model().credentials[credential].client.at(node);
                // A connection that died in the last outage may still tell so.
                eventually("an answer", async || {
                    let sent = Instant::now();
                    let response = client.profile().await;
                    self.judge(credential, sent, &response, None);
                    response.status != 503
                })
                .await;
            }
            for follower in &self.followers {
                eventually("a follower that is fresh again", async || follower.is_fresh()).await;
                self.show(follower, credential).await;
            }
        }
    }
}

fn follower(node: &TestServer, service: &Service) -> Verifier {
    let (_, name) = ONE_NAME;
    let settings = Verifier::builder(name, name).url(format!("http://{}", node.address()));
    settings.client(&service.id, service.secret.clone()).build().expect("good settings")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn password_text(other: bool) -> &'static str {
    if other { OTHER_PASSWORD } else { PASSWORD }
}

fn roles(list: &Value) -> String {
    let list = list.as_array().expect("roles");
    list.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Whether a refresh token was found to be an old one, which ends its login.
fn taken_for_stolen(response: &Response) -> bool {
    response.text().contains("refresh_token_reused")
}

/// The roles in a profile, or in the headers for proxies.
fn shown_roles(response: &Response) -> Option<String> {
    if let Some(shown) = response.header("x-auth-roles") {
        return Some(shown.to_owned());
    }
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    body.get("roles").map(roles)
}
