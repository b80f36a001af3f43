//! Limit of the load generator: its throughput against a server that does no work.

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

/// A response head like that of `GET /profile`: the same headers, and a body of the same length.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 224\r\nContent-Type: application/json\r\n\
    Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

/// The owner that responses contain.
const USERNAME: &str = "nobody";

/// Number of tries. The best one counts: other work on the machine can only lower the throughput.
const TRIES: usize = 10;

/// Measures throughput, and CPU time of the generator per request.
pub(super) fn measure(cores: &Cores, plan: &Plan) -> Result<GeneratorLimit, CompareError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(CompareError::Port)?;
    let url = format!("http://{}", listener.local_addr().map_err(CompareError::Port)?);
    let origin = Origin::of_url(&Url::parse(&url).map_err(|_| CompareError::Url(url))?)?;
    let request = format!("GET /profile HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let call = PreparedRequest { request, status: 200, owner: USERNAME.to_owned() };
    let connections = plan.connections;
    // A new thread inherits the core of its creator.
    cores.on_server_core(0, || thread::spawn(move || serve(&listener, TRIES * connections)));
    let load = Load { connections, pace: Pace::ClosedLoop, warm_up: plan.warm_up, duration: plan.slice };
    let request_targets = [RequestTarget { origin, call }];
    let tries = (0..TRIES).map(|_| Ok(load::run(load, &request_targets, || ())?.0));
    let tries = tries.collect::<Result<Vec<_>, CompareError>>()?;
    let best = tries.iter().max_by(|one, other| one.per_second().total_cmp(&other.per_second()));
    let best = best.ok_or(CompareError::Internal("no slice of the load generator"))?;
    let requests = best.requests.max(1) as f64;
    Ok(GeneratorLimit {
        requests_per_second: Some(best.per_second()),
        cpu_us: Some(best.generator_cpu.as_secs_f64() * 1e6 / requests),
        bottleneck_for: Vec::new(),
    })
}

/// Serves this number of connections, each until it is closed.
fn serve(listener: &TcpListener, connections: usize) {
    for stream in listener.incoming().take(connections).flatten() {
        // An error only means that the client has closed the connection.
        thread::spawn(move || answer(stream));
    }
}

/// Takes each read for one request: the only client is our load generator, whose requests are short and not pipelined.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!("{HEAD}{USERNAME:224}");
    let mut request = [0; 4_096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
