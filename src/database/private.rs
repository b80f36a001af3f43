//! stub
#![allow(missing_docs)]
use std::path::Path;
#[derive(Debug, thiserror::Error)]
#[error("none")]
pub struct PrivatePostgresError;
pub struct PrivatePostgres;
impl PrivatePostgres {
    pub async fn start(_: &Path, _: &[(&str, &str)]) -> Result<PrivatePostgres, PrivatePostgresError> {
        Err(PrivatePostgresError)
    }
    pub fn url(&self) -> String {
        String::new()
    }
    pub async fn stop(self) {}
}
