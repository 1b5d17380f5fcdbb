//! Options of the private Postgres.

use std::path::PathBuf;

/// The inputs of the private Postgres, including the environment, which only the configuration reads.
#[derive(Debug, Clone)]
pub struct ManagedOptions {
    /// The server's data directory. It exists.
    pub data_dir: PathBuf,
    /// The directory of PostgreSQL's binaries, if it is configured; then no other is tried.
    pub bin_dir: Option<PathBuf>,
    /// The directories of `PATH`.
    pub search_path: Vec<PathBuf>,
    /// `XDG_RUNTIME_DIR`, for the socket of a data directory whose path is too long.
    pub runtime_dir: Option<PathBuf>,
    /// The directory for temporary files, for the same purpose where there is no runtime directory.
    pub temp_dir: PathBuf,
    /// Postgres settings (name, value) that override those of `postgresql.conf`, such as `fsync=off` in tests.
    pub settings: Vec<(String, String)>,
    /// The root below which the distributions' directories (`usr/lib/postgresql` and others) are searched: `/`.
    pub system_root: PathBuf,
}

impl ManagedOptions {
    /// The defaults for a data directory, without any environment.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            search_path: Vec::new(),
            runtime_dir: None,
            temp_dir: PathBuf::from("/tmp"),
            settings: Vec::new(),
            system_root: PathBuf::from("/"),
        }
    }
}
