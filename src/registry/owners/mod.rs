//! Owners of packages: the names that users and organizations share, organizations, their teams and members.

pub mod members;
pub mod namespace;
pub mod org_creation;
pub mod orgs;
pub mod teams;
