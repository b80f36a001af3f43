//! What a client may rely on: every promise of the contract, kept over real HTTP on a real Postgres.

mod contract;
mod faults;
mod forwarded;
mod jwt_attacks;
mod origins;
mod precedence;
mod support;
