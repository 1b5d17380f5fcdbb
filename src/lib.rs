//! Packhouse: a self-hosted registry for any file.
//!
//! Layers: [`domain`] (pure values) ← [`registry`] (the rules and their SQL; no HTTP, no files) ← the faces [`generic`]
//! (plain text), [`api`] (JSON), [`web`] (pages) and [`ops`] (health), with [`jobs`] and [`cli`] beside them. [`db`]
//! and [`storage`] meet only in the faces and in the jobs.
//!
//! | layer | may use |
//! |---|---|
//! | `domain` | nothing of ours |
//! | `error`, `config` | `domain` |
//! | `lock` | nothing of ours |
//! | `data_dir` | `domain`, `lock` |
//! | `db`, `storage` | `domain`, `error`, `config`, `lock` |
//! | `registry` | `domain`, `error`, `db::schema` |
//! | `password`, `counters` | `domain`, `error` |
//! | `outbound` | `domain` |
//! | `jobs` | `domain`, `error`, `db`, `storage`, `registry`, `counters`, `outbound` |
//! | `http` | `domain`, `error`, `storage` |
//! | `state` | all of the above |
//! | `auth` | all of the above but `storage` and `jobs` |
//! | `intake` | all of the above but `jobs` |
//! | `export` | `domain`, `error`, `auth`, `registry` |
//! | `generic`, `api`, `web`, `ops` | all of the above but `db::schema`; never each other |
//! | `routes` | the faces, and what their table needs: `domain`, `error`, `http`, `auth`, `registry`, `state` |
//! | `instance`, `server` | what opens an instance, what serves it |
//! | `cli` | anything; nothing names it |
//!
//! `tests/it/architecture.rs` enforces these rules; `docs/ARCHITECTURE.md` explains them.

pub mod api;
pub mod auth;
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
pub mod intake;
pub mod jobs;
pub mod lock;
pub mod ops;
pub mod outbound;
pub mod password;
pub mod registry;
pub mod routes;
pub mod server;
pub mod state;
pub mod storage;
pub mod telemetry;
pub mod web;
