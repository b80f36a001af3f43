//! What a client may rely on: every promise of the contract, kept over real HTTP on a real Postgres.

#![expect(
    unreachable_pub,
    reason = "nothing reaches into a test binary: `pub` only says what is for the other files"
)]
#![expect(clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

mod browser;
mod clients;
mod commands;
#[macro_use]
mod contract;
mod faults;
mod forwarded;
mod health;
mod jwt_attacks;
mod keys;
mod layers;
mod nodes;
mod oauth;
mod openapi;
mod origins;
mod pages;
mod precedence;
mod process;
mod proxies;
mod schemathesis;
mod support;
mod variants;
