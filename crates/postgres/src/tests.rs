//! Tests with a real Postgres, each under its own home.

use std::fs;
use std::path::PathBuf;

use super::readiness_probe::{self, Readiness};
use super::socket_settings_and_url;
use super::{PrivatePostgres, wait_until_unlocked};

const FAST: &[(&str, &str)] = &[("fsync", "off")];

struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Home {
        let home = std::env::temp_dir().join(format!("dualauth private {name} {}", std::process::id()));
        fs::create_dir(&home).unwrap();
        Home(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn answers(postgres: &PrivatePostgres) -> bool {
    readiness_probe::probe(postgres.socket_directory()).await == Readiness::Ready
}

#[tokio::test]
async fn the_last_program_that_uses_it_stops_it() {
    let home = Home::new("shared");
    let (one, two) =
        tokio::join!(PrivatePostgres::start(&home.0, FAST), PrivatePostgres::start(&home.0, FAST));
    let (one, two) = (one.unwrap(), two.unwrap());
    let socket_directory = two.socket_directory().to_owned();
    one.stop().await;
    assert!(answers(&two).await);
    two.stop().await;
    assert_eq!(readiness_probe::probe(&socket_directory).await, Readiness::NotReady);
}

/// Dropping closes the same file descriptors as the kernel does for a killed program.
#[tokio::test]
async fn it_ends_with_a_program_that_did_not_stop_it() {
    let home = Home::new("dropped");
    let postgres = PrivatePostgres::start(&home.0, FAST).await.unwrap();
    let data_directory = super::DataDirectory::locate(&home.0.canonicalize().unwrap()).await.unwrap();
    drop(postgres);
    drop(wait_until_unlocked(&data_directory).await.unwrap());
    PrivatePostgres::start(&home.0, FAST).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_lock_left_by_a_crash_does_not_prevent_the_next_start() {
    let home = Home::new("stale");
    PrivatePostgres::start(&home.0, FAST).await.unwrap().stop().await;
    let data_directory = super::DataDirectory::locate(&home.0.canonicalize().unwrap()).await.unwrap();
    // A running process that is no Postgres, of the account that runs Postgres.
    let mut bystander = data_directory
        .account
        .command("/bin/sh")
        .args(["-c", "sleep 60"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lock = data_directory.path.join("postmaster.pid");
    fs::write(&lock, format!("{}\n{}\n", bystander.id().unwrap(), data_directory.path.display())).unwrap();
    data_directory.account.chown(&lock).unwrap();
    PrivatePostgres::start(&home.0, FAST).await.unwrap().stop().await;
    assert!(bystander.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn it_says_why_it_does_not_start() {
    let home = Home::new("broken");
    let error =
        PrivatePostgres::start(&home.0, &[("fsync", "off"), ("no_such_setting", "1")]).await.err().unwrap();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_socket_directory_of_somebody_else_is_refused() {
    let home = Home::new(&"long".repeat(40));
    let data_directory = super::DataDirectory::locate(&home.0.canonicalize().unwrap()).await.unwrap();
    let directory = socket_settings_and_url::directory(&data_directory);
    fs::create_dir(&directory).unwrap();
    let refused = socket_settings_and_url::make_directory(&directory, &data_directory);
    fs::remove_dir(&directory).unwrap();
    assert!(refused.is_err());
    socket_settings_and_url::make_directory(&directory, &data_directory).unwrap();
    fs::remove_dir(&directory).unwrap();
}
