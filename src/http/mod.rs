//! HTTP as every route speaks it: strict bodies, cookies by their bytes, the client's address, methods and paths.

pub mod base_path;
pub mod body;
pub mod client;
pub mod connection;
pub mod cookies;
pub mod cors;
pub mod door;
pub mod edge;
pub mod form;
pub mod forward_auth;
pub mod http10;
pub mod incoming;
pub mod listener;
pub mod problem;
pub mod query;
pub mod refusal;
pub mod tls;
pub mod wire;
pub mod work;
