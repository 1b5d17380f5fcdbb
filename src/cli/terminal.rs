//! What a command says, and the secret it is given.

use anyhow::Result;
use std::io::Write as _;

/// A line on standard output: what the command was asked for.
pub(super) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A line on standard error.
pub(super) fn complain(line: &str) {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "packhouse: {line}");
}

/// Reads one line from standard input: a secret never comes as an argument, where other users could see it.
pub(super) fn secret_from_stdin(what: &str) -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "standard input holds no {what}: give it as one line");
    Ok(line.to_owned())
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}
