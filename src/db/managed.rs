//! The private Postgres: a database server in the data directory, for instances that configure no other.
//!
//! It listens on a Unix socket only, lives exactly as long as this process, and restarts by itself, both when it dies
//! while the server runs and after either process, or both, were killed. Nothing is downloaded: it runs the system's
//! binaries.
//!
//! One thread, the supervisor, starts, watches and stops Postgres. `PR_SET_PDEATHSIG`, which ends Postgres when the
//! server is killed, follows the thread that started it, so this thread must live as long as the server.

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

/// How often the supervisor checks that Postgres is alive.
const WATCH: Duration = Duration::from_millis(100);

/// How often a starting Postgres is polled for readiness: a start takes some 30 ms.
const READY_POLL: Duration = Duration::from_millis(2);

/// How long a start may take. Replaying the log after a crash is bounded by `max_wal_size`: seconds on a slow disk.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// The longest pause between two attempts to restart a dead Postgres.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After this lifetime a Postgres counts as healthy: its death starts again with the shortest pause.
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
    /// Starts the private Postgres of a data directory, creates its cluster the first time, and waits until it answers.
    ///
    /// It first stops everything that an earlier, killed server left running. It can be called from any thread.
    ///
    /// # Errors
    /// Every error says what is missing and what to do. No partial state remains.
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
                    plan.socket.remove_if_outside();
                }
                Err(error) => {
                    plan.socket.remove_if_outside();
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
        tracing::info!(start_ms, bin_dir = %bin_dir.display(), "the private Postgres is ready");
        Ok(Self { url, bin_dir, control: Some(control), supervisor: Some(supervisor), _lock: lock })
    }

    /// The libpq connection URL of the database `packhouse`, as its superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory of the binaries in use: `pg_dump` of the same version is there too.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Stops Postgres: open transactions are rolled back, everything committed is on the disk. This takes some 30 ms.
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

/// The connection URL of the private Postgres that another process, the server, is running in this data directory.
pub fn running_url(data_dir: &Path) -> Option<String> {
    let files = Files::below(data_dir).ok()?;
    let found = PidFile::read(&files.cluster).filter(|found| found.ready)?;
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&files.cluster).ok()?);
    if !stale_process::belongs(found.pid, &files, owner) {
        return None;
    }
    // The path is relative to the cluster if it is in the data directory.
    let socket = std::fs::canonicalize(files.cluster.join(found.socket)).ok()?;
    Some(cluster::url(&socket))
}

/// Without this lock, two servers would take each other's Postgres for a leftover of a killed server, and stop it.
fn lock(files: &Files) -> Result<File, ManagedError> {
    let path = files.directory.join("lock");
    let file = files.open_own(&path, OpenOptions::new().write(true))?;
    match lock_soon(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(ManagedError::InUse(files.directory.clone())),
        Err(error) => Err(ManagedError::io("lock", path)(error)),
    }
}

/// Everything that a start and a restart need.
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
            let directory = files.cluster.display();
            tracing::info!(postgres = install.major, %directory, "creating a private Postgres");
            files.make_cluster(&launcher, &install, &reach)?;
        }
        let socket = files.socket(options, &launcher)?;
        Ok(Self { files, install, launcher, reach, socket, settings: options.settings.clone() })
    }

    /// Removes what an earlier Postgres left, starts Postgres and waits until it is ready.
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

    /// Waits until Postgres writes "ready" into `postmaster.pid`. The socket exists before it can answer.
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
            tracing::error!(%status, log = %self.files.log.display(), "the private Postgres died; restarting it");
            let mut pause = if lived > HEALTHY { Duration::ZERO } else { WATCH };
            child = loop {
                if told_to_stop(orders, pause) {
                    return;
                }
                match self.launch(orders) {
                    Ok(child) => break child,
                    Err(error) => {
                        pause = (pause * 2).clamp(WATCH, LONGEST_PAUSE);
                        tracing::error!(%error, retry_ms = pause.as_millis(), "the private Postgres does not restart");
                    }
                }
            };
            tracing::info!(pid = child.id(), "the private Postgres is running again");
        }
    }

    /// Waits for Postgres to end and returns its status, or `None` when it must be stopped.
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

/// Waits up to `wait` for the order to stop.
fn told_to_stop(orders: &Receiver<Infallible>, wait: Duration) -> bool {
    matches!(orders.recv_timeout(wait), Err(RecvTimeoutError::Disconnected))
}

/// Stops Postgres in steps: fast (rolls back, writes everything out), then immediate (the next start replays the log),
/// then by a kill.
fn end(child: &mut Child) {
    let stages = [
        (Signal::INT, stale_process::FAST_SHUTDOWN),
        (Signal::QUIT, Duration::from_secs(5)),
        (Signal::KILL, Duration::from_secs(5)),
    ];
    for (signal, limit) in stages {
        let deadline = Instant::now() + limit;
        // The child is not reaped yet, so the process id is still its own.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => thread::sleep(READY_POLL),
                Ok(Some(status)) => {
                    tracing::info!(%status, "the private Postgres stopped");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot wait for the private Postgres");
                    return;
                }
            }
        }
        tracing::warn!(?signal, limit_ms = limit.as_millis(), "the private Postgres does not stop");
    }
}
