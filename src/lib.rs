//! dualauth: sessions and JWTs, side by side, over one login record.
//!
//! Where to start reading: [`logins`] defines a login, [`auth`] how a request presents one, [`session`] and [`jwt`] are
//! the two modes of doing so, [`app`] is the composition root, and [`commands`] has the subcommands of the program.
//! Each group of modules below uses only the groups after it; `tests/api/layers.rs` enforces this and names the
//! exceptions.

pub mod commands;

pub mod app;

pub mod account;
pub mod jwt;
pub mod mode_routes;
pub mod oauth;
pub mod session;
pub mod web;

pub mod sign_in;

pub mod factors;

pub mod auth;

pub mod http;

pub mod clients;
pub mod custom_tokens;
pub mod logins;
pub mod users;

pub mod challenges;
pub mod mail;

pub mod audit;
pub mod upkeep;

pub mod clock;
pub mod config;
pub mod crypto;
pub mod database;
pub mod machine_roots;
pub mod metrics;
pub mod network_rate_limits;
pub mod shards;
pub mod telemetry;
pub mod tokens;
pub mod version;

pub mod error;

#[cfg(test)]
mod property_testing;
