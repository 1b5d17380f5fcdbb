//! What the faces share of HTTP.

pub mod blob;
pub mod conditional;
pub mod disposition;
pub mod range;
