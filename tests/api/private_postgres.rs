//! The private Postgres, in surroundings that are not made for it.

use crate::support::{
    http::Request,
    program::{Server, folder, started_by},
    server::registration,
};

/// As root it is another account that runs Postgres, and may enter what we make.
#[tokio::test]
async fn it_minds_neither_a_strict_umask_nor_what_is_meant_for_another_postgres() {
    let folder = folder();
    let shell = ["sh", "-c", r#"umask 077; exec "$0""#];
    let others = [
        ("PGOPTIONS", "-c default_transaction_read_only=on -c no_such_setting=1"),
        ("PGDATA", "/nowhere"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("PGAPPNAME", "another"),
        ("PGPASSFILE", "/nowhere"),
        ("PGCONNECT_TIMEOUT", "0"),
    ];
    for _ in 0..2 {
        let server = Server::of(started_by(&shell, &folder, &others)).await;
        let register = Request::post("/session/register").json(&registration("ada"));
        let status = server.send(register).await.status;
        assert!([201, 409].contains(&status), "{status}");
        assert!(server.terminate().await.success());
    }
    // For root it may be elsewhere.
    if let Ok(elsewhere) = std::fs::read_link(folder.join(".data/postgres")) {
        let home = elsewhere.parent().expect("a folder");
        std::fs::remove_dir_all(home).expect("nobody holds it any more");
    }
    std::fs::remove_dir_all(&folder).expect("nobody holds it any more");
}
