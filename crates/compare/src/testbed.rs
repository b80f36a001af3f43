//! Starts what a comparison needs: Postgres, the nodes of dualauth, other systems, and the bare handler.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::runtime::Handle;
use url::Url;
use uuid::Uuid;

use super::child_process::{Launch, Process, free_port};
use super::cores::Cores;
use super::http::{Connection, Origin};
use super::other_service::{self, ClientCredentials};
use super::postgres::Postgres;
use super::proc_usage::{Cpu, ProcessSnapshot};
use super::target::Target;
use super::test_user::fill_in;
use super::{CompareError, Options};

/// The host of the nodes' `PUBLIC_URL`, which is https as in production: cookies then have their name prefix.
const PUBLIC_HOST: &str = "auth.example.com";

/// The folder of the servers' logs, below that of the run. It is their working directory, too.
const LOGS: &str = "logs";

/// Time limit for a server to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two readiness checks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running server.
pub(super) struct Server {
    pub(super) origin: Origin,
    /// `None`: it was not started here.
    process: Option<Process>,
}

impl Server {
    /// A server that runs already.
    pub(super) fn remote(url: &Url) -> Result<Self, CompareError> {
        Ok(Self { origin: Origin::of_url(url)?, process: None })
    }

    /// The CPU time of its processes. `None`: it was not started here.
    pub(super) fn cpu(&self, processes: &ProcessSnapshot) -> Option<Cpu> {
        Some(processes.cpu_of_tree(self.process.as_ref()?.pid()))
    }

    /// Memory of its processes, in bytes. `None`: it was not started here, or the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        Some(ProcessSnapshot::snapshot()?.memory_of_tree(self.process.as_ref()?.pid()))
    }
}

/// Postgres, the assignment of cores, and what is needed to start servers.
pub(super) struct Testbed {
    pub(super) postgres: Postgres,
    pub(super) cores: Cores,
    program: String,
    folder: PathBuf,
    app_secret: String,
    /// The folder's lock, held until the run ends.
    _lock: File,
}

