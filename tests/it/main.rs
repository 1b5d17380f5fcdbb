//! The tests that enter by the front door: one binary, because each costs a link.

mod download;
mod managed_postgres;
mod storage;
mod storage_faults;
