//! The reasons why the private Postgres cannot run, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the private Postgres does not run.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// No server binaries were found.
    #[error(
        "no PostgreSQL server was found on this machine (looked for `postgres` and `initdb` in {looked_in}); install \
         PostgreSQL {minimum} or later (Debian and Ubuntu: `apt install postgresql`; Fedora: `dnf install \
         postgresql-server`; Alpine: `apk add postgresql`), or name a running server in DATABASE_URL"
    )]
    NoBinaries {
        /// The directories that were searched, for people.
        looked_in: String,
        /// The oldest supported major version.
        minimum: u32,
    },
    /// The configured directory is wrong. It is an order, not a hint: no other directory is tried.
    #[error("the configured directory of PostgreSQL's binaries, {}, cannot be used: {problem}", .bin_dir.display())]
    BinDir {
        /// As configured.
        bin_dir: PathBuf,
        /// The reason, for people.
        problem: String,
    },
    /// All installed versions are older than the oldest supported one.
    #[error(
        "PostgreSQL {minimum} or later is needed, and this machine has only {found}; install a newer one, or name a \
         running server in DATABASE_URL"
    )]
    TooOld {
        /// The installed versions.
        found: String,
        /// The oldest supported major version.
        minimum: u32,
    },
    /// Only one major version can read the cluster's files, and it is not installed.
    #[error(
        "the private Postgres in {} was created by PostgreSQL {cluster}, and only {found} is installed; install \
         version {cluster} beside it (Debian and Ubuntu: `apt install postgresql-{cluster}`, if necessary from \
         apt.postgresql.org; Fedora: `dnf install postgresql{cluster}-server`; Alpine: `apk add \
         postgresql{cluster}`); to move to a newer version, make a backup and restore it into a new data directory",
        .directory.display()
    )]
    WrongVersion {
        directory: PathBuf,
        /// The major version that created it.
        cluster: u32,
        /// The installed versions.
        found: String,
    },
    /// Root cannot run Postgres, and there is no other user to run it as.
    #[error(
        "Postgres refuses to run as root, and this machine has no user `postgres` to run it as; create one (`useradd \
         --system postgres`), or start packhouse as an ordinary user, or name a running server in DATABASE_URL"
    )]
    NoPostgresUser,
    /// `initdb` requires the name of the user it runs as.
    #[error(
        "this process runs as user id {0}, which has no entry in the password database, and PostgreSQL's initdb \
         refuses to run for a user without a name; add the entry to /etc/passwd (in a container, when the image is \
         built), or run as a user with an entry, or name a running server in DATABASE_URL"
    )]
    NoPasswdEntry(u32),
    /// The unprivileged user cannot reach the files on any path.
    #[error(
        "Postgres refuses to run as root, and the user `{user}`, as whom it would run, cannot reach {}: {reason}; \
         put the data directory elsewhere (for example /var/lib/packhouse), or start packhouse as an ordinary \
         user, or name a running server in DATABASE_URL", .directory.display()
    )]
    Unreachable {
        /// The user who would run it.
        user: String,
        /// The directory that the user must reach.
        directory: PathBuf,
        /// The directory that blocks the way, and its mode.
        reason: String,
    },
    /// Another process is running, or starting, this private Postgres.
    #[error("another packhouse server is using the private Postgres in {}: stop it first", .0.display())]
    InUse(PathBuf),
    /// No directory can hold the socket.
    #[error("no directory can hold the private Postgres's socket: {0}")]
    SocketDirectory(String),
    /// Processes of an earlier server do not end.
    #[error(
        "processes of an earlier private Postgres in {} do not end, even when killed: {pids:?}", .directory.display()
    )]
    WillNotEnd {
        /// The cluster's directory.
        directory: PathBuf,
        pids: Vec<i32>,
    },
    /// `initdb`, or a step after it, failed; nothing was kept.
    #[error("PostgreSQL's {step} failed: {output}")]
    InitDb {
        /// The program that failed.
        step: &'static str,
        /// The end of its output.
        output: String,
    },
    /// Postgres was started and did not become ready.
    #[error("the private Postgres did not start: {problem}; the end of {}:\n{tail}", .log.display())]
    NotReady {
        /// The observed problem.
        problem: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines since this start.
        tail: String,
    },
    /// An operating system error.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// The attempted action, as a verb.
        doing: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ManagedError {
    /// Turns an I/O error into [`ManagedError::Io`]: `.map_err(ManagedError::io("open", path))`.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
