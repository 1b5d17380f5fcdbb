//! Leftovers of an earlier start: live processes, and files that name dead ones.
//!
//! A process id in `postmaster.pid` proves nothing: the process may be a zombie that nobody reaps, or the number may
//! belong to another program by now, and in both cases Postgres would refuse to start. A process belongs to the cluster
//! if it is a `postgres` whose working directory is the cluster's.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{Files, PidFile, Socket};
use super::error::ManagedError;

/// How long a shutdown with a checkpoint may take. After that, the next start replays the log, which loses nothing.
pub const FAST_SHUTDOWN: Duration = Duration::from_secs(30);

/// Backends notice within milliseconds that their postmaster is gone, unless they are busy.
const ORPHANS_LEAVE: Duration = Duration::from_millis(300);

const AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// Ends every process of an earlier start and removes the files that would prevent Postgres from starting.
///
/// The caller holds the lock of the private Postgres, so no other server can be using it.
///
/// # Errors
/// [`ManagedError::WillNotEnd`], or when a file cannot be removed.
pub fn clear(files: &Files, uid: u32, socket: &Socket) -> Result<(), ManagedError> {
    if !Path::new("/proc/self").exists() {
        // Without `/proc` no process can be identified: Postgres's own, more cautious checks have to do.
        return Ok(());
    }
    let owned = |pid: &i32| belongs(*pid, files, uid);
    let postmaster = PidFile::read(&files.cluster).map(|file| file.pid).filter(owned);
    if let Some(pid) = postmaster {
        tracing::info!(pid, "stopping the private Postgres that an earlier server left running");
        signal(&[pid], Signal::INT);
        if !gone(&[pid], FAST_SHUTDOWN, owned) {
            signal(&[pid], Signal::QUIT);
            gone(&[pid], AFTER_SIGNAL, owned);
        }
    }
    let mut rest = living(files, uid);
    if !rest.is_empty() && !gone(&rest, ORPHANS_LEAVE, owned) {
        // They share memory only with each other, and it is lost already, so killing them costs nothing.
        for kind in [Signal::QUIT, Signal::KILL] {
            rest = living(files, uid);
            tracing::warn!(pids = ?rest, signal = ?kind, "ending processes of an earlier private Postgres");
            signal(&rest, kind);
            if gone(&rest, AFTER_SIGNAL, owned) {
                break;
            }
        }
        rest = living(files, uid);
        if !rest.is_empty() {
            return Err(ManagedError::WillNotEnd { directory: files.cluster.clone(), pids: rest });
        }
    }
    let [socket, socket_lock] = socket.files();
    for path in [PidFile::path(&files.cluster), socket, socket_lock] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ManagedError::io("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every process of the cluster.
fn living(files: &Files, uid: u32) -> Vec<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| belongs(*pid, files, uid))
        .collect()
}

/// Whether the process is a live `postgres` of this cluster. A zombie has no working directory any longer.
pub fn belongs(pid: i32, files: &Files, uid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    // An administrator's shell may have its working directory there.
    if fs::read(process.join("comm")).is_ok_and(|name| name.trim_ascii() != b"postgres") {
        return false;
    }
    match (fs::metadata(process.join("cwd")), fs::metadata(&files.cluster)) {
        (Ok(its), Ok(ours)) => its.dev() == ours.dev() && its.ino() == ours.ino(),
        // Root in a container may lack CAP_SYS_PTRACE: use the process's owner and the name we gave it.
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::metadata(&process).is_ok_and(|process| process.uid() == uid)
                && fs::read(process.join("cmdline"))
                    .is_ok_and(|line| line.windows(files.tag.len()).any(|part| part == files.tag.as_bytes()))
        }
        _ => false,
    }
}

fn signal(pids: &[i32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        // The process may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Waits until none of these processes is left.
fn gone(pids: &[i32], limit: Duration, owned: impl Fn(&i32) -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while pids.iter().any(&owned) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    true
}
