//! The output of commands, and the secret they read.

use anyhow::Result;
use std::io::Write as _;

/// Prints a line to standard output: the result of the command.
pub(super) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Prints a line to standard error.
pub(super) fn complain(line: &str) {
    // If even this fails, nobody can be told.
    let _ = writeln!(std::io::stderr().lock(), "packhouse: {line}");
}

/// Reads one line from standard input. Secrets are never arguments, because other users could see those.
pub(super) fn secret_from_stdin(what: &str) -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "standard input has no {what}: send it as one line");
    Ok(line.to_owned())
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}
