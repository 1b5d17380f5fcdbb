//! Packhouse: a self-hosted registry for any file.
//!
//! Layers: [`domain`] (pure values) ← [`registry`] (the rules and their SQL; no HTTP, no files) ← the interfaces
//! [`generic`] (plain text), [`api`] (JSON), [`web`] (pages) and [`ops`] (health), with [`jobs`] and [`cli`] beside
//! them. [`db`] and [`storage`] meet only in the interfaces and in the jobs.
//!
//! `docs/ARCHITECTURE.md` has the map and the table of which module may use which; `tests/it/architecture` reads the
//! table and enforces it.

pub mod api;
pub mod archive;
pub mod auth;
pub mod blocking;
pub mod cli;
pub mod config;
pub mod counters;
pub mod data_dir;
pub mod db;
pub mod domain;
pub mod error;
pub mod export;
pub mod generic;
pub mod http;
pub mod instance;
pub mod jobs;
pub mod listing;
pub mod lock;
pub mod mailer;
pub mod oidc;
pub mod ops;
pub mod outbound;
pub mod password;
pub mod publish;
pub mod registry;
pub mod routes;
pub mod serve;
pub mod server;
pub mod state;
pub mod storage;
pub mod telemetry;
pub mod views;
pub mod web;
