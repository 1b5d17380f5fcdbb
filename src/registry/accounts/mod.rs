//! Accounts: users, and what they sign in with.

pub mod attempts;
pub mod factor;
pub mod sessions;
pub mod tokens;
pub mod two_factor;
pub mod users;
