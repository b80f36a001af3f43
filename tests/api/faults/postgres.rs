//! A real Postgres in trouble: it crashes again and again, has no room, takes no writes, or takes half a minute for a
//! statement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::unavailable;
use crate::{
    nodes::{GENEROUS, sql},
    support::{
        SECOND,
        client::{Client, Mode, Pair},
        cluster::Database,
        eventually,
        http::Request,
        people,
        postgres::{Postgres, settle},
        program::{Server, folder, program, run, text},
        proxy::Proxy,
        server::{CHEAP, ONE_NAME, TestServer, credentials, registration},
    },
};

/// Settings of a program on this database. A refresh that nobody acknowledged can be tried again for as long as a slow
/// machine takes.
fn settings(url: &str) -> Vec<(&str, &str)> {
    [CHEAP, &[("DATABASE_URL", url), ("REFRESH_GRACE", "10m"), ONE_NAME]].concat()
}

/// A registered user's devices, one for each pair.
async fn devices(server: &Server) -> Vec<Client> {
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let mut devices = Vec::new();
    for pair in Pair::ALL {
        let mut client = Client::at_address(server.address(), pair);
        client.login(&pair.credentials("ada")).await.ok();
        devices.push(client);
    }
    devices
}

/// Asserts that everybody goes on, and ends both.
async fn assert_kept(
    people: &[people::Person],
    devices: Vec<Client>,
    server: Server,
    mut postgres: Postgres,
) {
    postgres.settle().await;
    people::assert_kept(people, server.address()).await;
    for device in devices {
        device.assert_goes_on().await;
    }
    assert!(server.terminate().await.success());
    postgres.stop().await;
}

async fn checks(server: &Server) -> Value {
    server.send(Request::get("/health/ready")).await.json()["checks"].clone()
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_postgres_that_crashes_again_and_again() {
    let mut postgres = Postgres::start(&[]).await;
    let url = postgres.url().to_owned();
    let server = Server::start(&folder(), &settings(&url)).await;

    let crashes = async {
        for round in 0..6 {
            people::assert_served_again(server.address(), &format!("calm-{round}")).await;
            sleep(Duration::from_millis(round * 23)).await;
            postgres.crash().await;
            sleep(Duration::from_millis(round * 101)).await;
            postgres.start_again().await;
        }
    };
    let (people, ()) = people::live_through(server.address(), "crash", crashes).await;
    people::assert_served_again(server.address(), "crash").await;
    postgres.settle().await;

    let (served, interrupted): (Vec<_>, Vec<_>) = people.iter().partition(|person| person.is_served);
    assert!(!served.is_empty() && !interrupted.is_empty(), "{} and {}", served.len(), interrupted.len());
    people::assert_kept(&people, server.address()).await;
    assert!(server.terminate().await.success());
    postgres.stop().await;
}

/// Other clients of Postgres, who take every connection that there is.
struct Crowd {
    is_over: watch::Sender<bool>,
    size: Arc<AtomicUsize>,
    holding: JoinHandle<()>,
}

impl Crowd {
    fn gather(url: &str) -> Self {
        let (is_over, over) = watch::channel(false);
        let size = Arc::new(AtomicUsize::new(0));
        let (url, held_now) = (url.to_owned(), size.clone());
        let holding = tokio::spawn(async move {
            let mut held = Vec::new();
            while !*over.borrow() {
                match PgConnection::connect(&url).await {
                    Ok(connection) => held.push(connection),
                    Err(_) => sleep(Duration::from_millis(2)).await,
                }
                held_now.store(held.len(), Ordering::Relaxed);
            }
            for connection in held {
                connection.close().await.expect("it leaves");
            }
        });
        Self { is_over, size, holding }
    }

    async fn leave(self) {
        self.is_over.send_replace(true);
        self.holding.await.expect("everybody has left");
    }
}

/// How many connections it takes, as its setting says.
const ROOM: usize = 40;

#[tokio::test]
async fn a_postgres_without_room_is_unavailable_until_others_leave() {
    let postgres = Postgres::start(&[("max_connections", "40")]).await;
    let settings = settings(postgres.url());
    let server = Server::start(&folder(), &settings).await;
    let devices = devices(&server).await;
    let mut admin = postgres.connect().await;

    let crowded = async {
        people::assert_served_again(server.address(), "roomy").await;
        let crowd = Crowd::gather(postgres.url());
        eventually("no room, and none of it a node's", async || {
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dualauth'",
            )
            .execute(&mut admin)
            .await
            .expect("connections that end");
            // And one is the admin's.
            crowd.size.load(Ordering::Relaxed) + 1 == ROOM
        })
        .await;
        eventually("a node that has noticed", async || checks(&server).await["feed"] == "down").await;
        assert_eq!(checks(&server).await["database"], "down");
        for device in &devices {
            unavailable(Client::clone(device).refresh().await);
            let credentials = device.pair.credentials("ada");
            unavailable(Client::at_address(server.address(), device.pair).login(&credentials).await);
            match device.pair.mode {
                Mode::Jwt => drop(device.profile().await.ok()),
                Mode::Session => {
                    eventually("a session that can't be vouched for", async || {
                        device.profile().await.status == 503
                    })
                    .await;
                }
            }
        }
        let output = run(program(&folder(), &settings), "").await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("too many clients"), "{told}");
        crowd.leave().await;
    };
    let (people, ()) = people::live_through(server.address(), "crowded", crowded).await;

    people::assert_served_again(server.address(), "crowded").await;
    assert_kept(&people, devices, server, postgres).await;
}

