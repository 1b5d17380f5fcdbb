//! The REST API v1: JSON, compatible with Gitea. Its routes are in the table of `crate::routes`.

pub mod account;
pub mod admin;
pub mod archives;
pub mod audit;
mod body;
pub mod channels;
pub mod copies;
pub mod endpoint;
pub mod error;
mod fields;
mod form;
pub mod members;
pub mod meta;
pub mod openapi;
pub mod orgs;
pub mod package_settings;
pub mod packages;
pub mod quotas;
pub mod retention;
pub mod search;
pub mod swagger;
pub mod teams;
pub mod tokens;
pub mod trash;
pub mod users;
pub mod version_states;
pub mod webhooks;
