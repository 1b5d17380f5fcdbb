//! Authentication: credentials are read here, and checked on the same connection as the request's work.

mod basic;
mod bearer;
pub mod call;
pub mod confirm;
mod credentials;
pub mod device;
pub mod hooks;
pub mod identity_token;
pub mod origin;
pub mod passkey;
pub mod password;
pub mod policy;
pub mod session;

pub use credentials::{bearer_credential, reader};
