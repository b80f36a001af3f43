//! What happens on a connection, byte by byte: bodies that stop half way, old HTTP, what is no HTTP, and how long it
//! stays open.

mod bodies;
mod http10;
mod keep_alive;
mod refused;
