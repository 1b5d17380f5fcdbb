//! The data directory: the paths in it, the lock that one server holds, and the secret key that is kept outside the
//! database.
//!
//! Every file in it is private by its own mode, so the directory itself may be traversable: a server that runs as root
//! starts its private Postgres as another user, who must reach `postgres` below it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;

use crate::domain::digest::{from_hex, to_hex};
use crate::lock::lock_soon;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The lock is held, which only a running server does.
    #[error(
        "another packhouse server is using the data directory {}: stop it first, or give this one its own data \
         directory", .0.display()
    )]
    InUse(PathBuf),
    /// The path exists and is not a directory.
    #[error("the data directory {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The key file was cut short or edited. It is never replaced: everything it encrypted would be lost.
    #[error(
        "the secret key in {} is damaged: it must be one line of 64 hexadecimal digits; restore the file from \
         a backup (a new key could not decrypt the secrets in the database)", .0.display()
    )]
    DamagedKey(PathBuf),
    /// Other users may change the directory's files or read the key.
    #[error("{} is open to other users (mode {mode:04o}): run chmod {chmod} {}", .path.display(), .path.display())]
    Open {
        path: PathBuf,
        mode: u32,
        /// The argument of `chmod` that closes it.
        chmod: &'static str,
    },
    /// The directory has been used with another key.
    #[error(
        "the data directory and the backup have different secret keys: use a new data directory, or move {} away",
         .0.display()
    )]
    OtherKey(PathBuf),
    /// An operating system error.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// The attempted action, as a verb.
        doing: &'static str,
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl DataDirError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// An existing data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    key_file: Option<PathBuf>,
}

