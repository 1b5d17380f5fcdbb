//! Owners of packages: the names that users and organizations share, organizations, their teams and members.

pub mod members;
pub mod namespace;
pub mod orgs;
pub mod teams;
