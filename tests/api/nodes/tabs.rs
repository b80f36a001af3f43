//! Tabs of one browser that wake up at once: whatever becomes of their refreshes on the way, nobody is signed out.
//!
//! `TAB_ROUNDS` says how often they wake up, and `TAB_SEED` has them do it in the same way again.

use std::io::Write;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dualauth::crypto::random_bytes;
use futures_util::future::join_all;

use super::{PAIRS, assert_refused_in_time, two_nodes};
use crate::support::{
    client::{Client, Mode},
    http::Response,
    random::Random,
    server::TestServer,
};

const GRACE: Duration = Duration::from_secs(30);

/// The moments that half the grace has. What happens at the same one happens at once.
const MOMENTS: usize = 12;

const MOST_TABS: usize = 16;

/// After so many rounds a browser signs in anew, before its login is over.
const ROUNDS_OF_A_LOGIN: usize = 20;

#[tokio::test]
async fn however_many_tabs_refresh_nobody_is_signed_out_and_what_is_older_never_passes() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("TAB_SEED").unwrap_or_else(|| u64::from_ne_bytes(random_bytes()));
    let rounds = number("TAB_ROUNDS").unwrap_or(80);
    // However long a browser sleeps while others wake up.
    let nodes = two_nodes(&[("SESSION_IDLE_TTL", "365d"), ("SESSION_TTL", "3650d")]).await;
    nodes.0.user("ada").await;
    let mut browsers = Vec::new();
    for pair in PAIRS {
        browsers.push(Browser::new(Client::new(&nodes.0, pair)));
    }
    let mut desk =
        Desk { nodes: [nodes.0, nodes.1], random: Random::new(seed, 0), counts: Counts::default() };
    for round in 0..rounds {
        let number = desk.random.below(browsers.len());
        let told = format!("TAB_SEED={seed}, round {round}, {:?}", browsers[number].client.pair);
        browsers[number].wake_up(&mut desk, &told).await;
    }
    // Past the test's own capture: it is what one runs many rounds for.
    let _ = writeln!(std::io::stderr(), "TAB_SEED={seed}: {rounds} rounds, {:?}", desk.counts);
}

/// Where it all happens.
struct Desk {
    nodes: [TestServer; 2],
    random: Random,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    refreshes: usize,
    /// Of those, the ones whose credential had been replaced by then.
    of_replaced: usize,
    lost_answers: usize,
    /// How often a late answer brought back, for the end of a round, a credential that had been replaced.
    left_behind: usize,
    older_refused: usize,
}

/// One refresh of one tab: three moments on its way, and what it carries. An answer that is lost has no third.
struct Trip {
    sent: usize,
    processed: usize,
    answered: Option<usize>,
    shown: Option<Client>,
    answer: Option<Response>,
}

impl Trip {
    fn new(random: &mut Random, from: usize) -> Self {
        let later = |random: &mut Random, moment: usize| moment + random.below(MOMENTS - moment + 1);
        let sent = later(random, from);
        let processed = later(random, sent);
        let answered = later(random, processed);
        let is_lost = random.below(5) == 0;
        Self { sent, processed, answered: (!is_lost).then_some(answered), shown: None, answer: None }
    }

    /// What a tab does in one round.
    fn of_a_tab(random: &mut Random) -> Vec<Self> {
        let first = Self::new(random, 0);
        let from = first.answered.unwrap_or(first.processed);
        if random.below(2) == 0 { vec![first] } else { vec![Self::new(random, from), first] }
    }
}

/// What all tabs of a browser share: its cookies, or what its pages keep their tokens in.
struct Browser {
    client: Client,
    /// The newest generation that anybody was given.
    newest: i32,
    rounds_left: usize,
}

impl Browser {
    fn new(client: Client) -> Self {
        Self { client, newest: 0, rounds_left: 0 }
    }

