//! Owners of packages: organizations, their teams and members, and the names that users and organizations share.

pub mod grants;
pub mod members;
pub mod namespace;
pub mod org_creation;
pub mod orgs;
pub mod person;
pub mod publishers;
pub mod robots;
pub mod teams;