#[tokio::test]
async fn a_postgres_that_takes_no_writes_is_read_and_nothing_is_acknowledged_that_it_did_not_take() {
    let postgres = Postgres::start(&[]).await;
    let server = Server::start(&folder(), &settings(postgres.url())).await;
    let devices = devices(&server).await;
    let read_only = async {
        people::assert_served_again(server.address(), "writable").await;
        set_default_read_only(&postgres, true).await;
        eventually("a database that takes no writes", async || {
            checks(&server).await["database"] == "read_only"
        })
        .await;
        for device in &devices {
            // What is only read goes on, a look at the list of logins included.
            for path in [&device.path("profile"), "/profile", "/verify", &device.path("csrf")] {
                device.get(path).await.expect(200);
            }
            let listed = device.get("/account/logins").await.ok();
            assert!(listed["logins"].as_array().is_some_and(|logins| logins.len() >= 4), "{listed}");
            let changes = [
                Request::post(&device.path("register")).json(&registration("grace")),
                Request::post(&device.path("login")).json(&credentials("ada")),
                device.refresh_request(),
                device.request("POST", &device.path("logout")),
                device.request("POST", &device.path("logout-all")),
            ];
            for change in changes {
                unavailable(change.send(server.address()).await);
            }
        }
        set_default_read_only(&postgres, false).await;
    };
    let (people, ()) = people::live_through(server.address(), "read-only", read_only).await;

    people::assert_served_again(server.address(), "read-only").await;
    assert_kept(&people, devices, server, postgres).await;
}

/// For everybody who is connected, too, from their next statement on.
async fn set_default_read_only(postgres: &Postgres, is_read_only: bool) {
    let mut admin = postgres.connect().await;
    for statement in [
        "set default_transaction_read_only = off",
        if is_read_only {
            "alter system set default_transaction_read_only = on"
        } else {
            "alter system reset default_transaction_read_only"
        },
        "select pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.expect("a setting");
    }
}

/// Every new user costs half a minute.
const SLOW_REGISTRATION: &str = "
    create function dawdle() returns trigger language plpgsql as 'begin perform pg_sleep(30); return new; end';
    create trigger dawdle before insert on users for each row execute function dawdle()";

