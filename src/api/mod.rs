//! The REST API v1: JSON, as Gitea's. Its routes are in the table of `crate::routes`.

pub mod endpoint;
pub mod error;
mod fields;
pub mod meta;
pub mod openapi;
pub mod orgs;
pub mod packages;
pub mod swagger;
pub mod tokens;
pub mod users;
