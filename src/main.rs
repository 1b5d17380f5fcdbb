//! The program `packhouse`.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    packhouse::cli::run(packhouse::cli::Cli::parse())
}
