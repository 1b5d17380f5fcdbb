//! Who sends a request: what it presents is read here and judged in the same hop as its work.

mod basic;
mod bearer;
pub mod call;
pub mod confirm;
mod credentials;
pub mod hooks;
pub mod password;
pub mod policy;
pub mod session;

pub use credentials::reader;
