//! Packhouse: a self-hosted registry for any file.
pub mod auth;
pub mod config;
pub mod data_dir;
pub mod db;
pub mod domain;
pub mod error;
pub mod generic;
pub mod http;
pub mod jobs;
pub mod password;
pub mod registry;
pub mod state;
pub mod storage;
pub mod tally;
