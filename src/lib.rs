//! dualauth: sessions and JWTs, side by side, over one login record.
//!
//! Where to start reading: [`logins`] says what a login is, [`auth`] how one is presented, [`session`] and [`jwt`]
//! are the two ways to do so, [`app`] puts everything together, and [`commands`] is what the program can be told to
//! do. Each group of modules uses only those below it in this list; `tests/api/layers.rs` holds them to that and
//! names the exceptions.

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
pub mod logins;
pub mod users;

pub mod audit;
pub mod upkeep;

pub mod clock;
pub mod config;
pub mod crypto;
pub mod database;
pub mod metrics;
pub mod rate_limits;
pub mod shards;
pub mod telemetry;
pub mod tokens;
pub mod version;

pub mod error;

#[cfg(test)]
mod property_testing;
