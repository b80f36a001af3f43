//! The promises that take a program nobody here wrote to look at: a browser, proxies, a pooler, other versions of Postgres, and
//! libraries, linters and generators that clients use. `scripts/test --fast` leaves them out.
//!
//! Whatever starts one of these programs is private to this module, so no test elsewhere can need one.

mod browser;
mod certificates;
mod clients;
mod comparison;
mod echo;
mod generators;
mod haproxy;
mod nginx;
mod pgbouncer;
mod poolers;
mod proxies;
mod schemathesis;
mod started;
mod versions;
