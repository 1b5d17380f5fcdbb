//! Values that are always valid: names, ids, digests, roles, secrets, the time. Nothing here does input or output.
pub mod address;
pub mod clock;
pub mod damage;
pub mod digest;
pub mod ids;
pub mod limit;
pub mod names;
pub mod network;
pub mod path;
pub mod public_url;
pub mod quota;
pub mod request_id;
pub mod role;
pub mod secret;
pub mod text;
pub mod version;
pub mod webhook;
