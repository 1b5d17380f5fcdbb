//! The tests that enter by the front door: one binary, because each costs a link.

mod backup;
mod check;
mod cli;
mod crashes;
mod download;
mod managed_postgres;
mod program;
mod storage;
mod storage_faults;
