//! Packhouse: a self-hosted registry for any file.
pub mod domain;
pub mod error;
pub mod http;
pub mod storage;
