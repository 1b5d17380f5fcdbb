//! What the registry does: its rules and its SQL. It knows nothing of HTTP and touches no file.
//!
//! Functions take a connection that [`crate::db::Db`] lends; those that change something are called in one of its
//! transactions and leave an [`audit`] record in it.

pub mod access;
pub mod attempts;
pub mod audit;
pub mod caller;
pub mod catalog;
pub mod cleanup;
pub mod damage;
pub mod downloads;
pub mod files;
pub mod hooks;
pub mod integrity;
pub mod losses;
pub mod members;
pub mod orgs;
pub mod owners;
pub mod packages;
pub mod pages;
pub mod publish;
pub mod quotas;
pub mod releases;
pub mod scrub;
mod seal;
pub mod search;
pub mod sessions;
pub mod settings;
pub mod stats;
pub mod tasks;
pub mod teams;
pub mod tokens;
pub mod two_factor;
pub mod uploads;
pub mod users;
pub mod versions;
