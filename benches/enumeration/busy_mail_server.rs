//! A mail server that is busy for ever: every mail waits, so that no sending gets in the way of what is measured.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

/// What `SMTP_URL` is. It ends with the process.
pub(crate) fn start() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(b"421 busy\r\n");
        }
    });
    Ok(format!("smtp://{address}"))
}