#[tokio::test]
async fn statements_of_half_a_minute_are_given_up_and_hold_up_nobody_who_needs_none() {
    let server = TestServer::with(&[GENEROUS, ("REFRESH_GRACE", "10m")]).await;
    server.user("ada").await;
    let devices = Client::in_every_way(&server, "ada").await;
    for device in &devices {
        device.profile().await.ok();
    }
    let register = async |name: String| {
        let request = Request::post("/jwt/register").json(&registration(&name));
        (name, server.send(request).await)
    };

    let slow = async {
        people::assert_served_again(server.address(), "quick").await;
        sql(&server, SLOW_REGISTRATION).await;
        let registrations = (0..24).map(|number| register(format!("slow-{number}")));
        let meanwhile = async {
            for _ in 0..50 {
                for device in &devices {
                    device.profile().await.ok();
                }
            }
            let held = "select count(*) from pg_stat_activity
                        where application_name = 'dualauth' and datname = current_database()";
            let held: i64 =
                sqlx::query_scalar(held).fetch_one(&mut server.sql().await).await.expect("a number");
            assert!(held <= i64::from(10 + dualauth::database::OWN_CONNECTIONS), "{held} connections");
        };
        let (registrations, ()) = join(join_all(registrations), meanwhile).await;
        sql(&server, "drop trigger dawdle on users").await;
        registrations
    };
    let (people, registrations) = people::live_through(server.address(), "slow", slow).await;

    people::assert_served_again(server.address(), "slow").await;
    settle(&mut server.sql().await).await;
    people::assert_kept(&people, server.address()).await;
    for (name, response) in registrations {
        unavailable(response);
        register(name).await.1.expect(201);
    }
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_waited_for_a_moment_and_no_longer() {
    let server = TestServer::with(&[GENEROUS, ("REFRESH_GRACE", "10m")]).await;
    server.user("ada").await;
    let mut holder = server.sql().await;

    let locked = async {
        people::assert_served_again(server.address(), "unlocked").await;
        sqlx::raw_sql("begin; lock table users in access exclusive mode")
            .execute(&mut holder)
            .await
            .expect("a lock");
        let logins = Pair::ALL.map(|pair| {
            let login = Request::post(&pair.mode.path("login")).json(&pair.credentials("ada"));
            server.send(login)
        });
        join_all(logins).await.into_iter().for_each(unavailable);
        sqlx::raw_sql("rollback").execute(&mut holder).await.expect("no more lock");
    };
    let (people, ()) = people::live_through(server.address(), "locked", locked).await;

    people::assert_served_again(server.address(), "locked").await;
    settle(&mut server.sql().await).await;
    people::assert_kept(&people, server.address()).await;
}

#[tokio::test]
async fn connections_that_died_while_nobody_used_them_cost_nobody_a_refusal() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    let devices = Client::in_every_way(&server, "ada").await;
    // At once: each has a connection of its own.
    join_all(devices.iter().map(async |device| Client::clone(device).refresh().await.ok())).await;

    proxy.cut().await;
    proxy.come_back();
    // One that was used a moment ago is not asked whether it lives.
    sleep(SECOND).await;
    let mut ada = Client::new(&server, devices[0].pair);
    ada.login(&ada.pair.credentials("ada")).await.ok();
}

/// So long that a statement arrives in time, and its answer does not.
const ONE_WAY: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_slow_way_to_postgres_is_given_up_and_used_again_when_it_is_short() {
    let database = Arc::new(Database::migrated().await);
    let proxy = Proxy::in_front_of(&database).await;
    let url = proxy.url().to_string();
    let server = TestServer::on(database, &[("DATABASE_URL", &url), ("REFRESH_GRACE", "10m")]).await;
    server.user("ada").await;
    let devices = Client::in_every_way(&server, "ada").await;

    let slow = async {
        people::assert_served_again(server.address(), "short").await;
        proxy.set_delay(ONE_WAY);
        for device in &devices {
            unavailable(Client::clone(device).refresh().await);
            if device.pair.mode == Mode::Jwt {
                device.profile().await.ok();
            }
        }
        proxy.set_delay(Duration::ZERO);
        // By then what is on its way has arrived, also where nobody waits for it any more.
        sleep(ONE_WAY).await;
    };
    let (people, ()) = people::live_through(server.address(), "long", slow).await;

    people::assert_served_again(server.address(), "long").await;
    settle(&mut server.sql().await).await;
    people::assert_kept(&people, server.address()).await;
    // A session that was renewed is known by an id that nobody was told.
    for device in devices.into_iter().filter(|device| device.pair.mode == Mode::Jwt) {
        device.assert_goes_on().await;
    }
}
