//! HTTP as every route speaks it: strict bodies, cookies by their bytes, the client's address, methods and paths.

pub mod base_path;
pub mod body;
pub mod client;
pub mod connection;
pub mod cookies;
pub mod cors;
pub mod door;
pub mod edge;
pub mod error_responses;
pub mod exchange;
pub mod form;
pub mod forward_auth;
pub mod http10;
pub mod incoming;
pub mod listener;
pub mod query;
pub mod refusal;
pub mod route_index;
pub mod upgrade;
pub mod wire;
pub mod work;
