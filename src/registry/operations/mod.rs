//! Running an instance: statistics, settings, tasks, and whether the database and the store agree.

pub mod backups;
pub mod damage;
pub mod forecast;
pub mod integrity;
pub mod largest;
pub mod lease;
pub mod scrub;
pub mod servers;
pub mod settings;
pub mod stats;
pub mod store_switch;
pub mod tasks;
