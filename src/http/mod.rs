//! HTTP basics for all routes: bodies, cookies, client addresses, CORS, connections.

pub mod accept_pacing;
pub mod base_path;
pub mod body;
pub mod client;
pub mod context;
pub mod cookie_header;
pub mod cors;
pub mod error_responses;
pub mod form;
pub mod forward_auth;
pub mod http10_content_length;
pub mod language;
pub mod listener;
pub mod parser_adapter;
pub mod parser_refusal;
pub mod problem;
pub mod query;
pub mod request_log;
pub mod route_index;
pub mod timed_connection;
pub mod tracked_body;
pub mod uncancelled;
pub mod upgrade;
