//! The promises that take a program nobody here wrote to look at: a browser, proxies, a pooler, other versions of Postgres, and
//! libraries, linters and generators that clients use. And the whole comparison, which is looked at in a browser and wants all
//! of the machine. `scripts/test --fast` leaves these out.
//!
//! What starts one of these programs is private to this module, so that no test elsewhere can come to need one.

mod browser;
mod certificates;
mod clients;
mod comparison;
mod echo;
mod generators;
mod haproxy;
mod mail;
mod nginx;
mod oidc_provider;
mod pgbouncer;
mod poolers;
mod proxies;
mod schemathesis;
mod self_check;
mod started;
mod versions;
