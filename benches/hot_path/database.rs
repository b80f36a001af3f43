//! A Postgres for the benchmark, as durable as in production, with an empty database.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dualauth::database::private::PrivatePostgres;
use sqlx::{Connection, PgConnection};
use url::Url;

use crate::cpu;

const NAME: &str = "hot_path";

/// It, and what runs it.
pub(crate) struct Database {
    pub(crate) url: Url,
    /// The parent of all processes of Postgres.
    pub(crate) postmaster: u32,
    postgres: PrivatePostgres,
}

impl Database {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let postgres = PrivatePostgres::start(&folder(), &[]).await?;
        let mut url = Url::parse(&postgres.url())?;
        let mut admin = PgConnection::connect(url.as_str()).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut admin).await?;
        let postmaster = cpu::parent_of(backend.try_into()?)?;
        // What the last run left is dropped now and not at its end, so that it can be looked at.
        sqlx::query("drop database if exists hot_path with (force)").execute(&mut admin).await?;
        sqlx::query("create database hot_path").execute(&mut admin).await?;
        admin.close().await?;
        url.set_path(NAME);
        Ok(Self { url, postmaster, postgres })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(self.url.as_str()).await.context("connecting to Postgres")
    }

    pub(crate) async fn stop(self) {
        self.postgres.stop().await;
    }
}

/// Where everything of the benchmark is kept.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(NAME)
}
