//! Honest people: they register, sign in, renew, sign out and change their password while something breaks, and remember
//! what they were told. That holds afterwards; and what nobody told them has happened whole, or not at all.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use serde_json::json;

use super::{
    PASSWORD,
    client::{Client, Mode, Pair},
    eventually,
    http::{Request, Response, Unanswered},
    server::{credentials, registration},
    with,
};

/// What everybody changes their password to.
const NEW_PASSWORD: &str = "a slow heron beneath the weir";

/// How many there are at once.
const LANES: usize = 6;

/// How long who was not served leaves the server alone.
const PAUSE: Duration = Duration::from_millis(20);

/// What is known of a login.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Live,
    Ended,
    /// Nobody said whether it has ended, or is known by something else now.
    Open,
    /// It has ended if the new password holds, and else it lives.
    AsThePassword,
}

/// A login, as a device holds it.
#[derive(Clone)]
struct Device {
    client: Client,
    fate: Fate,
}

/// Somebody, and what they know.
pub struct Person {
    name: String,
    address: SocketAddr,
    is_registered: bool,
    /// The one that holds; two, when nobody said which.
    passwords: Vec<&'static str>,
    devices: Vec<Device>,
    /// Whether everything that they wanted was done.
    pub is_served: bool,
}

impl Person {
    /// `None` when they could not even ask. Whose turn it is decides which device is of which kind.
    pub async fn live(address: SocketAddr, name: String, turn: usize) -> Option<Self> {
        let passwords = vec![PASSWORD];
        let mut person =
            Self { name, address, is_registered: false, passwords, devices: Vec::new(), is_served: false };
        let mode = Pair::ALL[turn % Pair::ALL.len()].mode;
        let registration = Request::post(&mode.path("register")).json(&registration(&person.name));
        let answer = registration.attempt(address).await;
        if matches!(answer, Err(Unanswered::NotSent)) {
            return None;
        }
        person.is_registered = done(answer, 201).is_some();
        person.is_served = person.is_registered && person.go_on(turn).await.is_some();
        Some(person)
    }

    /// `None`: something was not done, as far as they were told. That ends their story.
    async fn go_on(&mut self, turn: usize) -> Option<()> {
        for number in turn..turn + 3 {
            self.login(Pair::ALL[number % Pair::ALL.len()]).await?;
        }
        self.refresh(0).await?;
        self.logout(1).await?;
        self.devices[0].look().await?;
        self.change_password(0).await?;
        self.login(Pair::ALL[(turn + 3) % Pair::ALL.len()]).await?;
        self.refresh(3).await?;
        self.devices[0].look().await
    }

    async fn login(&mut self, pair: Pair) -> Option<()> {
        let mut client = Client::at_address(self.address, pair);
        let body = with(pair.credentials(&self.name), "password", self.passwords[0]);
        let login = client.request("POST", &client.path("login")).json(&body);
        done(client.attempt(login).await, 200)?;
        self.devices.push(Device { client, fate: Fate::Live });
        Some(())
    }

    async fn refresh(&mut self, device: usize) -> Option<()> {
        let Device { client, fate } = &mut self.devices[device];
        let answer = client.attempt(client.refresh_request()).await;
        let renewed = done(answer, 200);
        // The refresh token before is good for a while; the session id before is not.
        if renewed.is_none() && client.pair.mode == Mode::Session {
            *fate = Fate::Open;
        }
        renewed.map(drop)
    }

    async fn logout(&mut self, device: usize) -> Option<()> {
        let Device { client, fate } = &mut self.devices[device];
        let logout = client.request("POST", &client.path("logout"));
        // A copy: that its cookies are cleared is no reason to forget them.
        let left = done(client.clone().attempt(logout).await, 204);
        *fate = if left.is_some() { Fate::Ended } else { Fate::Open };
        left.map(drop)
    }

    async fn change_password(&mut self, device: usize) -> Option<()> {
        let client = &mut self.devices[device].client;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
        let change = client.request("POST", "/account/password").json(&body);
        let changed = done(client.attempt(change).await, 204);
        let others = self.devices.iter_mut().enumerate().filter(|(number, _)| *number != device);
        for (_, other) in others {
            other.fate = match (changed.is_some(), other.fate) {
                (true, _) => Fate::Ended,
                (false, Fate::Live) => Fate::AsThePassword,
                (false, fate) => fate,
            };
        }
        self.passwords = if changed.is_some() { vec![NEW_PASSWORD] } else { vec![PASSWORD, NEW_PASSWORD] };
        changed.map(drop)
    }

