//! The drill: keys rotate and the algorithm changes under load, on two nodes that are processes, and every token
//! that was given out is asked about everywhere. None is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, RwLock, watch};

use super::{algorithm, kid};
use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder, program, run, text},
    server::{CHEAP, ONE_NAME, registration},
};

/// How many clients there are at a time.
const CLIENTS: usize = 4;

/// How many of its tokens a client goes on asking about.
const REMEMBERED: usize = 12;

/// Tokens by each key, and what went wrong.
#[derive(Default)]
struct Tally {
    tokens: BTreeMap<String, usize>,
    algorithms: BTreeSet<String>,
    asked: usize,
    refused: Vec<String>,
}

struct Stage {
    folder: PathBuf,
    database: Arc<Database>,
    /// Held for writing while a node takes another's place, so that no request is under way to one that is gone.
    nodes: RwLock<[SocketAddr; 2]>,
    tally: Mutex<Tally>,
}

impl Stage {
    async fn node(&self, algorithm: &str) -> Server {
        let url = self.database.url().to_string();
        let own = [ONE_NAME, ("DATABASE_URL", url.as_str()), ("JWT_ALGORITHM", algorithm)];
        Server::start(&self.folder, &[CHEAP, &own].concat()).await
    }

    async fn rotate(&self) {
        let url = self.database.url().to_string();
        let own = [("DATABASE_URL", url.as_str())];
        let mut command = program(&self.folder, &[CHEAP, &own].concat());
        command.args(["keys", "rotate"]);
        let output = run(command, "").await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Signs in at one node, then at the other, renews, and asks both about all that it got.
    async fn load(&self, stop: watch::Receiver<bool>, number: usize) {
        let mut tokens: VecDeque<Client> = VecDeque::new();
        for round in number.. {
            if *stop.borrow() {
                return;
            }
            let nodes = self.nodes.read().await;
            let mut client = Client::at_address(nodes[round % 2], Pair::JWT_BEARER);
            client.login(&Pair::JWT_BEARER.credentials("ada")).await.ok();
            let mut renewed = client.at_node(nodes[(round + 1) % 2]);
            renewed.refresh().await.ok();
            for new in [client, renewed] {
                let mut tally = self.tally.lock().await;
                *tally.tokens.entry(kid(&new)).or_default() += 1;
                tally.algorithms.insert(algorithm(&new));
                tokens.push_back(new);
            }
            while tokens.len() > REMEMBERED {
                tokens.pop_front();
            }
            for client in &tokens {
                for node in *nodes {
                    let response = client.at_node(node).profile().await;
                    let mut tally = self.tally.lock().await;
                    tally.asked += 1;
                    if response.status != 200 {
                        tally.refused.push(format!("{} by {}: {response}", algorithm(client), kid(client)));
                    }
                }
            }
        }
    }

    /// Until this many more tokens were asked about.
    async fn after(&self, more: usize) {
        let begun = self.tally.lock().await.asked;
        eventually("load", async || self.tally.lock().await.asked >= begun + more).await;
    }
}

fn remove(folder: &Path) {
    // A test that fails has more to say than that something is left over.
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn keys_rotate_and_the_algorithm_changes_under_load_and_no_token_is_refused() {
    let (folder, database) = (folder(), Arc::new(Database::migrated().await));
    let mut stage =
        Stage { folder, database, nodes: RwLock::new([([0; 4], 0).into(); 2]), tally: Mutex::default() };
    let mut servers = [stage.node("HS256").await, stage.node("HS256").await];
    stage.nodes = RwLock::new(servers.each_ref().map(Server::address));
    servers[0].send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
    let stage = Arc::new(stage);
    let (stop, stopped) = watch::channel(false);
    let clients = (0..CLIENTS).map(|number| {
        let (stage, stopped) = (stage.clone(), stopped.clone());
        tokio::spawn(async move { stage.load(stopped, number).await })
    });
    let clients: Vec<_> = clients.collect();

    for _ in 0..3 {
        stage.after(200).await;
        stage.rotate().await;
    }
    stage.after(200).await;
    for place in 0..2 {
        let new = stage.node("EdDSA").await;
        let mut nodes = stage.nodes.write().await;
        nodes[place] = new.address();
        drop(nodes);
        std::mem::replace(&mut servers[place], new).terminate().await;
        stage.after(300).await;
    }
    for _ in 0..2 {
        stage.rotate().await;
        stage.after(200).await;
    }
    stop.send_replace(true);
    for client in clients {
        client.await.expect("a client that came to its end");
    }

    let tally = stage.tally.lock().await;
    assert_eq!(tally.refused, Vec::<String>::new(), "of {}", tally.asked);
    assert_eq!(tally.algorithms, BTreeSet::from(["EdDSA".to_owned(), "HS256".to_owned()]));
    // One at first, three rotations, one for the change, two more rotations.
    assert_eq!(tally.tokens.len(), 7, "{:?}", tally.tokens);
    drop(tally);
    for server in servers {
        server.terminate().await;
    }
    remove(&stage.folder);
}
