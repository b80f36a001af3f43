//! The benchmark's Postgres: private, as durable as in production, with counts of its CPU time and statements.
//!
//! Queries are not checked against the schema at compile time: they read Postgres' own catalogues.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Handle;
use url::Url;

use dualauth_postgres::PrivatePostgres;

use super::CompareError;
use super::proc_usage::{self, Cpu, ProcessSnapshot};

/// Server settings. The default of 100 connections is too low: each node may open 15.
const SETTINGS: [(&str, &str); 1] = [("max_connections", "300")];

/// Preloads the extension that counts statements. Not every package of Postgres contains it.
const COUNTING: (&str, &str) = ("shared_preload_libraries", "pg_stat_statements");

/// Prefix of the names of all databases of a comparison.
const PREFIX: &str = "compare_";

/// The benchmark's Postgres. Its methods block, so they must not be called from an async task.
pub(super) struct Postgres {
    runtime: Handle,
    /// `None` while it is stopped.
    running: Option<PrivatePostgres>,
    home: std::path::PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    url: Url,
    admin: PgPool,
    postmaster: u32,
    pub(super) version: String,
    pub(super) counts_statements: bool,
}

/// Executions of each statement, by its `queryid`.
pub(super) type Statements = BTreeMap<i64, i64>;

impl Postgres {
    /// Starts it, with its cluster below this folder.
    pub(super) fn start(home: &Path, runtime: &Handle) -> Result<Self, CompareError> {
        let plain = SETTINGS.to_vec();
        let running = runtime.block_on(PrivatePostgres::start(home, &plain))?;
        let url = url_of(&running)?;
        // In a database that is not measured, and kept open: connecting takes time and CPU.
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

    /// Stops it by a fast shutdown, as an operator would.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }

    /// Starts it again with the same address and data.
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

    /// Creates an empty database and returns its URL.
    pub(super) fn create_database(&self, name: &str) -> Result<Url, CompareError> {
        let name = format!("{PREFIX}{name}");
        self.execute(format!("create database {name}"))?;
        let mut url = self.url.clone();
        url.set_path(&name);
        Ok(url)
    }

    /// Drops a database, closing its connections.
    pub(super) fn drop_database(&self, database: &Url) -> Result<(), CompareError> {
        self.execute(drop_database_sql(name_of(database)))
    }

    /// CPU time of all its processes. `None`: unknown.
    pub(super) fn cpu(&self, processes: &ProcessSnapshot) -> Option<Cpu> {
        (self.postmaster != 0).then(|| processes.cpu_of_tree(self.postmaster))
    }

    /// Executions of each statement in this database so far, queried from another database. `None`: they are not counted.
    pub(super) fn statements(&self, database: &Url) -> Result<Option<Statements>, CompareError> {
        if !self.counts_statements {
            return Ok(None);
        }
        // `false`: without the statements' texts, which Postgres would read from a file.
        let counted = sqlx::query_as::<_, (i64, i64)>(
            "select s.queryid, sum(s.calls)::bigint from pg_stat_statements(false) s
             join pg_database d on d.oid = s.dbid where d.datname = $1 and s.queryid is not null group by s.queryid",
        );
        let counted = self.runtime.block_on(counted.bind(name_of(database)).fetch_all(&self.admin))?;
        Ok(Some(counted.into_iter().collect()))
    }

    /// Size of a database on disk, in bytes, after a checkpoint.
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

/// Drops the databases of the previous run, which are kept after it for inspection.
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