    async fn wake_up(&mut self, desk: &mut Desk, told: &str) {
        if self.rounds_left == 0 {
            self.client.login(&self.client.pair.credentials("ada")).await.ok();
            (self.newest, self.rounds_left) = (0, ROUNDS_OF_A_LOGIN);
        }
        self.rounds_left -= 1;
        let tabs = 1 + desk.random.below(MOST_TABS);
        let mut trips: Vec<_> = (0..tabs).flat_map(|_| Trip::of_a_tab(&mut desk.random)).collect();
        let before = self.client.clone();
        for moment in 0..=MOMENTS {
            self.pass(moment, &mut trips, desk, told).await;
            desk.nodes[0].clock.advance(GRACE / 2 / MOMENTS as u32);
        }
        desk.counts.left_behind += usize::from(generation(&self.client) < self.newest);
        self.settle(desk, told).await;
        let shown = trips.into_iter().filter_map(|trip| trip.shown);
        let older = shown.chain([before]).filter(|shown| shown.renewal() != self.client.renewal());
        let older: Vec<_> = older.collect();
        match desk.random.below(4) {
            0 => self.find_an_older_one_refused(desk.random.of(&older), desk, told).await,
            _ => desk.nodes[0].clock.advance(desk.random.millis(0..20 * 60_000)),
        }
    }

    async fn pass(&mut self, moment: usize, trips: &mut [Trip], desk: &mut Desk, told: &str) {
        for trip in trips.iter_mut().filter(|trip| trip.sent == moment) {
            trip.shown = Some(self.client.at(desk.random.of(&desk.nodes)));
        }
        let newest = self.newest;
        let due = trips.iter_mut().filter(|trip| trip.processed == moment);
        let given = join_all(due.map(async |trip| {
            let mut tab = trip.shown.clone().expect("it was sent");
            // A request of the page that was under way with it, too.
            if tab.pair.mode == Mode::Session {
                assert_eq!(tab.profile().await.status, 200, "{told}: signed out");
            }
            let answer = tab.send(tab.refresh_request()).await;
            assert_eq!(answer.status, 200, "{told}: signed out: {answer}");
            assert_eq!(tab.profile().await.status, 200, "{told}: signed out by a refresh");
            trip.answer = Some(answer);
            generation(&tab)
        }))
        .await;
        // One of them moved it on, if one showed what was current; the others were given what they found.
        let is_current = |given: &i32| (newest..=newest + 1).contains(given);
        assert!(given.iter().all(is_current), "{told}: {given:?} where {newest} was current");
        self.newest = given.into_iter().max().unwrap_or(newest);
        for trip in trips.iter().filter(|trip| trip.processed == moment) {
            desk.counts.refreshes += 1;
            desk.counts.of_replaced +=
                usize::from(trip.shown.as_ref().is_some_and(|it| generation(it) < newest));
            desk.counts.lost_answers += usize::from(trip.answered.is_none());
        }
        for trip in trips.iter().filter(|trip| trip.answered == Some(moment)) {
            self.client.absorb(trip.answer.as_ref().expect("it was processed"));
        }
    }

    /// The last tab refreshes, and its answer arrives: it is still the grace of all that there was in this round.
    async fn settle(&mut self, desk: &mut Desk, told: &str) {
        let mut tab = self.client.at(desk.random.of(&desk.nodes));
        let answer = tab.refresh().await;
        assert_eq!(answer.status, 200, "{told}: signed out in the end: {answer}");
        assert_eq!(tab.profile().await.status, 200, "{told}: signed out in the end");
        (self.newest, self.client) = (generation(&tab), tab);
    }

    async fn find_an_older_one_refused(&mut self, older: &Client, desk: &mut Desk, told: &str) {
        desk.nodes[0].clock.advance(GRACE + desk.random.millis(0..60_000));
        let answer = older.at(desk.random.of(&desk.nodes)).refresh().await;
        let acknowledged = Instant::now();
        let code = match older.pair.mode {
            Mode::Session => "session_expired",
            Mode::Jwt => "refresh_token_reused",
        };
        assert!(answer.status == 401 && answer.text().contains(code), "{told}: {answer}");
        desk.counts.older_refused += 1;
        match older.pair.mode {
            Mode::Session => self.settle(desk, told).await,
            Mode::Jwt => {
                assert_refused_in_time(&self.client, acknowledged).await;
                self.rounds_left = 0;
            }
        }
    }
}

/// Which generation a client's session id or refresh token is of, as it says itself.
fn generation(client: &Client) -> i32 {
    let renewal = client.renewal();
    let (prefix, before) = match client.pair.mode {
        Mode::Session => ("dus_", 32),
        Mode::Jwt => ("dur_", 16),
    };
    let (_, text) = renewal.split_once(prefix).expect("one of ours");
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let generation =
        bytes.get(before..before + 4).map_or([0; 4], |bytes| bytes.try_into().expect("four bytes"));
    i32::from_be_bytes(generation)
}
