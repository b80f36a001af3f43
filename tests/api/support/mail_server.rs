//! A server that takes mails (SMTP), and whatever else a mail server does: says no, is slow, goes away and comes back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{cluster, eventually};

/// A mail as it was handed over.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    pub from: String,
    pub to: String,
    /// Headers and body.
    pub content: String,
}

impl ReceivedMail {
    /// A header's value as it was written, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.content, name)
    }

    /// The plain text, decoded.
    pub fn text(&self) -> String {
        self.part("text/plain")
    }

    pub fn html(&self) -> String {
        self.part("text/html")
    }

    /// The challenge's id and the code in the link.
    pub fn code(&self) -> (String, String) {
        let text = self.text();
        let (_, link) = text.split_once("/mail#").expect("a link");
        let link = link.split_whitespace().next().expect("a link");
        let (id, code) = link.split_once('.').expect("an id and a code");
        (id.to_owned(), code.to_owned())
    }

    fn part(&self, content_type: &str) -> String {
        let parts = self.content.split("\r\n--").skip(1);
        let mut parts = parts.filter_map(|part| part.split_once("\r\n")?.1.split_once("\r\n\r\n"));
        let (head, body) = parts
            .find(|(head, _)| header(head, "Content-Type").is_some_and(|it| it.starts_with(content_type)))
            .expect("a part of this type");
        match header(head, "Content-Transfer-Encoding").as_deref() {
            Some("quoted-printable") => quoted_printable(body),
            _ => body.to_owned(),
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let head = head.split("\r\n\r\n").next()?.replace("\r\n ", " ");
    let line = head
        .lines()
        .find(|line| line.split_once(':').is_some_and(|(written, _)| written.eq_ignore_ascii_case(name)))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// RFC 2045, section 6.7.
fn quoted_printable(text: &str) -> String {
    let mut bytes = Vec::new();
    let text = text.replace("=\r\n", "");
    let mut rest = text.as_str();
    while let Some((plain, coded)) = rest.split_once('=') {
        bytes.extend(plain.bytes());
        bytes.push(u8::from_str_radix(&coded[..2], 16).expect("two hexadecimal digits"));
        rest = &coded[2..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).expect("UTF-8")
}

/// What the server does out of the ordinary.
#[derive(Clone, Debug, Default)]
pub struct Conduct {
    /// Said to the address of a mail, such as `550 no such user`.
    pub to_address: Option<&'static str>,
    /// Said after a mail, such as `451 later`.
    pub after_mail: Option<&'static str>,
    /// How long it thinks before it answers to a mail that it takes.
    pub slow: Duration,
    /// Said in place of a greeting.
    pub greeting: Option<&'static str>,
    /// Hangs up in the middle of a mail.
    pub hangs_up: bool,
}

#[derive(Default)]
struct Shared {
    conduct: Conduct,
    received: Vec<ReceivedMail>,
    /// Every line of every client, but for the mails themselves.
    said: Vec<String>,
    connections: usize,
}

pub struct MailServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    listening: Option<JoinHandle<()>>,
}

impl MailServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut server = Self { address, shared: Arc::default(), listening: None };
        server.listen(listener);
        server
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.listening = Some(cluster::runtime().spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&shared)));
            }
        }));
    }

    /// What `SMTP_URL` is.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn conduct(&self, conduct: Conduct) {
        self.locked().conduct = conduct;
    }

    /// Nobody listens any more, and nobody is listened to.
    pub async fn go_away(&mut self) {
        let listening = self.listening.take().expect("it is there");
        listening.abort();
        let _ = listening.await;
    }

    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port of before");
        self.listen(listener);
    }

    pub fn received(&self) -> Vec<ReceivedMail> {
        self.locked().received.clone()
    }

    /// What clients said, line by line, without the mails.
    pub fn said(&self) -> Vec<String> {
        self.locked().said.clone()
    }

    pub fn connections(&self) -> usize {
        self.locked().connections
    }

    /// Waits until it has received this many mails, and gives them.
    pub async fn receives(&self, count: usize) -> Vec<ReceivedMail> {
        eventually(&format!("mail number {count}"), async || self.locked().received.len() >= count).await;
        self.received()
    }

    /// The only mail so far; waits for it.
    pub async fn receives_one(&self) -> ReceivedMail {
        let mails = self.receives(1).await;
        assert_eq!(mails.len(), 1, "{mails:?}");
        mails[0].clone()
    }

    fn locked(&self) -> MutexGuard<'_, Shared> {
        locked(&self.shared)
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers to one client. An error: it has gone.
async fn converse(stream: TcpStream, shared: Arc<Mutex<Shared>>) -> std::io::Result<()> {
    locked(&shared).connections += 1;
    let mut client = BufReader::new(stream);
    let greeting = locked(&shared).conduct.greeting;
    say(&mut client, greeting.unwrap_or("220 ready")).await?;
    let (mut from, mut to) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        locked(&shared).said.push(line.clone());
        let conduct = locked(&shared).conduct.clone();
        let command = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match &*command {
            "EHLO" => "250-tests\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
            "AUTH" => "535 5.7.8 wrong name or password",
            "MAIL" => {
                from = between(&line);
                "250 ok"
            }
            "RCPT" => {
                to = between(&line);
                conduct.to_address.unwrap_or("250 ok")
            }
            "DATA" => {
                say(&mut client, "354 go on").await?;
                let content = mail(&mut client).await?;
                if conduct.hangs_up {
                    return Ok(());
                }
                tokio::time::sleep(conduct.slow).await;
                let answer = conduct.after_mail.unwrap_or("250 2.0.0 taken");
                if answer.starts_with('2') {
                    let mail = ReceivedMail { from: from.clone(), to: to.clone(), content };
                    locked(&shared).received.push(mail);
                }
                answer
            }
            "QUIT" => {
                say(&mut client, "221 bye").await?;
                return Ok(());
            }
            "NOOP" | "RSET" => "250 ok",
            _ => "500 what?",
        };
        say(&mut client, answer).await?;
    }
}

async fn say(client: &mut BufReader<TcpStream>, line: &str) -> std::io::Result<()> {
    client.write_all(format!("{line}\r\n").as_bytes()).await
}

/// What is between `<` and `>`.
fn between(line: &str) -> String {
    let (_, rest) = line.split_once('<').expect("an address");
    rest.split_once('>').expect("an address").0.to_owned()
}

/// Lines up to a single dot, without the dots that were put before others (RFC 5321, section 4.5.2).
async fn mail(client: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut content = String::new();
    loop {
        // A client that has sent a part waits for word of it before it sends the rest (RFC 1122, section 4.2.3.4).
        #[cfg(target_os = "linux")]
        client.get_ref().set_quickack(true)?;
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
