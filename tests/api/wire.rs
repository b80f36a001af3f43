//! What happens on a connection, byte by byte: bodies that stop half way, old HTTP, what is no HTTP, requests for another
//! protocol, and how long a connection stays open.

mod bodies;
mod http10;
mod keep_alive;
mod refused;
mod upgrade;
