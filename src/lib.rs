//! Packhouse: a self-hosted registry for any file.
pub mod config;
pub mod data_dir;
pub mod db;
pub mod domain;
pub mod error;
pub mod http;
pub mod registry;
pub mod storage;
