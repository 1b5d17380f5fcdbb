//! The private Postgres: a server of our own in the data directory, for those who name no other.
//!
//! It listens on a Unix socket only, lives as long as this process and no longer, and comes back by itself, both when
//! it dies while the server runs and after either process, or both, were killed. Nothing is downloaded: the binaries
//! are those of the system.
//!
//! One thread, the supervisor, starts Postgres, watches it and stops it. `PR_SET_PDEATHSIG`, by which Postgres ends
//! with a killed server, follows the thread that started it, and so this must be one that ends with the server only.

mod cluster;
mod error;
mod install;
mod launch;
mod options;
mod stale_process;

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::lock::lock_soon;
use cluster::{Files, PidFile, Socket};
pub use error::ManagedError;
use install::Install;
use launch::{Launcher, Reach};
pub use options::ManagedOptions;

/// How often the supervisor looks whether Postgres still lives.
const WATCH: Duration = Duration::from_millis(100);

/// How often a starting Postgres is asked whether it is ready: a start takes some 30 ms.
const READY_POLL: Duration = Duration::from_millis(2);

/// How long a start may take. Replaying the log after a crash is bounded by `max_wal_size`: seconds on a slow disk.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// The longest pause between two attempts to bring a dead Postgres back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A Postgres that lived this long was well: the next death starts again with the shortest pause.
const HEALTHY: Duration = Duration::from_secs(30);

/// A running private Postgres. It is stopped when this is dropped.
#[derive(Debug)]
pub struct ManagedPostgres {
    url: String,
    bin_dir: PathBuf,
    /// Closing it tells the supervisor to stop.
    control: Option<Sender<Infallible>>,
    supervisor: Option<JoinHandle<()>>,
    _lock: File,
}

impl ManagedPostgres {
    /// Starts the private Postgres of a data directory and waits until it answers; makes it the first time.
    ///
    /// Whatever an earlier, killed server left running is stopped first. May be called from any thread.
    ///
    /// # Errors
    /// Every one says in words what is missing and what to do. Nothing half-made is left.
    pub fn start(options: &ManagedOptions) -> Result<Self, ManagedError> {
        let began = Instant::now();
        let files = Files::below(&options.data_dir).map_err(ManagedError::io("open", &options.data_dir))?;
        files.make_directory()?;
        let lock = lock(&files)?;
        let plan = Plan::prepare(options, files)?;
        let (url, bin_dir) = (plan.socket.url(), plan.install.bin_dir.clone());
        let (control, orders) = mpsc::channel();
        let (report, ready) = mpsc::sync_channel(1);
        let supervisor = thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || match plan.launch(&orders) {
                Ok(child) => {
                    let _ = report.send(Ok(()));
                    plan.supervise(child, &orders);
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            })
            .map_err(ManagedError::io("start a thread for", &bin_dir))?;
        match ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(mpsc::RecvError) => {
                return Err(ManagedError::io("start", bin_dir)(std::io::Error::other("the supervisor panicked")));
            }
        }
        let start_ms = began.elapsed().as_millis();
        tracing::info!(start_ms, bin_dir = %bin_dir.display(), "private Postgres is ready");
        Ok(Self { url, bin_dir, control: Some(control), supervisor: Some(supervisor), _lock: lock })
    }

    /// The libpq connection URL of the database `packhouse`, as its superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the binaries are that run it: `pg_dump` of the same version is there too.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Stops it: open transactions are rolled back, everything committed is on the disk. Takes some 30 ms.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.control = None;
        if let Some(supervisor) = self.supervisor.take()
            && supervisor.join().is_err()
        {
            tracing::error!("the supervisor of the private Postgres panicked");
        }
    }
}

impl Drop for ManagedPostgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// The connection URL of the private Postgres that another process, the server, runs in this data directory right now.
pub fn running_url(data_dir: &Path) -> Option<String> {
    let files = Files::below(data_dir).ok()?;
    let found = PidFile::read(&files.cluster).filter(|found| found.ready)?;
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&files.cluster).ok()?);
    if !stale_process::belongs(found.pid, &files, owner) {
        return None;
    }
    // Relative to the cluster, if it is in the data directory.
    let socket = std::fs::canonicalize(files.cluster.join(found.socket)).ok()?;
    Some(cluster::url(&socket))
}

/// Two servers would take each other's Postgres for one that a killed server left, and stop it.
fn lock(files: &Files) -> Result<File, ManagedError> {
    let path = files.directory.join("lock");
    let file = files.open_own(&path, OpenOptions::new().write(true))?;
    match lock_soon(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(ManagedError::InUse(files.directory.clone())),
        Err(error) => Err(ManagedError::io("lock", path)(error)),
    }
}

/// Everything that a start, and a restart, needs.
struct Plan {
    files: Files,
    install: Install,
    launcher: Launcher,
    reach: Reach,
    socket: Socket,
    settings: Vec<(String, String)>,
}

