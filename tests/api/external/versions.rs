//! Each version of Postgres: the service starts on it, and what it relies on is there.

use std::path::Path;

use sqlx::{Connection, PgConnection};

use crate::{
    histories::{accepted, devices, ready, refused, register, sign_all_out_by},
    support::{
        eventually,
        program::{Server, folder},
        server::{CHEAP, ONE_NAME},
    },
};

/// The program's own Postgres is the first on the path.
async fn server(folder: &Path, version: u32) -> Server {
    let place = format!(
        "{}/target/postgres-versions/node_modules/postgres-{version}/native/bin",
        env!("CARGO_MANIFEST_DIR")
    );
    assert!(Path::new(&place).join("postgres").is_file(), "no {place}: scripts/postgres-versions gets it");
    let path = format!("{place}:{}", std::env::var("PATH").expect("a path"));
    Server::start(folder, &[CHEAP, &[ONE_NAME, ("PATH", path.as_str())]].concat()).await
}

/// Its Postgres, as it tells a person at its start.
async fn postgres(server: &Server) -> PgConnection {
    let output = server.output();
    let url = output.lines().find_map(|line| line.trim().strip_prefix("Postgres")).expect("a URL");
    PgConnection::connect(url.trim()).await.expect("its Postgres answers")
}

async fn assert_runs_on(version: u32) {
    let folder = folder();
    let mut nodes = vec![server(&folder, version).await, server(&folder, version).await];
    let mut sql = postgres(&nodes[0]).await;
    let number: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int / 10000")
        .fetch_one(&mut sql)
        .await
        .expect("a version");
    assert_eq!(u32::try_from(number).expect("a number"), version);

    // The feed, both ways.
    register(&nodes[0], "ada").await;
    let leaving = devices(&nodes, "ada").await;
    let staying = devices(&nodes, "ada").await;
    let acknowledged = sign_all_out_by(&nodes, &leaving).await;
    refused(&nodes, &leaving, &acknowledged).await;
    accepted(&nodes, &staying).await;
    for client in &staying {
        client.at_node(nodes[1].address()).assert_goes_on().await;
    }

    // The sweep, which a node begins with.
    let long_over =
        "update dualauth.logins set ended_at = now() - interval '2 days', sweep_at = now() - interval '1 day'
                     where ended_at is not null";
    sqlx::raw_sql(long_over).execute(&mut sql).await.expect("logins that are long over");
    nodes.push(server(&folder, version).await);
    eventually("what is long over is gone", async || {
        let left =
            sqlx::query_scalar::<_, i64>("select count(*) from dualauth.logins where ended_at is not null");
        left.fetch_one(&mut sql).await.expect("a number") == 0
    })
    .await;
    ready(&nodes[2]).await;
    sql.close().await.expect("a connection that can be closed");
    for node in nodes {
        assert!(node.terminate().await.success());
    }
    std::fs::remove_dir_all(&folder).expect("nobody holds it any more");
}

macro_rules! versions {
    ($($name:ident: $version:literal,)*) => {
        $(#[tokio::test]
        async fn $name() {
            assert_runs_on($version).await;
        })*
    };
}

versions! {
    it_runs_on_postgres_13: 13,
    it_runs_on_postgres_14: 14,
    it_runs_on_postgres_15: 15,
    it_runs_on_postgres_16: 16,
    it_runs_on_postgres_17: 17,
    it_runs_on_postgres_18: 18,
}
