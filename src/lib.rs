//! Packhouse: a self-hosted registry for any file.
pub mod data_dir;
pub mod db;
pub mod domain;
pub mod error;
