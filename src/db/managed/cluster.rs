//! The files of the private Postgres: their paths, their creation, and the directory of its socket.
//!
//! Below `<data>/postgres` are `cluster` (Postgres's own data directory), `socket`, `postgres.log` and `lock`.
//!
//! Authentication is `trust`: everybody who can open the socket is the database's superuser. The file system controls
//! access: the socket's directory has mode 0700 and belongs to the user who runs Postgres, and there is no other
//! listener. A password would be stored beside the socket under the same protection and would add nothing.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sha2::Digest;

use super::error::ManagedError;
use super::install::Install;
use super::launch::{Launcher, Reach};
use super::options::ManagedOptions;
use crate::domain::digest::to_hex;

/// The superuser and the database, both created with the cluster.
const NAME: &str = "packhouse";

/// Not a network port: it is part of the socket's file name.
const PORT: &str = "5432";

/// `sun_path` holds 108 bytes on Linux and 104 elsewhere, including the final NUL.
const SOCKET_PATH_LIMIT: usize = 103;

/// The log is rotated when it is longer than this, in bytes; one older part is kept.
const LOG_LIMIT: u64 = 8 << 20;

/// Appended to `postgresql.conf` once: an operator may change these settings, and the server keeps the changes.
const SETTINGS: &str = "
# Packhouse: modest settings for a database of metadata. These are yours to change; they take effect at the next start.
# The socket, its rights and the absence of a network port are given on the command line, and stay.
max_connections = 50
shared_buffers = 128MB
min_wal_size = 32MB
max_wal_size = 256MB
max_wal_senders = 0
wal_level = minimal
fsync = on
synchronous_commit = on
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'
";

/// The paths of one private Postgres.
#[derive(Debug, Clone)]
pub struct Files {
    /// `<data>/postgres`, without symbolic links.
    pub directory: PathBuf,
    /// Postgres's data directory.
    pub cluster: PathBuf,
    /// The file for Postgres's standard error.
    pub log: PathBuf,
    /// A unique name of this cluster, which the title of each of its processes contains.
    pub tag: String,
}

