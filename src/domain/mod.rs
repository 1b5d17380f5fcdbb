//! Values that cannot be wrong: names, ids, digests, roles, secrets, the time. Nothing here does input or output.
pub mod clock;
pub mod digest;
pub mod hook;
pub mod ids;
pub mod limit;
pub mod names;
pub mod network;
pub mod path;
pub mod request_id;
pub mod role;
pub mod secret;
pub mod text;
pub mod version;
