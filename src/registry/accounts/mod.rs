//! Accounts: users and their ways to sign in.

pub mod attempts;
pub mod expiring_tokens;
pub mod factor;
pub mod identities;
pub mod known_addresses;
pub mod session_expiry;
pub mod sessions;
pub mod tokens;
pub mod two_factor;
pub mod users;