impl Files {
    /// The paths below an existing data directory.
    ///
    /// # Errors
    /// As `canonicalize`.
    pub fn below(data_dir: &Path) -> io::Result<Self> {
        let data_dir = fs::canonicalize(data_dir)?;
        let digest = sha2::Sha256::digest(data_dir.as_os_str().as_bytes());
        let directory = data_dir.join("postgres");
        Ok(Self {
            cluster: directory.join("cluster"),
            log: directory.join("postgres.log"),
            tag: format!("packhouse-{}", to_hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]))),
            directory,
        })
    }

    /// Creates `<data>/postgres`. As root, the directory can be traversed by the user who runs Postgres but written
    /// only by root: nobody can replace a name in it by a link.
    pub fn make_directory(&self) -> Result<(), ManagedError> {
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(ManagedError::io("create", &self.directory)(error))
            }
            _ => Ok(()),
        }
    }

    /// The major version that created the cluster, if there is one.
    ///
    /// # Errors
    /// [`ManagedError::Io`] when the directory contains something other than a cluster.
    pub fn version(&self) -> Result<Option<u32>, ManagedError> {
        let path = self.cluster.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => Err(ManagedError::io("parse", &path)(io::Error::other(format!("it says {:?}", text.trim())))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.cluster.exists() => Ok(None),
            Err(error) => Err(ManagedError::io("read", &path)(error)),
        }
    }

    /// Opens the log for Postgres itself to append to, so that nothing is lost when this process is killed.
    ///
    /// # Errors
    /// [`ManagedError::Io`].
    pub fn open_log(&self) -> Result<File, ManagedError> {
        self.open_own(&self.log, OpenOptions::new().append(true))
    }

    /// Opens or creates a file of this process in the directory. As root, gives it to the owner of the directory.
    pub fn open_own(&self, path: &Path, options: &mut OpenOptions) -> Result<File, ManagedError> {
        let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = options
            .create(true)
            .mode(0o600)
            .custom_flags(no_links)
            .open(path)
            .map_err(ManagedError::io("open", path))?;
        if rustix::process::geteuid().is_root() {
            let owner = fs::metadata(&self.directory).map_err(ManagedError::io("read", &self.directory))?;
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))
                .map_err(ManagedError::io("change the owner of", path))?;
        }
        Ok(file)
    }

    /// Rotates a long log. Postgres keeps the file open, so it is copied and truncated; lines written in between are
    /// lost, which is acceptable for a log of this size.
    pub fn bound_log(&self) {
        let Ok(log) = OpenOptions::new().write(true).open(&self.log) else { return };
        if log.metadata().is_ok_and(|log| log.len() > LOG_LIMIT) {
            let moved = fs::copy(&self.log, self.log.with_extension("log.1")).and_then(|_| log.set_len(0));
            if let Err(error) = moved {
                tracing::warn!(%error, log = %self.log.display(), "cannot rotate the log of the private Postgres");
            }
        }
    }

    /// The end of the log after `offset`, in bytes, for a message.
    pub fn log_tail(&self, offset: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.log)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(offset.max(end.saturating_sub(4096))))?;
            let mut bytes = Vec::new();
            file.take(4096).read_to_end(&mut bytes)?;
            Ok(last_lines(&String::from_utf8_lossy(&bytes), 12))
        };
        read().unwrap_or_else(|error| format!("(cannot be read: {error})"))
    }

    /// Creates the whole cluster or nothing: it gets its name when it is complete and on the disk.
    ///
    /// The locale is `C` and the encoding UTF-8, so that the order of texts, and with it every index, is the same on
    /// every machine and after every upgrade of the C library.
    ///
    /// # Errors
    /// [`ManagedError::InitDb`] with the program's output, [`ManagedError::NoPasswdEntry`].
    pub fn make_cluster(&self, launcher: &Launcher, install: &Install, reach: &Reach) -> Result<(), ManagedError> {
        let uid = launcher.uid();
        if launcher.account(&uid.to_string()).is_none() {
            return Err(ManagedError::NoPasswdEntry(uid));
        }
        self.remove_drafts();
        // Use a unique name: an `initdb` that outlived its killed parent would keep working in an old directory.
        let name = format!("cluster.new-{:016x}", rand::random::<u64>());
        let draft = self.directory.join(&name);
        DirBuilder::new().mode(0o700).create(&draft).map_err(ManagedError::io("create", &draft))?;
        launcher.give(&draft)?;
        let made = self.fill(launcher, install, &reach.path.join(&name), &draft);
        if made.is_err() {
            self.remove_drafts();
        }
        made
    }

    fn fill(&self, launcher: &Launcher, install: &Install, seen: &Path, draft: &Path) -> Result<(), ManagedError> {
        let initdb = install.program("initdb");
        let made = launcher
            .dying_command(&initdb, "KILL")
            .arg("-D")
            .arg(seen)
            .args(["--username", NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"])
            .args(["--data-checksums", "--no-sync"])
            .output()
            .map_err(ManagedError::io("run", &initdb))?;
        check("initdb", &made)?;

        let conf = draft.join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(&conf)
            .and_then(|mut file| file.write_all(SETTINGS.as_bytes()))
            .map_err(ManagedError::io("write", &conf))?;

        let postgres = install.program("postgres");
        let mut single = launcher
            .dying_command(&postgres, "KILL")
            .args(["--single", "-c", "fsync=off", "-D"])
            .arg(seen)
            .arg("postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ManagedError::io("run", &postgres))?;
        if let Some(mut input) = single.stdin.take() {
            // If the process is gone already, its output says why.
            let _ = writeln!(input, "CREATE DATABASE {NAME};");
        }
        let output = single.wait_with_output().map_err(ManagedError::io("run", &postgres))?;
        if String::from_utf8_lossy(&output.stderr).contains("ERROR:") {
            return Err(ManagedError::InitDb { step: "CREATE DATABASE", output: said(&output) });
        }
        check("CREATE DATABASE", &output)?;

        // One call replaces initdb's fsync of each of 1,300 files, which takes 5 s on a disk that flushes in 4 ms.
        let synced = File::open(draft).and_then(|draft| Ok(rustix::fs::syncfs(draft)?));
        synced.map_err(ManagedError::io("sync the file system of", draft))?;
        fs::rename(draft, &self.cluster).map_err(ManagedError::io("rename", draft))?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(ManagedError::io("sync", &self.directory))
    }

    /// Removes the leftovers of an interrupted [`Files::make_cluster`].
    fn remove_drafts(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(b"cluster.new-")
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(%error, path = %entry.path().display(), "cannot remove an incomplete cluster");
            }
        }
    }

    /// Finds or creates the directory of the socket.
    ///
    /// It is `<data>/postgres/socket`, unless that path is too long for a socket (about 100 bytes) or contains a comma,
    /// which both Postgres and libpq take for a separator. Then it is a directory named by [`Files::tag`] in the usual
    /// place for sockets.
    ///
    /// # Errors
    /// [`ManagedError::SocketDirectory`], also when someone else created a directory with that name.
    pub fn socket(&self, options: &ManagedOptions, launcher: &Launcher) -> Result<Socket, ManagedError> {
        let own = self.directory.join("socket");
        if usable(&own) {
            private_directory(&own, launcher)?;
            return Ok(Socket { told: PathBuf::from("../socket"), directory: own, is_outside: false });
        }
        let runtime_dir = match launcher.changes_user() {
            // Root's own runtime directory is closed to the user who runs Postgres.
            true => Some(PathBuf::from("/run")),
            false => options.runtime_dir.clone(),
        };
        let mut problem = "the path of every candidate is too long".to_owned();
        for parent in runtime_dir.into_iter().chain([options.temp_dir.clone()]) {
            let directory = parent.join(&self.tag);
            if !directory.is_absolute() || !usable(&directory) {
                continue;
            }
            match private_directory(&directory, launcher) {
                Ok(()) => return Ok(Socket { told: directory.clone(), directory, is_outside: true }),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(ManagedError::SocketDirectory(format!(
            "the path {} is too long for a socket, and {problem}",
            own.display()
        )))
    }

    /// The settings that an operator must not change, as arguments.
    pub fn arguments(&self, major: u32, socket: &Socket, extra: &[(String, String)]) -> Vec<String> {
        // Before Postgres replays the log after a crash, it syncs all files: one by one this takes 4 s, with syncfs 0.1
        // s.
        let sync = (major >= 14 && cfg!(target_os = "linux")).then_some(("recovery_init_sync_method", "syncfs"));
        let fixed = [
            ("listen_addresses", ""),
            ("port", PORT),
            ("unix_socket_permissions", "0700"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("cluster_name", &self.tag),
            ("unix_socket_directories", socket.told.to_str().unwrap_or_default()),
        ];
        let extra = extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        sync.into_iter()
            .chain(extra)
            .chain(fixed)
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
            .collect()
    }
}

/// The directory of the socket.
#[derive(Debug, Clone)]
pub struct Socket {
    /// For clients.
    pub directory: PathBuf,
    /// For Postgres, whose working directory is the cluster: it may be unable to use the clients' path.
    told: PathBuf,
    /// Whether it is outside of the data directory.
    is_outside: bool,
}

impl Socket {
    /// The socket and its lock file.
    pub fn files(&self) -> [PathBuf; 2] {
        [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")].map(|name| self.directory.join(name))
    }

    /// Removes a directory outside of the data directory, which nobody would connect with this server. Postgres has
    /// removed its files. After a crash, the next start uses the directory again.
    pub fn remove_if_outside(&self) {
        if self.is_outside
            && let Err(error) = fs::remove_dir(&self.directory)
        {
            tracing::warn!(%error, directory = %self.directory.display(), "cannot remove the directory of the socket");
        }
    }

    /// A connection URL for libpq.
    pub fn url(&self) -> String {
        url(&self.directory)
    }
}

/// A connection URL for the socket in `directory`.
pub fn url(directory: &Path) -> String {
    let host = percent_encode(directory.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    format!("postgresql://{NAME}@/{NAME}?host={host}&port={PORT}")
}

/// Whether Postgres and libpq accept the name of a socket in this directory.
fn usable(directory: &Path) -> bool {
    let path = directory.as_os_str().as_bytes();
    // Postgres gets the fallback directory as the text of a setting.
    path.len() + "/.s.PGSQL.".len() + PORT.len() <= SOCKET_PATH_LIMIT && !path.contains(&b',')
}

/// Creates a directory with mode 0700 for the user who runs Postgres, or checks that it is one.
fn private_directory(path: &Path, launcher: &Launcher) -> Result<(), ManagedError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return launcher.give(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(ManagedError::SocketDirectory(format!("{} cannot be created: {error}", path.display())));
        }
    }
    let refuse = |problem: String| ManagedError::SocketDirectory(format!("{} {problem}", path.display()));
    let found = fs::symlink_metadata(path).map_err(|error| refuse(error.to_string()))?;
    let mode = found.permissions().mode() & 0o777;
    if !found.is_dir() {
        return Err(refuse("is not a directory".to_owned()));
    }
    if found.uid() != launcher.uid() && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse(format!("belongs to another user (id {})", found.uid())));
    }
    if mode != 0o700 {
        return Err(refuse(format!("has mode {mode:04o} and must have mode 0700")));
    }
    // Root may have been interrupted between creating the directory and giving it away.
    if found.uid() == launcher.uid() { Ok(()) } else { launcher.give(path) }
}

fn check(step: &'static str, output: &Output) -> Result<(), ManagedError> {
    if output.status.success() { Ok(()) } else { Err(ManagedError::InitDb { step, output: said(output) }) }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    format!("{} ({})", last_lines(&text, 8), output.status)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect::<Vec<_>>().join("\n")
}

/// The contents of `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// The process id.
    pub pid: i32,
    /// The directory of the first socket, as Postgres was told.
    pub socket: PathBuf,
    /// Whether Postgres accepts connections.
    pub ready: bool,
}

