//! Packages, their versions and files: publishing, listing, searching, downloading, deleting; and owners' storage
//! quotas.

pub mod archives;
pub mod catalog;
mod changeable;
pub mod channels;
pub mod cleanup;
pub mod contents;
pub mod copies;
pub mod declared;
pub mod deletion_preview;
pub mod directories;
pub mod downloads;
pub mod expiry;
pub mod feeds;
pub mod files;
pub mod freed;
pub mod lifecycle;
mod lookup;
pub mod protections;
pub mod publish;
pub mod quotas;
pub mod releases;
pub mod replacement;
mod replacing;
pub mod restoration;
pub mod retention;
pub mod search;
pub mod selection;
pub mod settings;
pub mod standing;
pub mod trash;
pub mod trash_entries;
pub mod uploads;
pub mod version_edit;
pub mod version_states;
pub mod versions;
pub mod visibility;
