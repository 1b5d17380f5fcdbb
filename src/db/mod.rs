//! The database: for now the private Postgres alone.
pub mod managed;