impl PidFile {
    pub fn path(cluster: &Path) -> PathBuf {
        cluster.join("postmaster.pid")
    }

    /// Reads the file, if it exists and is valid.
    pub fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read(Self::path(cluster)).ok()?)
    }

    /// The lines are: process id, data directory, start time, port, socket directory, listen address, shared memory,
    /// status (from `miscadmin.h` of PostgreSQL, the same since version 10).
    fn parse(text: &[u8]) -> Option<Self> {
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        // The stand-alone backend writes its process id as a negative number.
        let pid: i32 = std::str::from_utf8(lines.first()?).ok()?.trim().parse().ok()?;
        Some(Self {
            pid: pid.checked_abs().filter(|pid| *pid > 0)?,
            socket: lines.get(4).map(|line| PathBuf::from(OsStr::from_bytes(line))).unwrap_or_default(),
            ready: lines.get(7).is_some_and(|status| status.trim_ascii() == b"ready"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_parsed_line_by_line() {
        let text = b"8473\n/data/cluster\n1795449264\n5432\n../socket\n\n 10035207         6\nready   \n";
        let expected = PidFile { pid: 8473, socket: PathBuf::from("../socket"), ready: true };
        assert_eq!(PidFile::parse(text), Some(expected));
        let starting = PidFile::parse(b"8473\n/data/cluster\n1795449264\n5432\n").unwrap();
        assert!(!starting.ready);
        assert_eq!(PidFile::parse(b"-12\n").unwrap().pid, 12);
        for garbage in [&b""[..], b"0\n", b"abc\n", b"\xff\n", b"-2147483648\n"] {
            assert_eq!(PidFile::parse(garbage), None);
        }
    }

    #[test]
    fn a_database_url_can_contain_any_path() {
        assert_eq!(
            url(Path::new("/a b/100%/x&y")),
            "postgresql://packhouse@/packhouse?host=%2Fa%20b%2F100%25%2Fx%26y&port=5432"
        );
    }

    #[test]
    fn long_paths_and_paths_with_commas_are_not_used_for_sockets() {
        assert!(usable(Path::new("/var/lib/packhouse/postgres/socket")));
        assert!(!usable(Path::new("/a,b")));
        assert!(!usable(&Path::new("/").join("x".repeat(100))));
    }

    #[test]
    fn a_long_log_is_rotated_and_a_short_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::below(temp.path()).unwrap();
        files.make_directory().unwrap();
        let mut log = files.open_log().unwrap();
        log.write_all(b"short\n").unwrap();
        files.bound_log();
        assert_eq!(files.log_tail(0), "short");
        log.set_len(LOG_LIMIT + 1).unwrap();
        files.bound_log();
        log.write_all(b"new\n").unwrap();
        assert_eq!(fs::read(&files.log).unwrap(), b"new\n");
        assert_eq!(fs::metadata(files.directory.join("postgres.log.1")).unwrap().len(), LOG_LIMIT + 1);
    }
}
