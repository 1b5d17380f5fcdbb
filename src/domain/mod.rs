//! Values that cannot be wrong: names, ids, digests, roles. Nothing here knows a database or a network.
pub mod digest;
