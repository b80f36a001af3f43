//! What an operator relies on: every answer's headers, limits that hold, lines and numbers that tell what happens, and
//! no secret in any of them.

mod canaries;
mod headers;
mod limits;
mod lines;
mod metrics;
mod spans;
