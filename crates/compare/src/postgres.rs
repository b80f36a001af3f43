//! The Postgres of a comparison: as durable as in production, nobody else's, and asked what it has done.
//!
//! Queries are not checked against the schema here: what is asked is of Postgres itself, and of systems that are not
//! this one.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Handle;
use url::Url;

use dualauth_postgres::PrivatePostgres;

use super::CompareError;
use super::proc_usage::{self, Cpu, ProcessTree};

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
    admin: PgPool,
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
        // Away from the databases that are measured, and open as long as it is wanted: to connect takes time and CPU.
        let admin = runtime.block_on(PgPoolOptions::new().max_connections(1).connect(url.as_str()))?;
        let (version, can_count) = runtime.block_on(server_info(&admin))?;
        runtime.block_on(drop_leftovers(&admin))?;
        let mut postgres = Self {
            runtime: runtime.clone(),
            running: Some(running),
            home: home.to_owned(),
            settings: plain,
            url,
            admin,
            postmaster: 0,
            version,
            counts_statements: can_count,
        };
        if can_count {
            postgres.settings.push(COUNTING);
            postgres.stop();
            postgres.restart()?;
            postgres.execute("create extension if not exists pg_stat_statements".to_owned())?;
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
    pub(super) fn restart(&mut self) -> Result<(), CompareError> {
        self.running = Some(self.runtime.block_on(PrivatePostgres::start(&self.home, &self.settings))?);
        self.find_postmaster()
    }

    fn find_postmaster(&mut self) -> Result<(), CompareError> {
        let backend: i32 =
            self.runtime.block_on(sqlx::query_scalar("select pg_backend_pid()").fetch_one(&self.admin))?;
        self.postmaster = backend.try_into().ok().and_then(proc_usage::parent_of).unwrap_or_default();
        Ok(())
    }

    /// Makes an empty database.
    pub(super) fn create_database(&self, name: &str) -> Result<Url, CompareError> {
        let name = format!("{PREFIX}{name}");
        self.execute(format!("create database {name}"))?;
        let mut url = self.url.clone();
        url.set_path(&name);
        Ok(url)
    }

    /// Drops one that nobody needs any more.
    pub(super) fn drop_database(&self, database: &Url) -> Result<(), CompareError> {
        self.execute(drop_database_sql(name_of(database)))
    }

    /// The CPU time of all of its processes.
    pub(super) fn cpu(&self, processes: &ProcessTree) -> Option<Cpu> {
        (self.postmaster != 0).then(|| processes.cpu_of_tree(self.postmaster))
    }

    /// How often each statement was executed in this database so far. That is asked from another.
    pub(super) fn statements(&self, database: &Url) -> Result<Option<Statements>, CompareError> {
        if !self.counts_statements {
            return Ok(None);
        }
        // Without the statements' texts, which it would read from a file.
        let counted = sqlx::query_as::<_, (i64, i64)>(
            "select s.queryid, sum(s.calls)::bigint from pg_stat_statements(false) s
             join pg_database d on d.oid = s.dbid where d.datname = $1 and s.queryid is not null group by s.queryid",
        );
        let counted = self.runtime.block_on(counted.bind(name_of(database)).fetch_all(&self.admin))?;
        Ok(Some(counted.into_iter().collect()))
    }

    /// What a database takes on disk, in bytes, once all is written.
    pub(super) fn size(&self, database: &Url) -> Result<i64, CompareError> {
        self.execute("checkpoint".to_owned())?;
        let size = sqlx::query_scalar("select pg_database_size($1::name)").bind(name_of(database));
        Ok(self.runtime.block_on(size.fetch_one(&self.admin))?)
    }

    fn execute(&self, statement: String) -> Result<(), CompareError> {
        self.runtime.block_on(execute(&self.admin, statement))?;
        Ok(())
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

fn name_of(database: &Url) -> &str {
    database.path().trim_start_matches('/')
}

fn drop_database_sql(name: &str) -> String {
    format!("drop database {name} with (force)")
}

async fn execute(admin: &PgPool, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(admin).await.map(drop)
}

async fn server_info(admin: &PgPool) -> Result<(String, bool), sqlx::Error> {
    sqlx::query_as(
        "select current_setting('server_version'),
                exists (select from pg_available_extensions where name = 'pg_stat_statements')",
    )
    .fetch_one(admin)
    .await
}

/// Of a run that was broken off, or whose databases somebody may have wanted to look at.
async fn drop_leftovers(admin: &PgPool) -> Result<(), sqlx::Error> {
    let left: Vec<String> = sqlx::query_scalar("select datname::text from pg_database where datname like $1")
        .bind(format!("{}%", PREFIX.replace('_', "\\_")))
        .fetch_all(admin)
        .await?;
    for name in left {
        execute(admin, drop_database_sql(&name)).await?;
    }
    Ok(())
}