/// The lock of one server on the data directory, held until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Opens the data directory, or creates it with its parents.
    ///
    /// A new directory gets mode 0700, or 0711 when root creates it. An existing one keeps its mode.
    ///
    /// # Errors
    /// [`DataDirError::NotADirectory`], or [`DataDirError::Io`] when it cannot be created.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Parents get the default mode: other programs use them too.
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(DataDirError::io("create the parent directories of", &path))?;
                }
                DirBuilder::new()
                    .mode(mode)
                    .create(&path)
                    .map_err(DataDirError::io("create the data directory", &path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(DataDirError::io("create the data directory", &path)(error)),
        }
        let path = fs::canonicalize(&path).map_err(DataDirError::io("open the data directory", &path))?;
        if !path.is_dir() {
            return Err(DataDirError::NotADirectory(path));
        }
        demand_closed(&path, 0o022, "go-w")?;
        Ok(Self { path, key_file: None })
    }

    /// The directory itself, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the private Postgres.
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// The file with the secret key. Read it with [`DataDir::secret_key`].
    pub fn secret_key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.path.join("secret-key"))
    }

    /// Uses another file for the secret key: one that several servers of one database share.
    #[must_use]
    pub fn with_secret_key_file(self, file: Option<PathBuf>) -> Self {
        Self { key_file: file, ..self }
    }

    /// The file with the first administrator's random password.
    pub fn initial_admin_password(&self) -> PathBuf {
        self.path.join("initial-admin-password")
    }

    /// Locks the directory for one server. Commands that run beside a server do not lock it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] at once, without waiting, while another process holds the lock.
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.path.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(DataDirError::io("open the lock file", &path))?;
        match lock_soon(&file) {
            Ok(true) => Ok(DataDirLock { _file: file }),
            Ok(false) => Err(DataDirError::InUse(self.path.clone())),
            Err(error) => Err(DataDirError::io("lock", &path)(error)),
        }
    }

    /// The 32 bytes that the keys of this installation are derived from. The first call generates them at random.
    ///
    /// The bytes stay outside the database, so that somebody who steals the database cannot decrypt its secrets.
    ///
    /// # Errors
    /// [`DataDirError::DamagedKey`] when the file does not hold exactly one key, and [`DataDirError::Io`].
    pub fn secret_key(&self) -> Result<[u8; 32], DataDirError> {
        let path = self.secret_key_file();
        // A file elsewhere may be a mounted secret, whose mode is someone else's decision.
        if self.key_file.is_none() && path.exists() {
            demand_closed(&path, 0o077, "600")?;
        }
        match fs::read_to_string(&path) {
            Ok(text) => return Self::parse_key(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(DataDirError::DamagedKey(path)),
            Err(error) => return Err(DataDirError::io("read the secret key", &path)(error)),
        }
        self.make_key(&path)?;
        // Read the file back: of two processes at once, the first one's key counts.
        let text = fs::read_to_string(&path).map_err(DataDirError::io("read the secret key", &path))?;
        Self::parse_key(&path, &text)
    }

    /// Restores the secret key from a backup.
    ///
    /// # Errors
    /// [`DataDirError::OtherKey`] when there is another key, which is never replaced; as [`DataDir::secret_key`].
    pub fn restore_secret_key(&self, key: &[u8; 32]) -> Result<(), DataDirError> {
        let path = self.secret_key_file();
        if !path.exists() {
            self.write_key(&path, key)?;
        }
        if self.secret_key()? == *key { Ok(()) } else { Err(DataDirError::OtherKey(path)) }
    }

    fn parse_key(path: &Path, text: &str) -> Result<[u8; 32], DataDirError> {
        from_hex(text.trim_end()).map_err(|_| DataDirError::DamagedKey(path.to_owned()))
    }

    /// Writes a new key to a temporary file and links it into place, which fails if another process was faster. Nobody
    /// ever reads half a key, and a crash leaves either no key or a whole one.
    fn make_key(&self, path: &Path) -> Result<(), DataDirError> {
        let mut key = [0_u8; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut key)
            .map_err(|error| DataDirError::io("generate random bytes for", path)(io::Error::other(error)))?;
        self.write_key(path, &key)
    }

    fn write_key(&self, path: &Path, key: &[u8; 32]) -> Result<(), DataDirError> {
        let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
        let written = Self::write_and_link(&draft, path, &to_hex(key));
        // If this fails, only the temporary file stays; the key has its final name by now.
        let _ = fs::remove_file(&draft);
        written.map_err(DataDirError::io("write the secret key", path))
    }

    fn write_and_link(draft: &Path, path: &Path, key: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        match fs::hard_link(draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// Refuses a path whose mode has one of these bits.
fn demand_closed(path: &Path, bits: u32, chmod: &'static str) -> Result<(), DataDirError> {
    let mode = fs::metadata(path).map_err(DataDirError::io("read the mode of", path))?.permissions().mode() & 0o777;
    if mode & bits == 0 { Ok(()) } else { Err(DataDirError::Open { path: path.to_owned(), mode, chmod }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn data_dir() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::open(temp.path().join("a/b/data")).unwrap();
        (temp, data)
    }

    #[test]
    fn a_new_data_directory_is_not_readable_by_other_users() {
        let (_temp, data) = data_dir();
        let mode = fs::metadata(data.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o066, 0, "mode {mode:o}");
        DataDir::open(data.path()).unwrap();
    }

    #[test]
    fn a_file_is_refused_as_data_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataDir::open(file.path()), Err(DataDirError::NotADirectory(_))));
    }

    #[test]
    fn a_second_lock_fails_with_a_message_until_the_first_is_dropped() {
        let (_temp, data) = data_dir();
        let lock = data.lock().unwrap();
        let refused = data.lock().unwrap_err().to_string();
        assert!(refused.contains("another packhouse server is using the data directory"), "{refused}");
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn the_secret_key_is_created_once_and_is_private() {
        let (_temp, data) = data_dir();
        let key = data.secret_key().unwrap();
        assert_eq!(key, data.secret_key().unwrap());
        let mode = fs::metadata(data.secret_key_file()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn concurrent_requests_for_the_secret_key_get_the_same_key() {
        let (_temp, data) = data_dir();
        let keys: HashSet<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..16).map(|_| scope.spawn(|| data.secret_key().unwrap())).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_damaged_secret_key_is_refused_and_not_overwritten() {
        let (_temp, data) = data_dir();
        let damaged: [&[u8]; 5] = [b"", b"abc\n", &[b'0'; 63], &[b'x'; 64], &[0xff; 64]];
        for text in damaged {
            fs::write(data.secret_key_file(), text).unwrap();
            fs::set_permissions(data.secret_key_file(), fs::Permissions::from_mode(0o600)).unwrap();
            let error = data.secret_key().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert_eq!(fs::read(data.secret_key_file()).unwrap(), text);
        }
    }
}
