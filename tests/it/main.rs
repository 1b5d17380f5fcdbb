//! The tests that enter by the front door, in one binary.

mod download;
mod storage;
mod storage_faults;
