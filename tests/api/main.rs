//! What a client may rely on: every promise of the contract, kept over real HTTP on a real Postgres.

#![expect(
    unreachable_pub,
    reason = "nothing reaches into a test binary: `pub` only says what is for the other files"
)]
#![expect(clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

mod audit;
mod challenges;
mod command_line;
mod commands;
mod compare;
mod connecting;
#[macro_use]
mod contract;
mod base_path;
mod custom_tokens;
mod doctor;
mod documented_proxies;
mod exchange;
mod external;
mod factors;
mod faults;
mod followers;
mod forwarded;
mod guessing;
mod health;
mod histories;
mod import;
mod jwt_attacks;
mod keys;
mod layers;
mod mail;
mod nodes;
mod oauth;
mod openapi;
mod operations;
mod origins;
mod output;
mod pages;
mod passkeys;
mod passwords;
mod precedence;
mod private_postgres;
mod process;
mod providers;
mod schema;
mod settings;
mod sockets;
mod support;
mod upgrades;
mod variants;
mod wire;

/// Where the software authenticator of the unit tests finds it here, too.
use dualauth::crypto;
