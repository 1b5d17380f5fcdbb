//! Where a store is.

use std::fmt;
use std::path::PathBuf;

use crate::config::{Config, StoreConfig, StoreKind};

/// The place of a store, as the configuration names it.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// A directory.
    Directory(PathBuf),
    /// A bucket of an S3-compatible object store, or a prefix in it.
    Bucket(Box<StoreConfig>),
}

impl StorePlace {
    /// The place that a configuration names.
    pub fn of(config: &Config) -> Self {
        match config.store.kind {
            StoreKind::Local => Self::Directory(config.store_dir()),
            StoreKind::S3 => Self::Bucket(Box::new(config.store.clone())),
        }
    }
}

/// For people: the directory, or the bucket with its prefix.
impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(config) => {
                let prefix = config.prefix.trim_matches('/');
                let between = if prefix.is_empty() { "" } else { "/" };
                write!(f, "s3://{}{between}{prefix}", config.bucket)?;
                if config.endpoint.is_empty() { Ok(()) } else { write!(f, " at {}", config.endpoint) }
            }
        }
    }
}
