//! Blobs in a bucket of an S3-compatible object store.
//!
//! The names are those of a local store: `blobs/<first two hex>/<key>`, and `held/<key>/<seconds>` for a blob that a
//! sweep found without a row, below an optional prefix. Keys are random and never reused, because some stores ignore
//! conditions on a PUT, and because a part is sent before the file's digest is known.

mod bucket;
mod client;
mod feed;
mod listing;
mod marker;
mod multiparts;
mod presign;
mod upload;

pub(super) use self::bucket::{S3, wait};
pub(super) use self::feed::Feed;
pub(super) use self::listing::{Claim, Listing, held};
pub(super) use self::upload::{Finished, Upload, import};
