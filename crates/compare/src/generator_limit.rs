//! What the load generator itself can do: asked of a server that does nothing but answer.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use url::Url;

use super::cores::Cores;
use super::http::Origin;
use super::load::{self, Load, Pace, RequestTarget};
use super::report::GeneratorLimit;
use super::test_user::PreparedRequest;
use super::{CompareError, Plan};

/// As long as a profile, with as many headers.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 224\r\nContent-Type: application/json\r\n\
    Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

/// Whose profile it is.
const USERNAME: &str = "nobody";

/// How often it is asked. The best counts: others who use the machine only take something away.
const TRIES: usize = 10;

/// Finds the limit.
pub(super) fn measure(cores: &Cores, plan: &Plan) -> Result<GeneratorLimit, CompareError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(CompareError::Port)?;
    let url = format!("http://{}", listener.local_addr().map_err(CompareError::Port)?);
    let origin = Origin::of_url(&Url::parse(&url).map_err(|_| CompareError::Url(url))?)?;
    let request = format!("GET /profile HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let call = PreparedRequest { request, status: 200, owner: USERNAME.to_owned() };
    let connections = plan.connections;
    // What a thread starts stays on its core.
    cores.on_server_core(0, || thread::spawn(move || serve(&listener, TRIES * connections)));
    let load = Load { connections, pace: Pace::ClosedLoop, warm_up: plan.warm_up, duration: plan.slice };
    let request_targets = [RequestTarget { origin, call }];
    let tries = (0..TRIES).map(|_| Ok(load::run(load, &request_targets, || ())?.0));
    let tries = tries.collect::<Result<Vec<_>, CompareError>>()?;
    let best = tries.iter().max_by(|one, other| one.per_second().total_cmp(&other.per_second()));
    let best = best.ok_or(CompareError::Generator)?;
    let requests = best.requests.max(1) as f64;
    Ok(GeneratorLimit {
        requests_per_second: Some(best.per_second()),
        cpu_us: Some(best.generator_cpu.as_secs_f64() * 1e6 / requests),
        bottleneck_for: Vec::new(),
    })
}

/// So many connections, each until it is closed.
fn serve(listener: &TcpListener, connections: usize) {
    for stream in listener.incoming().take(connections).flatten() {
        // However it ends, there is nobody left to be told.
        thread::spawn(move || answer(stream));
    }
}

/// Requests come whole, one at a time: it is known who sends them.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!("{HEAD}{USERNAME:224}");
    let mut request = [0; 4_096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
