//! Packhouse: a self-hosted registry for any file.
pub mod config;
pub mod db;
pub mod domain;
pub mod error;
pub mod registry;
