//! What can keep the private Postgres from running, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the private Postgres does not run.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// No server binaries anywhere.
    #[error(
        "no PostgreSQL server was found on this machine (looked for `postgres` and `initdb` in {looked_in}); install \
         PostgreSQL {minimum} or later (Debian and Ubuntu: `apt install postgresql`; Fedora: `dnf install \
         postgresql-server`; Alpine: `apk add postgresql`), or name a running server in DATABASE_URL"
    )]
    NoBinaries {
        /// The places, for people.
        looked_in: String,
        /// The oldest major version that will do.
        minimum: u32,
    },
    /// The configured directory is wrong. It is an order, not a hint: nothing else is tried.
    #[error("the configured directory of PostgreSQL's binaries, {}, cannot be used: {problem}", .bin_dir.display())]
    BinDir {
        /// As configured.
        bin_dir: PathBuf,
        /// Why, in words.
        problem: String,
    },
    /// Only versions whose features we cannot rely on.
    #[error(
        "PostgreSQL {minimum} or later is needed, and this machine has only {found}; install a newer one, or name a \
         running server in DATABASE_URL"
    )]
    TooOld {
        /// What there is.
        found: String,
        /// The oldest major version that will do.
        minimum: u32,
    },
    /// The cluster's files can be read by one major version only, and it is not installed.
    #[error(
        "the private Postgres in {} was made by PostgreSQL {cluster}, and only {found} is installed; install version \
         {cluster} beside it (Debian and Ubuntu: `apt install postgresql-{cluster}`, if need be from \
         apt.postgresql.org; Fedora: `dnf install postgresql{cluster}-server`; Alpine: `apk add \
         postgresql{cluster}`), and to move to a newer one, make a backup and restore it into a new data directory",
        .directory.display()
    )]
    WrongVersion {
        /// The cluster's directory.
        directory: PathBuf,
        /// The major version that made it.
        cluster: u32,
        /// What is installed.
        found: String,
    },
    /// Root cannot run Postgres, and there is nobody to run it as.
    #[error(
        "Postgres refuses to run as root, and this machine has no user `postgres` to run it as; make one (`useradd \
         --system postgres`), or start packhouse as an ordinary user, or name a running server in DATABASE_URL"
    )]
    NoPostgresUser,
    /// `initdb` insists on knowing the name of who runs it.
    #[error(
        "this process runs as user id {0}, which has no entry in the password database, and PostgreSQL's initdb \
         refuses to work for a user without a name; add the entry to /etc/passwd (in a container, when the image is \
         built), or run as a user who has one, or name a running server in DATABASE_URL"
    )]
    NoPasswdEntry(u32),
    /// The unprivileged user cannot get to the files, by any road.
    #[error(
        "Postgres refuses to run as root, and the user `{user}`, as whom it would run, cannot get to {}: {reason}; \
         put the data directory elsewhere (/var/lib/packhouse, say), or start packhouse as an ordinary user, or name \
         a running server in DATABASE_URL", .directory.display()
    )]
    Unreachable {
        /// Who was to run it.
        user: String,
        /// What that user must reach.
        directory: PathBuf,
        /// The directory in the way, and its mode.
        reason: String,
    },
    /// Another process runs, or is starting, this private Postgres.
    #[error("another packhouse server is using the private Postgres in {}: stop it first", .0.display())]
    InUse(PathBuf),
    /// Nowhere to put the socket.
    #[error("there is no place for the private Postgres' socket: {0}")]
    SocketDirectory(String),
    /// What an earlier server left behind does not go away.
    #[error(
        "processes of an earlier private Postgres in {} do not end, even when killed: {pids:?}", .directory.display()
    )]
    WillNotEnd {
        /// The cluster's directory.
        directory: PathBuf,
        /// Their process ids.
        pids: Vec<i32>,
    },
    /// `initdb`, or a step that follows it, failed; nothing was kept.
    #[error("PostgreSQL's {step} failed: {output}")]
    InitDb {
        /// Which program.
        step: &'static str,
        /// The end of what it wrote.
        output: String,
    },
    /// Postgres was started and did not become ready.
    #[error("the private Postgres did not start: {problem}; the end of {}:\n{tail}", .log.display())]
    NotReady {
        /// What was seen.
        problem: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines of this start.
        tail: String,
    },
    /// The system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// What the system said.
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
