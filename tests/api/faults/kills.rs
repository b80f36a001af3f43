//! The program is killed, between any two steps, and started again.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use crate::support::{
    cluster::Database,
    people,
    postgres::leave,
    program::{Server, folder},
    proxy::Proxy,
    random::Random,
    server::{CHEAP, ONE_NAME},
};

/// Runs a program, kills it at some moment while people use it, and runs the next one, which has to know what they were
/// told by the one before.
async fn kill_and_start_again(
    folder: &Path,
    settings: &[(&str, &str)],
    rounds: usize,
    database: Option<&Database>,
) {
    let settings = [CHEAP, &[ONE_NAME, ("REFRESH_GRACE", "10m")], settings].concat();
    let mut random = Random::new(20_261_121, rounds as u64);
    let mut interrupted = 0;
    let mut server = Server::start(folder, &settings).await;
    for round in 0..rounds {
        let address = server.address();
        let killing = async {
            people::assert_served_again(address, &format!("calm-{round}")).await;
            sleep(random.millis(0..80)).await;
            server.child.kill().await.expect("it dies");
        };
        let (people, ()) = people::live_through(address, &format!("killed-{round}"), killing).await;
        interrupted += people.iter().filter(|person| !person.is_served).count();
        if let Some(database) = database {
            leave(&mut database.connect().await).await;
        }
        server = Server::start(folder, &settings).await;
        people::assert_kept(&people, server.address()).await;
    }
    assert!(interrupted > 0, "nobody was disturbed");
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kills_at_any_moment() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    // So that there is a moment between any two steps.
    proxy.set_delay(Duration::from_millis(2));
    let url = proxy.url().to_string();
    kill_and_start_again(&folder(), &[("DATABASE_URL", &url)], 12, Some(&database)).await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kills_of_a_program_with_a_postgres_of_its_own() {
    let folder = folder();
    kill_and_start_again(&folder, &[], 3, None).await;
    std::fs::remove_dir_all(&folder).expect("nobody holds it any more");
}
