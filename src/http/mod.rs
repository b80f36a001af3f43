//! HTTP basics for all routes: bodies, cookies, client addresses, CORS, connections.

pub mod accept_burst_pacing;
pub mod app_wide_context;
pub mod base_path;
pub mod body;
pub mod client;
pub mod common_response_headers;
pub mod cookie_header;
pub mod cors;
pub mod errors_as_problem_documents;
pub mod form;
pub mod forward_auth_endpoint_path;
pub mod get_with_effect;
pub mod head_size_and_head_as_get;
pub mod http10_post_without_length;
pub mod language;
pub mod listener;
pub mod parser_adapter;
pub mod parser_refusal;
pub mod problem;
pub mod query;
pub mod request_observation;
pub mod route_index;
pub mod timed_connection;
pub mod tracked_body;
pub mod uncancelled;
pub mod upgrade;
