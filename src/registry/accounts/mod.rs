//! Accounts: users and their ways to sign in.

pub mod attempts;
pub mod email_confirmation;
pub mod email_links;
pub mod expiring_tokens;
pub mod factor;
pub mod identities;
pub mod invitations;
pub mod known_addresses;
pub mod muted_mail;
pub mod passkeys;
pub mod password_reset;
pub mod session_expiry;
pub mod sessions;
pub mod tokens;
pub mod two_factor;
pub mod users;
pub mod ways_in;
