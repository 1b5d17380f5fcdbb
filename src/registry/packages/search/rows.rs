//! The rows that a search walks over.

use crate::db::schema::{owners, packages as packages_table, versions};
use diesel::dsl::Eq;
use diesel::helper_types::InnerJoinQuerySource;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// The kind of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// A version that matches.
    Versions,
    /// A package in which something matches, at the position of its last version.
    Packages,
}

pub(super) type Source = InnerJoinQuerySource<
    InnerJoinQuerySource<versions::table, packages_table::table>,
    owners::table,
    Eq<owners::id, versions::owner_id>,
>;
pub(super) type Condition = Box<dyn BoxableExpression<Source, Pg, SqlType = Bool>>;
