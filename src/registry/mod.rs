//! The registry: its rules and its SQL. It contains no HTTP and touches no file.
//!
//! Functions take a connection that [`crate::db::Db`] lends. Functions that change something are called in one of its
//! transactions and leave an [`audit`] record in it.

pub mod access;
pub mod accounts;
pub mod audit;
pub mod caller;
pub mod draft_limit;
mod encryption;
mod like;
pub mod mail;
mod name_locks;
pub mod operations;
pub mod owners;
pub mod packages;
pub mod pages;
pub mod reach;
mod sql_expression;
pub mod webhooks;