    /// Asserts that all is as they were told, and the rest one way or the other.
    async fn assert_kept(&self, address: SocketAddr) {
        let mut working = Vec::new();
        for password in [PASSWORD, NEW_PASSWORD] {
            if self.may_sign_in(address, password).await {
                working.push(password);
            }
        }
        if !self.is_registered && working.is_empty() {
            // Nothing of them is there, so nothing is in their way.
            let again = Request::post("/session/register").json(&registration(&self.name));
            again.send(address).await.expect(201);
            return;
        }
        assert_eq!(working.len(), 1, "{}: passwords that work", self.name);
        assert!(self.passwords.contains(&working[0]), "{}: {} works", self.name, working[0]);
        let has_changed = working[0] == NEW_PASSWORD;
        for (number, device) in self.devices.iter().enumerate() {
            let which = format!("{}'s device {number}, {:?}", self.name, device.client.pair);
            device.assert_kept(address, has_changed, &which).await;
        }
    }

    async fn may_sign_in(&self, address: SocketAddr, password: &str) -> bool {
        let body = with(credentials(&self.name), "password", password);
        let response = Request::post("/jwt/login").json(&body).send(address).await;
        assert!([200, 401].contains(&response.status), "{}: {response}", self.name);
        response.status == 200
    }
}

impl Device {
    /// What lives is good for a profile, unless nobody can say.
    async fn look(&mut self) -> Option<()> {
        let profile = self.client.request("GET", &self.client.path("profile"));
        done(self.client.attempt(profile).await, 200).map(drop)
    }

    async fn assert_kept(&self, address: SocketAddr, has_changed: bool, which: &str) {
        let mut client = self.client.at_node(address);
        let profile = client.profile().await;
        let refresh = client.refresh().await;
        let answers = format!("{which}, {:?}: {profile}, {refresh}", self.fate);
        let lives = match self.fate {
            Fate::Live => true,
            Fate::Ended => false,
            Fate::Open => profile.status == 200,
            Fate::AsThePassword => !has_changed,
        };
        let expected = if lives { 200 } else { 401 };
        assert_eq!((profile.status, refresh.status), (expected, expected), "{answers}");
        if self.fate == Fate::Ended {
            profile.problem(401, client.pair.mode.ended());
        }
    }
}

/// The answer, if it says that it was done. Nothing but that, or that nobody knows, may be said.
#[track_caller]
fn done(answer: Result<Response, Unanswered>, status: u16) -> Option<Response> {
    match answer {
        Err(Unanswered::NotSent) => None,
        Err(Unanswered::BrokenOff(bytes)) => {
            assert_eq!(String::from_utf8_lossy(&bytes), "", "this much of an answer came");
            None
        }
        Ok(response) if response.status == 503 => {
            response.problem(503, "unavailable");
            None
        }
        Ok(response) => Some(response.expect(status)),
    }
}

/// People who live one after the other, several at once, until the trouble is over.
pub async fn live_through<T>(
    address: SocketAddr,
    family: &str,
    trouble: impl Future<Output = T>,
) -> (Vec<Person>, T) {
    let is_over = AtomicBool::new(false);
    let is_over = &is_over;
    let lane = async |lane: usize| {
        let mut people: Vec<Person> = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let name = format!("{family}-{lane}-{}", people.len());
            let person = Person::live(address, name, lane + people.len()).await;
            if !person.as_ref().is_some_and(|person| person.is_served) {
                tokio::time::sleep(PAUSE).await;
            }
            people.extend(person);
        }
        people
    };
    let trouble = async {
        let outcome = trouble.await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    let (lanes, outcome) = join(join_all((0..LANES).map(lane)), trouble).await;
    (lanes.into_iter().flatten().collect(), outcome)
}

/// Asserts that somebody new is served whatever they want, in the end.
pub async fn assert_served_again(address: SocketAddr, family: &str) {
    for turn in 0..Pair::ALL.len() {
        let mut number = 0;
        eventually("somebody who is served", async || {
            number += 1;
            let name = format!("{family}-after-{turn}-{number}");
            Person::live(address, name, turn).await.is_some_and(|person| person.is_served)
        })
        .await;
    }
}

/// Asserts that everybody finds things there as they were told.
pub async fn assert_kept(people: &[Person], address: SocketAddr) {
    stream::iter(people).for_each_concurrent(LANES, |person| person.assert_kept(address)).await;
}
