//! The Postgres of a comparison: as durable as in production, nobody else's, and asked what it has done.
//!
//! Queries are not checked against the schema here: what is asked is of Postgres itself, and of systems that are not
//! this one.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::{Connection, PgConnection};
use tokio::runtime::Handle;
use url::Url;

use crate::database::private::PrivatePostgres;

use super::machine::Cpu;
use super::{CompareError, machine};

/// Postgres' own settings. Each node may have 15 connections.
const SETTINGS: [(&str, &str); 1] = [("max_connections", "300")];

/// Counts statements; comes with most packages of Postgres, but not with all.
const COUNTING: (&str, &str) = ("shared_preload_libraries", "pg_stat_statements");

/// What every database of a comparison is called in the beginning.
const PREFIX: &str = "compare_";

/// It, and what is known of it. It is spoken to from a thread that may block.
pub(super) struct Postgres {
    runtime: Handle,
    /// `None`: it is stopped.
    running: Option<PrivatePostgres>,
    home: std::path::PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    url: Url,
    postmaster: u32,
    pub(super) version: String,
    pub(super) counts_statements: bool,
}

/// How often each statement was executed, by its number.
pub(super) type Statements = BTreeMap<i64, i64>;

impl Postgres {
    /// Starts it, below this folder.
    pub(super) fn start(home: &Path, runtime: &Handle) -> Result<Self, CompareError> {
        let plain = SETTINGS.to_vec();
        let running = runtime.block_on(PrivatePostgres::start(home, &plain))?;
        let url = url_of(&running)?;
        let mut admin = runtime.block_on(PgConnection::connect(url.as_str()))?;
        let (version, can_count) = runtime.block_on(about(&mut admin))?;
        runtime.block_on(drop_leftovers(&mut admin))?;
        runtime.block_on(admin.close())?;
        let mut postgres = Self {
            runtime: runtime.clone(),
            running: Some(running),
            home: home.to_owned(),
            settings: plain,
            url,
            postmaster: 0,
            version,
            counts_statements: can_count,
        };
        if can_count {
            postgres.settings.push(COUNTING);
            postgres.stop();
            postgres.go_on()?;
        }
        postgres.find_postmaster()?;
        Ok(postgres)
    }

    /// Stops it, as an operator would.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }

    /// Starts it again, at the same address.
    pub(super) fn go_on(&mut self) -> Result<(), CompareError> {
        self.running = Some(self.runtime.block_on(PrivatePostgres::start(&self.home, &self.settings))?);
        self.find_postmaster()
    }

    fn find_postmaster(&mut self) -> Result<(), CompareError> {
        let backend = self.ask(&self.url, async |connection| {
            sqlx::query_scalar::<_, i32>("select pg_backend_pid()")
                .fetch_one(&mut *connection)
                .await
                .map(|pid| pid.try_into().ok().and_then(machine::parent_of))
        });
        self.postmaster = backend?.unwrap_or_default();
        Ok(())
    }

    /// Makes an empty database.
    pub(super) fn create_database(&self, name: &str) -> Result<Url, CompareError> {
        let name = format!("{PREFIX}{name}");
        let create = format!("create database {name}");
        self.ask(&self.url, async |connection| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut *connection).await.map(drop)
        })?;
        let mut url = self.url.clone();
        url.set_path(&name);
        if self.counts_statements {
            self.ask(&url, async |connection| {
                sqlx::raw_sql("create extension pg_stat_statements").execute(&mut *connection).await.map(drop)
            })?;
        }
        Ok(url)
    }

    /// Drops one that nobody needs any more.
    pub(super) fn drop_database(&self, database: &Url) -> Result<(), CompareError> {
        let drop = format!("drop database {} with (force)", database.path().trim_start_matches('/'));
        self.ask(&self.url, async |connection| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut *connection).await.map(std::mem::drop)
        })
    }

    /// The CPU time of all of its processes.
    pub(super) fn cpu(&self) -> Option<Cpu> {
        (self.postmaster != 0).then(|| machine::cpu_of_tree(self.postmaster)).flatten()
    }

    /// How often each statement was executed in this database so far, but for those that ask that.
    pub(super) fn statements(&self, database: &Url) -> Result<Option<Statements>, CompareError> {
        if !self.counts_statements {
            return Ok(None);
        }
        let counted = self.ask(database, async |connection| {
            sqlx::query_as::<_, (i64, i64)>(
                "select queryid, sum(calls)::bigint from pg_stat_statements
                 where dbid = (select oid from pg_database where datname = current_database())
                   and queryid is not null and query not like '%pg_stat_statements%'
                 group by queryid",
            )
            .fetch_all(&mut *connection)
            .await
        });
        Ok(Some(counted?.into_iter().collect()))
    }

    /// What a database takes on disk, in bytes, once all is written.
    pub(super) fn size(&self, database: &Url) -> Result<i64, CompareError> {
        self.ask(database, async |connection| {
            sqlx::raw_sql("checkpoint").execute(&mut *connection).await?;
            sqlx::query_scalar("select pg_database_size(current_database())")
                .fetch_one(&mut *connection)
                .await
        })
    }

    fn ask<T>(
        &self,
        database: &Url,
        question: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, CompareError> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(database.as_str()).await?;
            let answer = question(&mut connection).await?;
            connection.close().await?;
            Ok(answer)
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn url_of(postgres: &PrivatePostgres) -> Result<Url, CompareError> {
    Url::parse(&postgres.url()).map_err(|_| CompareError::Url(postgres.url()))
}

async fn about(admin: &mut PgConnection) -> Result<(String, bool), sqlx::Error> {
    sqlx::query_as(
        "select current_setting('server_version'),
                exists (select from pg_available_extensions where name = 'pg_stat_statements')",
    )
    .fetch_one(admin)
    .await
}

/// Of a run that was broken off, or whose databases somebody may have wanted to look at.
async fn drop_leftovers(admin: &mut PgConnection) -> Result<(), sqlx::Error> {
    let left: Vec<String> = sqlx::query_scalar("select datname::text from pg_database where datname like $1")
        .bind(format!("{}%", PREFIX.replace('_', "\\_")))
        .fetch_all(&mut *admin)
        .await?;
    for name in left {
        let drop = format!("drop database {name} with (force)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut *admin).await?;
    }
    Ok(())
}
