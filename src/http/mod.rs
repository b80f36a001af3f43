//! HTTP as every route speaks it: strict bodies, cookies by their bytes, the client's address, methods and paths.

pub mod body;
pub mod client;
pub mod connection;
pub mod cookies;
pub mod door;
pub mod edge;
pub mod form;
pub mod forward_auth;
pub mod listener;
pub mod tls;
pub mod work;
