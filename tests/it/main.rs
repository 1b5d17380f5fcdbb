//! Everything that needs more than one module: one binary, because a test binary costs a link.
mod managed_postgres;
