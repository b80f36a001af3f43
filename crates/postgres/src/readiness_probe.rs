//! Asks Postgres once, through its Unix socket, whether it accepts connections.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use super::socket_settings_and_url::file_name;
use super::{DATABASE, ROLE};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    NotReady,
}

pub(super) async fn probe(directory: &Path) -> Readiness {
    match tokio::time::timeout(RESPONSE_TIMEOUT, first_response(directory)).await {
        Ok(Ok(answer)) if is_starting_up(&answer) => Readiness::NotReady,
        Ok(Ok(_)) => Readiness::Ready,
        Ok(Err(_)) | Err(_) => Readiness::NotReady,
    }
}

/// SQLSTATE 57P03 (`cannot_connect_now`): starting up, in recovery or shutting down. So is an empty response.
fn is_starting_up(answer: &[u8]) -> bool {
    answer.is_empty() || answer.windows(6).any(|field| field == b"C57P03")
}

async fn first_response(directory: &Path) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(directory.join(file_name())).await?;
    stream.writable().await?;
    stream.try_write(&startup_message())?;
    stream.readable().await?;
    let mut answer = vec![0; 1024];
    let length = stream.try_read(&mut answer)?;
    answer.truncate(length);
    // A Terminate message, so that Postgres logs no lost connection.
    let _ = stream.try_write(b"X\0\0\0\x04");
    Ok(answer)
}

fn startup_message() -> Vec<u8> {
    let parameters = format!("user\0{ROLE}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.extend(0x0003_0000_u32.to_be_bytes());
    message.extend(parameters.bytes());
    message
}
