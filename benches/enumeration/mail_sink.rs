//! A mail server that takes every mail and keeps none (RFC 5321, as far as the node speaks it).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// It ends with the process.
pub(crate) struct MailSink {
    address: SocketAddr,
}

impl MailSink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(|| take_mails(stream));
            }
        });
        Ok(Self { address })
    }

    /// What `SMTP_URL` is.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }
}

/// Until the client goes.
fn take_mails(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = BufReader::new(stream);
    let (mut line, mut is_mail) = (String::new(), false);
    client.get_mut().write_all(b"220 sink\r\n")?;
    loop {
        line.clear();
        if client.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match (is_mail, line.trim_end()) {
            (true, ".") => "250 taken",
            (true, _) => continue,
            (false, "DATA") => "354 go on",
            (false, "QUIT") => "221 bye",
            (false, _) => "250 sink",
        };
        is_mail = answer.starts_with("354");
        client.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
    }
}
