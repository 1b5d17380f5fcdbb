//! Keeping the variables of libpq away from the private Postgres.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the program again, under the same process id, without the environment variables of libpq, if there are any:
/// `PGHOSTADDR`, `PGSERVICE`, `PGOPTIONS` and thirty others would lead connections to the private Postgres elsewhere or
/// change what they do, and some can't be overridden in a connection string. Returns only when there are none.
///
/// # Errors
/// If the program cannot be started again.
#[expect(clippy::disallowed_methods, reason = "config alone reads the environment")]
pub fn leave_libpq_variables() -> io::Result<()> {
    let is_libpq =
        |name: &str| name.strip_prefix("PG").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    let names: Vec<_> =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_libpq)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    // The link leads to the program even if its file was replaced since.
    let own = std::path::Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { std::env::current_exe()? };
    let mut command = Command::new(program);
    command.arg0(arguments.next().unwrap_or_default()).args(arguments);
    for name in names {
        command.env_remove(name);
    }
    Err(command.exec())
}
