//! The HTTP parts that the package protocol, the API and the pages share. None of them knows what a request means.

pub mod accept;
pub mod asset;
pub mod blob;
pub mod body;
pub mod browser;
pub mod conditional;
pub mod connections;
pub mod cors;
pub mod declared;
pub mod description;
pub mod disposition;
pub mod forwarded;
pub mod gate;
pub mod middleware;
pub mod paging;
pub mod preferred_digest;
pub mod problem;
pub mod range;
pub mod ready;
pub mod recent;
mod redirected;
pub mod request_log;
pub mod segment;
pub mod selected;
pub mod standing;
pub mod streamed;