impl Testbed {
    /// Locks the folder and starts Postgres.
    pub(super) fn start(options: &Options, runtime: &Handle) -> Result<Self, CompareError> {
        let folder = &options.folder;
        let lock = lock(folder)?;
        let cores = Cores::split();
        // Before anything is started: Postgres inherits the cores of the load.
        cores.pin_load();
        let logs = folder.join(LOGS);
        // Logs of the previous run would be taken for this one's.
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).map_err(|error| CompareError::Folder(logs, error))?;
        let postgres = Postgres::start(folder, runtime)?;
        let app_secret = STANDARD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
        let program = options.program.to_string_lossy().into_owned();
        Ok(Self { postgres, cores, program, folder: folder.to_owned(), app_secret, _lock: lock })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(LOGS).join(format!("{name}.log"))
    }

    /// Logs have a line per request, take much disk space, and are not needed after a successful run.
    pub(super) fn remove_logs(&self) {
        let _ = std::fs::remove_dir_all(self.folder.join(LOGS));
    }

    /// Starts the bare handler. `spin` is CPU time added to each request.
    pub(super) fn start_bare(&self, spin: Duration) -> Result<Server, CompareError> {
        let port = free_port().map_err(CompareError::Port)?;
        let (listen, spin) = (format!("127.0.0.1:{port}"), spin.as_micros().to_string());
        let command = [&self.program, "compare", "--bare", &listen, "--spin", &spin];
        let launch = Launch { command: command.map(str::to_owned).to_vec(), ..Launch::default() };
        self.start_server("bare", &launch, 0, &local(port), "/profile")
    }

    /// Starts a node of dualauth on this database, with default settings except for these.
    pub(super) fn start_node(
        &self,
        name: &str,
        core: usize,
        database: &Url,
        settings: &[(&str, &str)],
    ) -> Result<Server, CompareError> {
        let port = free_port().map_err(CompareError::Port)?;
        let (listen, public) = (format!("127.0.0.1:{port}"), format!("https://{PUBLIC_HOST}"));
        let usual = [
            ("DATABASE_URL", database.as_str()),
            ("LISTEN", &listen),
            ("PUBLIC_URL", &public),
            ("APP_SECRET", &self.app_secret),
            // All requests come from one address here, and rate limits are not what is measured.
            ("LOGIN_LIMIT", UNLIMITED),
            ("REGISTER_LIMIT", UNLIMITED),
            ("REFRESH_LIMIT", UNLIMITED),
        ];
        let environment = usual.iter().chain(settings);
        let environment =
            environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let command = vec![self.program.clone(), "serve".to_owned()];
        // The folder has no `.env` that could change settings.
        let launch = Launch { command, environment, folder: Some(self.folder.join(LOGS)) };
        let server = self.start_server(name, &launch, core, &local(port), "/health/ready")?;
        Ok(Server { origin: server.origin.with_host(PUBLIC_HOST), ..server })
    }

    /// Registers a client of dualauth in this database.
    pub(super) fn register_client(&self, database: &Url) -> Result<ClientCredentials, CompareError> {
        let environment = [("DATABASE_URL", database.as_str()), ("APP_SECRET", &self.app_secret)];
        let launch = Launch {
            command: [&self.program, "client", "create", "compare"].map(str::to_owned).to_vec(),
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            folder: Some(self.folder.join(LOGS)),
        };
        let printed = launch.run(&self.log("client"))?;
        ClientCredentials::read(&printed).ok_or(CompareError::Internal("no credentials of the client"))
    }

    /// Starts another service, which verifies access tokens with the keys of this node. As this client it follows revocations.
    pub(super) fn start_other_service(
        &self,
        name: &str,
        node: &Server,
        client: Option<ClientCredentials>,
    ) -> Result<Server, CompareError> {
        let port = free_port().map_err(CompareError::Port)?;
        let issuer = format!("https://{PUBLIC_HOST}");
        let settings = other_service::Settings { issuer, url: node.origin.url(), client };
        let command = [&self.program, "compare", "--other-service", &format!("127.0.0.1:{port}")];
        let launch = Launch {
            command: command.map(str::to_owned).to_vec(),
            environment: settings.to_environment(),
            folder: Some(self.folder.join(LOGS)),
        };
        self.start_server(name, &launch, 1, &local(port), other_service::HEALTH)
    }

    /// Starts another system on this database, with these changes of its environment. One with a `url` runs already.
    pub(super) fn start_target(
        &self,
        target: &Target,
        database: &Url,
        changes: &BTreeMap<String, String>,
    ) -> Result<Server, CompareError> {
        let Some(start) = &target.start else {
            let url = target.url.as_ref().ok_or_else(|| CompareError::Url(target.name.clone()))?;
            return Server::remote(url);
        };
        let port = free_port().map_err(CompareError::Port)?;
        let known = BTreeMap::from([
            ("port".to_owned(), port.to_string()),
            ("database_url".to_owned(), database.to_string()),
        ]);
        let words = |words: &[String]| words.iter().map(|word| fill_in(word, &known)).collect();
        let environment = start.environment.iter().chain(changes);
        let environment = environment.map(|(name, value)| (name.clone(), fill_in(value, &known)));
        let environment: Vec<_> = environment.collect();
        let launch =
            |command| Launch { command, environment: environment.clone(), folder: target.folder.clone() };
        for command in &start.prepare {
            launch(words(command)).run(&self.log(&target.name))?;
        }
        self.start_server(&target.name, &launch(words(&start.command)), 0, &local(port), &start.ready)
    }

    fn start_server(
        &self,
        name: &str,
        launch: &Launch,
        core: usize,
        url: &str,
        ready: &str,
    ) -> Result<Server, CompareError> {
        let log = self.log(name);
        let origin = Origin::of_url(&Url::parse(url).map_err(|_| CompareError::Url(url.to_owned()))?)?;
        let process = self.cores.on_server_core(core, || launch.start(&log));
        let process = process.ok_or(CompareError::Generator)??;
        wait_until_ready(&origin, ready).ok_or_else(|| CompareError::NotReady {
            name: name.to_owned(),
            seconds: READY_TIMEOUT.as_secs(),
            log,
        })?;
        Ok(Server { origin, process: Some(process) })
    }
}

/// Locks the folder for one comparison at a time. The kernel releases the lock even when the process is killed.
fn lock(folder: &Path) -> Result<File, CompareError> {
    let failed = |error| CompareError::Folder(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::options().create(true).append(true).open(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CompareError::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A rate limit that is never reached.
const UNLIMITED: &str = "1000000/1s";

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn wait_until_ready(origin: &Origin, path: &str) -> Option<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
    let mut connection = Connection::new(origin.clone());
    let start_server = Instant::now();
    while start_server.elapsed() < READY_TIMEOUT {
        if connection.exchange(&request).is_ok_and(|response| response.status == 200) {
            return Some(());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    None
}
