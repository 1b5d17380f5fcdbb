//! Packhouse: a self-hosted registry for any file.
pub mod domain;
pub mod error;
