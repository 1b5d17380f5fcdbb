//! Starting PostgreSQL's programs as the right user.
//!
//! Postgres refuses to run as root, so root starts it as another user. That user often cannot traverse the path to the
//! data directory (root's home has mode 0700, and people first try a server there). They need not: a process can
//! inherit the open directory as a file descriptor, and `/proc/self/fd/N` leads straight into it. The start is refused
//! only when that fails too.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::ManagedError;
use super::options::ManagedOptions;

/// The directories of system programs, whatever the caller's own `PATH` is.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A system user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// For messages.
    pub name: String,
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// Starts programs as the right user, in a clean environment.
#[derive(Debug)]
pub struct Launcher {
    /// The user to become; `None` keeps the current one.
    account: Option<Account>,
    /// util-linux's `setpriv`, if it exists and knows `--pdeathsig`.
    setpriv: Option<PathBuf>,
    setpriv_tried: bool,
    search_path: Vec<PathBuf>,
}

impl Launcher {
    /// Chooses the user to run as: the current user, or for root the owner of the existing cluster, or the user
    /// `postgres`.
    ///
    /// # Errors
    /// [`ManagedError::NoPostgresUser`].
    pub fn new(options: &ManagedOptions, cluster: &Path) -> Result<Self, ManagedError> {
        let mut search_path = options.search_path.clone();
        search_path.extend(SYSTEM_PATH.split(':').map(PathBuf::from));
        let mut launcher = Self { account: None, setpriv: None, setpriv_tried: false, search_path };
        if !rustix::process::geteuid().is_root() {
            return Ok(launcher);
        }
        let owner = fs::metadata(cluster).ok().filter(|cluster| cluster.uid() != 0);
        launcher.account = Some(match owner {
            Some(owner) => launcher.account(&owner.uid().to_string()).unwrap_or_else(|| Account {
                name: owner.uid().to_string(),
                uid: owner.uid(),
                gid: owner.gid(),
            }),
            None => launcher.account("postgres").filter(|found| found.uid != 0).ok_or(ManagedError::NoPostgresUser)?,
        });
        Ok(launcher)
    }

    /// The user the programs run as.
    pub fn uid(&self) -> u32 {
        self.account.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// Whether programs run as another user than this process.
    pub fn changes_user(&self) -> bool {
        self.account.is_some()
    }

    /// Looks up a name or a number in the password database.
    pub fn account(&self, key: &str) -> Option<Account> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Some(found) = passwd.lines().find_map(|line| parse_account(line, key)) {
            return Some(found);
        }
        // Users from LDAP and similar sources are not in the file.
        let getent = self.find_program("getent")?;
        let output = Command::new(getent).args(["passwd", key]).stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().find_map(|line| parse_account(line, key))
    }

    fn find_program(&self, name: &str) -> Option<PathBuf> {
        self.search_path.iter().map(|dir| dir.join(name)).find(|path| path.is_file())
    }

    /// A command as the right user, shielded from the terminal's signals: Ctrl-C is for the server, which stops
    /// Postgres after its last request.
    ///
    /// The environment is emptied, because `PGPORT`, `PGOPTIONS` and others would change what Postgres does. The
    /// working directory is `/`: until version 15, Postgres leaves its working directory at the start and must be able
    /// to return to it, which the user `postgres` often could not.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", SYSTEM_PATH).env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).process_group(0);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// As [`Launcher::command`], and the program gets `signal` (`INT`, `KILL`) when the thread that spawned it ends.
    ///
    /// A change of the user clears `PR_SET_PDEATHSIG`, so `setpriv` sets it afterwards. It then becomes the program by
    /// `exec`, under the same process id. Without `setpriv` (it is essential on Debian; BusyBox's version on Alpine
    /// lacks the option) the program outlives a killed parent, and the next start ends it.
    pub fn dying_command(&self, program: &Path, signal: &str) -> Command {
        match &self.setpriv {
            Some(setpriv) => {
                let mut command = self.command(setpriv);
                command.args(["--pdeathsig", signal, "--"]).arg(program);
                command
            }
            None => self.command(program),
        }
    }

