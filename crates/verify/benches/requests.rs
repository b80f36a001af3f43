//! What the verification costs a request: the server's CPU time for a route with it, to that for one without, in both frameworks.
//!
//! `cargo bench -p dualauth-verify`, on Linux. Both routes get the same requests, in turns, on one connection each.

#[path = "../src/testing.rs"]
#[allow(dead_code, clippy::expect_used, reason = "part of the tests, which use the rest")]
mod testing;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use anyhow::Context;
use axum::routing::get;
use axum::{Extension, Router};
use dualauth_verify::actix::Authenticated;
use dualauth_verify::tower::VerifyLayer;
use dualauth_verify::{Claims, Verifier};
use rustix::thread::gettid;

use testing::{CLIENT, Dualauth, HERE};

const ROUNDS: usize = 41;
const REQUESTS: usize = 1_000;

/// A server, and the thread that does its work.
struct Server {
    address: SocketAddr,
    thread: i32,
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benchmarks too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return say("requests measures with `cargo bench`; there is nothing to test");
    }
    let dualauth = Dualauth::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _guard = runtime.enter();
    let settings = Verifier::builder(HERE, HERE).url(dualauth.url()).client(CLIENT.0, CLIENT.1);
    let verifier = settings.build()?;
    runtime.block_on(verifier.ready());
    // Valid for as long as anybody measures.
    let claims = testing::with(testing::claims(0), "exp", 32_472_144_000_i64);
    let token = dualauth.key.token(&claims);
    runtime.block_on(verifier.verify(&token))?;
    measure("axum", &axum_server(verifier.clone())?, &token)?;
    measure("actix-web", &actix_server(verifier)?, &token)
}

fn axum_server(verifier: Verifier) -> anyhow::Result<Server> {
    let me = |Extension(claims): Extension<Arc<Claims>>| async move { claims.username.clone() };
    let protected = Router::new().route("/me", get(me)).route_layer(VerifyLayer::new(verifier));
    let app = protected.route("/bare", get(|| async { "ada".to_owned() }));
    serve(move |listener, started| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            started.send(gettid().as_raw_nonzero().get())?;
            Ok(axum::serve(listener, app).await?)
        })
    })
}

fn actix_server(verifier: Verifier) -> anyhow::Result<Server> {
    let verifier = Data::new(verifier);
    serve(move |listener, started| {
        let app = move || {
            // The worker's thread makes its app.
            let _ = started.send(gettid().as_raw_nonzero().get());
            let me = |user: Authenticated| async move { user.username.clone() };
            let bare = || async { "ada".to_owned() };
            let app = App::new().app_data(verifier.clone());
            app.route("/me", web::get().to(me)).route("/bare", web::get().to(bare))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?;
        Ok(actix_web::rt::System::new().block_on(server.run())?)
    })
}

/// Runs a server in a thread until the program ends. It says in which thread it works.
fn serve(
    run: impl FnOnce(TcpListener, Sender<i32>) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (started, thread) = channel();
    thread::spawn(move || run(listener, started));
    Ok(Server { address, thread: thread.recv().context("the server did not start")? })
}

fn measure(name: &str, server: &Server, token: &str) -> anyhow::Result<()> {
    let mut routes = [Client::new(server, "/bare", token)?, Client::new(server, "/me", token)?];
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        for (route, times) in routes.iter_mut().zip(&mut times) {
            times.push(route.round()?);
        }
        if let [Some(bare), Some(verified)] = times.each_ref().map(|times| times.last()) {
            ratios.push(verified / bare);
        }
    }
    let [bare, verified] = times.map(median);
    say(&format!(
        "{name}: {bare:.2} µs of CPU for a request, {verified:.2} µs with the verification: {:.3} times",
        median(ratios)
    ))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One connection, which sends the same request again and again.
struct Client {
    stream: TcpStream,
    request: String,
    answer: Vec<u8>,
    thread: i32,
}

impl Client {
    fn new(server: &Server, path: &str, token: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer)?;
        answer.truncate(length);
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"ada"), "no good answer");
        Ok(Self { stream, request, answer, thread: server.thread })
    }

    /// The CPU time of a request, in microseconds.
    fn round(&mut self) -> anyhow::Result<f64> {
        let before = cpu_ns(self.thread)?;
        for _ in 0..REQUESTS {
            self.stream.write_all(self.request.as_bytes())?;
            // Answers are equally long.
            self.stream.read_exact(&mut self.answer)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a second")]
        Ok((cpu_ns(self.thread)? - before) as f64 / 1e3 / REQUESTS as f64)
    }
}

/// The CPU time that a thread of this program has used, in nanoseconds.
fn cpu_ns(thread: i32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
    Ok(text.split(' ').next().context("no CPU time")?.parse()?)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