impl Plan {
    fn prepare(options: &ManagedOptions, files: Files) -> Result<Self, ManagedError> {
        let version = files.version()?;
        let mut launcher = Launcher::new(options, &files.cluster)?;
        let install = Install::find(options, &mut launcher, version, &files.cluster)?;
        let reach = launcher.reach(&files.directory, &install.program("postgres"))?;
        if version.is_none() {
            tracing::info!(postgres = install.major, directory = %files.cluster.display(), "making a private Postgres");
            files.make_cluster(&launcher, &install, &reach)?;
        }
        let socket = files.socket(options, &launcher)?;
        Ok(Self { files, install, launcher, reach, socket, settings: options.settings.clone() })
    }

    /// Clears what is left of an earlier one, starts Postgres and waits until it is ready.
    fn launch(&self, orders: &Receiver<Infallible>) -> Result<Child, ManagedError> {
        stale_process::clear(&self.files, self.launcher.uid(), &self.socket)?;
        let log = self.files.open_log()?;
        let offset = log.metadata().map(|log| log.len()).unwrap_or_default();
        let postgres = self.install.program("postgres");
        let mut child = self
            .launcher
            .dying_command(&postgres, "INT")
            .arg("-D")
            .arg(self.reach.path.join("cluster"))
            .args(self.files.arguments(self.install.major, &self.socket, &self.settings))
            .stdout(Stdio::from(log.try_clone().map_err(ManagedError::io("share", &self.files.log))?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(ManagedError::io("run", &postgres))?;
        match self.await_ready(&mut child, orders) {
            Ok(()) => Ok(child),
            Err(problem) => {
                end(&mut child);
                let (log, tail) = (self.files.log.clone(), self.files.log_tail(offset));
                Err(ManagedError::NotReady { problem, log, tail })
            }
        }
    }

    /// Postgres writes its state into `postmaster.pid`; the socket is there before it can answer.
    fn await_ready(&self, child: &mut Child, orders: &Receiver<Infallible>) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended with {status}"));
            }
            let found = PidFile::read(&self.files.cluster);
            if found.is_some_and(|found| found.ready && u32::try_from(found.pid) == Ok(child.id())) {
                return Ok(());
            }
            if began.elapsed() > READY_LIMIT {
                return Err(format!("it was not ready after {} seconds", READY_LIMIT.as_secs()));
            }
            if told_to_stop(orders, READY_POLL) {
                return Err("it was stopped before it was ready".to_owned());
            }
        }
    }

    /// Keeps Postgres running until the other end of `orders` is closed, then stops it.
    fn supervise(&self, mut child: Child, orders: &Receiver<Infallible>) {
        loop {
            let since = Instant::now();
            let Some(status) = self.watch(&mut child, orders) else { return end(&mut child) };
            let lived = since.elapsed();
            tracing::error!(%status, log = %self.files.log.display(), "private Postgres died; starting it again");
            let mut pause = if lived > HEALTHY { Duration::ZERO } else { WATCH };
            child = loop {
                if told_to_stop(orders, pause) {
                    return;
                }
                match self.launch(orders) {
                    Ok(child) => break child,
                    Err(error) => {
                        pause = (pause * 2).clamp(WATCH, LONGEST_PAUSE);
                        tracing::error!(%error, retry_ms = pause.as_millis(), "private Postgres does not come back");
                    }
                }
            };
            tracing::info!(pid = child.id(), "private Postgres is back");
        }
    }

    /// Waits for Postgres to end and gives its status, or `None` when it is to be stopped.
    fn watch(&self, child: &mut Child, orders: &Receiver<Infallible>) -> Option<ExitStatus> {
        let mut turns = 0_u32;
        while !told_to_stop(orders, WATCH) {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "cannot watch the private Postgres"),
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(100) {
                self.files.bound_log();
            }
        }
        None
    }
}

/// Waits so long for the order to stop.
fn told_to_stop(orders: &Receiver<Infallible>, wait: Duration) -> bool {
    matches!(orders.recv_timeout(wait), Err(RecvTimeoutError::Disconnected))
}

/// Stops Postgres: fast (rolls back, writes everything out), then at once (the next start replays the log), then hard.
fn end(child: &mut Child) {
    let stages = [
        (Signal::INT, stale_process::FAST_SHUTDOWN),
        (Signal::QUIT, Duration::from_secs(5)),
        (Signal::KILL, Duration::from_secs(5)),
    ];
    for (signal, limit) in stages {
        let deadline = Instant::now() + limit;
        // Not reaped yet, so the number is still this child's.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => thread::sleep(READY_POLL),
                Ok(Some(status)) => {
                    tracing::info!(%status, "private Postgres stopped");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot wait for the private Postgres");
                    return;
                }
            }
        }
        tracing::warn!(?signal, limit_ms = limit.as_millis(), "private Postgres does not stop");
    }
}