    /// Runs `program argument` as the user it will run as and returns its output. This also finds out whether `setpriv`
    /// works.
    ///
    /// # Errors
    /// Why it could not run: not found, or no permission for that user.
    pub fn try_out(&mut self, program: &Path, argument: &str) -> io::Result<String> {
        if !self.setpriv_tried {
            self.setpriv = self.find_program("setpriv");
            let output = self.setpriv.is_some().then(|| self.dying_command(program, "KILL").arg(argument).output());
            if let Some(Ok(output)) = output
                && output.status.success()
            {
                self.setpriv_tried = true;
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            self.setpriv = None;
        }
        let output = self.command(program).arg(argument).output()?;
        // Only a program that runs without `setpriv` proves that `setpriv` was what failed.
        self.setpriv_tried = output.status.success();
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The path by which the programs reach `directory`.
    ///
    /// # Errors
    /// [`ManagedError::Unreachable`], with the directory that blocks the way.
    pub fn reach(&self, directory: &Path, program: &Path) -> Result<Reach, ManagedError> {
        let Some(account) = &self.account else {
            return Ok(Reach { path: directory.to_owned(), _open: None });
        };
        let enters =
            |path: &Path| self.command(program).arg("--version").current_dir(path).output().map(|output| output.status);
        if enters(directory).is_ok() {
            return Ok(Reach { path: directory.to_owned(), _open: None });
        }
        let open = File::open(directory).map_err(ManagedError::io("open", directory))?;
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty())
            .map_err(|error| ManagedError::io("open", directory)(error.into()))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        match enters(&path) {
            Ok(_) => Ok(Reach { path, _open: Some(open) }),
            Err(error) => Err(ManagedError::Unreachable {
                user: account.name.clone(),
                directory: directory.to_owned(),
                reason: obstacle(directory, account).unwrap_or_else(|| error.to_string()),
            }),
        }
    }

    /// Gives a file to the user the programs run as. Symbolic links are not followed.
    ///
    /// # Errors
    /// As `lchown`.
    pub fn give(&self, path: &Path) -> Result<(), ManagedError> {
        match &self.account {
            Some(account) => std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid))
                .map_err(ManagedError::io("change the owner to the user who runs Postgres for", path)),
            None => Ok(()),
        }
    }
}

/// The path of a directory for the programs, valid while this lives.
#[derive(Debug)]
pub struct Reach {
    /// The directory's own path, or `/proc/self/fd/N`.
    pub path: PathBuf,
    _open: Option<File>,
}

/// The first directory on the path that `account` may not traverse, judged by its mode alone.
pub fn obstacle(directory: &Path, account: &Account) -> Option<String> {
    let mut ancestors: Vec<_> = directory.ancestors().collect();
    ancestors.reverse();
    ancestors.into_iter().find_map(|dir| {
        let metadata = fs::metadata(dir).ok()?;
        let mode = metadata.permissions().mode();
        let shift = match (metadata.uid() == account.uid, metadata.gid() == account.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (mode >> shift & 1 == 0).then(|| format!("{} has mode {:04o}", dir.display(), mode & 0o7777))
    })
}

/// Parses a line of the password database, if it belongs to the user `key` (a name or a number).
fn parse_account(line: &str, key: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?;
    let gid = fields.next()?;
    (name == key || uid == key).then_some(())?;
    Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_or_user_id() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        let account = Account { name: "postgres".to_owned(), uid: 101, gid: 104 };
        assert_eq!(parse_account(line, "postgres"), Some(account.clone()));
        assert_eq!(parse_account(line, "101"), Some(account));
        assert_eq!(parse_account(line, "104"), None);
        assert_eq!(parse_account("garbage", "garbage"), None);
    }

    #[test]
    fn the_unreachable_directory_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let closed = temp.path().join("closed");
        fs::create_dir_all(closed.join("data")).unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".to_owned(), uid: 54_321, gid: 54_321 };
        let reason = obstacle(&closed.join("data"), &stranger).unwrap();
        assert!(reason.ends_with("closed has mode 0700"), "{reason}");
    }
}
