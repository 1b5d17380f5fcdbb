//! The directories of a version. A file's name may be a path, so directories exist by the files that are in them. A path
//! is never both a file and a directory.

use super::files::version_id;
use super::lookup::version_is;
use crate::db::schema::{blobs, files, packages as packages_table, versions as versions_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, OwnerId, VersionId};
use crate::domain::names::FileName;
use crate::domain::path::{FilePath, VersionPath};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanRead, shown};
use crate::registry::name_locks;
use crate::registry::pages::{ByAge, Page, Slice};
use crate::registry::sql_expression::sql_expression;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use std::collections::HashMap;

/// Files below a directory, by two bounds of their names that the index of paths is sorted by: `0` follows `/`.
fn bounds(directory: &FileName) -> (String, String) {
    let lower = directory.lower();
    (format!("{lower}/"), format!("{lower}0"))
}

/// Holds the places of a file and of its directories until the end of the transaction: nobody else creates a file at a
/// directory of it, or below it. Directories are shared, because many may publish into them at once. Everybody locks
/// from the outermost directory inwards, and before any blob, so nobody waits in a circle.
///
/// Only a statement after this one sees what others have created in the meantime.
///
/// # Errors
/// Database errors.
pub(super) fn hold(conn: &mut PgConnection, version: VersionId, file: &FileName) -> Result<()> {
    let place = |path: &str| format!("path {version} {path}");
    for directory in file.directories() {
        name_locks::share(conn, &place(&directory.to_lowercase()), 0)?;
    }
    name_locks::lock(conn, &place(&file.lower()), 0)
}

/// The name of a file that a new file cannot be beside.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// The column with the ID of the version.
    version: &'static str,
    directories: Vec<String>,
    from: String,
    to: String,
}

/// The name of a file that a new file cannot be beside: one at a directory of the new file, or below it. `version` is
/// the column with the ID of the version.
pub(super) fn obstacle(version: &'static str, file: &FileName) -> Obstacle {
    let (from, to) = bounds(file);
    Obstacle { version, directories: file.directories().map(str::to_lowercase).collect(), from, to }
}

sql_expression!(Obstacle: Nullable<Text>);

/// The text has the column, so statements are found by it.
impl QueryId for Obstacle {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Obstacle {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("coalesce((SELECT o.name FROM files o WHERE o.version_id = ");
        out.push_sql(self.version);
        out.push_sql(" AND o.lower_name = ANY (");
        out.push_bind_param::<Array<Text>, _>(&self.directories)?;
        out.push_sql(") LIMIT 1), (SELECT o.name FROM files o WHERE o.version_id = ");
        out.push_sql(self.version);
        out.push_sql(" AND position('/' IN o.lower_name) > 0 AND o.lower_name COLLATE \"C\" >= ");
        out.push_bind_param::<Text, _>(&self.from)?;
        out.push_sql(" AND o.lower_name COLLATE \"C\" < ");
        out.push_bind_param::<Text, _>(&self.to)?;
        out.push_sql(" ORDER BY o.lower_name COLLATE \"C\" LIMIT 1))");
        Ok(())
    }
}

/// Refuses a new file beside this other file, if there is one.
///
/// # Errors
/// [`Error::Blocked`] naming both.
pub(super) fn refuse(file: &FileName, obstacle: Option<FileName>) -> Result<()> {
    let Some(other) = obstacle else { return Ok(()) };
    let (new, old) = (file.lower(), other.lower());
    Err(Error::Blocked(match new.strip_prefix(&old) {
        Some(rest) if rest.starts_with('/') => {
            format!("{other} is a file of this version, so {file} can't be in a directory of that name")
        }
        _ => format!("{file} is a directory of this version, which contains {other}, so a file can't have that name"),
    }))
}

/// Refuses a new file early, before its bytes are read, if a directory has its name or a file the name of its directory.
///
/// # Errors
/// [`Error::Blocked`].
pub(super) fn admit(conn: &mut PgConnection, owner: OwnerId, path: &FilePath) -> Result<()> {
    let row = versions_table::table.inner_join(packages_table::table).filter(version_is(owner, &path.in_version()));
    let found: Option<Option<FileName>> = row.select(obstacle("versions.id", &path.file)).first(conn).optional()?;
    refuse(&path.file, found.flatten())
}

/// Checks all files of a version that the caller has locked, after many were added.
///
/// # Errors
/// [`Error::Clash`] naming a file that is also a directory.
pub(super) fn demand_none_is_file(conn: &mut PgConnection, version: VersionId) -> Result<()> {
    #[derive(QueryableByName)]
    struct Both {
        #[diesel(sql_type = Text)]
        file: FileName,
        #[diesel(sql_type = Text)]
        below: FileName,
    }
    let both: Option<Both> = diesel::sql_query(
        "WITH directories AS MATERIALIZED ( \
           SELECT array_to_string((string_to_array(lower_name, '/'))[:n], '/') AS directory, min(name) AS below \
           FROM files CROSS JOIN LATERAL generate_series(1, cardinality(string_to_array(lower_name, '/')) - 1) n \
           WHERE version_id = $1 AND position('/' IN lower_name) > 0 GROUP BY 1) \
         SELECT f.name AS file, below FROM directories \
         JOIN files f ON f.version_id = $1 AND f.lower_name = directory LIMIT 1",
    )
    .bind::<BigInt, _>(version)
    .get_result(conn)
    .optional()?;
    match both {
        Some(Both { file, below }) => {
            Err(Error::Clash(format!("{file} would be both a file and a directory, which contains {below}")))
        }
        None => Ok(()),
    }
}

/// [`admit`] for a file that comes without an upload: out of the trash.
///
/// # Errors
/// [`Error::Clash`].
pub(super) fn demand_place(conn: &mut PgConnection, owner: OwnerId, path: &FilePath) -> Result<()> {
    admit(conn, owner, path).map_err(|error| match error {
        Error::Blocked(text) => Error::Clash(text),
        other => other,
    })
}

/// Whether a version has files in this directory.
///
/// # Errors
/// Database errors.
pub fn exists(conn: &mut PgConnection, right: &CanRead, path: &VersionPath, directory: &FileName) -> Result<bool> {
    let rows = files::table.inner_join(versions_table::table.inner_join(packages_table::table));
    let rows = rows.filter(version_is(right.owner().id, path)).filter(is_below(directory));
    let rows = rows.filter(shown(right.draft_limit())).select(files::id);
    Ok(diesel::select(diesel::dsl::exists(rows)).get_result(conn)?)
}

/// Whether the query's file is in a directory, or in one below it.
#[derive(Debug, QueryId)]
struct IsBelow {
    from: String,
    to: String,
}

/// Whether the query's file is in this directory, or in one below it.
fn is_below(directory: &FileName) -> IsBelow {
    let (from, to) = bounds(directory);
    IsBelow { from, to }
}

sql_expression!(IsBelow: Bool);

impl QueryFragment<Pg> for IsBelow {
    /// With the condition of the index.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(position('/' IN files.lower_name) > 0 AND files.lower_name COLLATE \"C\" >= ");
        out.push_bind_param::<Text, _>(&self.from)?;
        out.push_sql(" AND files.lower_name COLLATE \"C\" < ");
        out.push_bind_param::<Text, _>(&self.to)?;
        out.push_sql(")");
        Ok(())
    }
}

/// The files in a directory and in the directories below it, by the time when they were created.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub fn files_below(
    conn: &mut PgConnection,
    right: &CanRead,
    (path, directory): (&VersionPath, &FileName),
    order: ByAge,
    slice: Slice,
) -> Result<Page<FileId>> {
    let version = version_id(conn, right, path)?;
    let below = || files::table.filter(files::version_id.eq(version)).filter(is_below(directory));
    let total = below().count().get_result(conn)?;
    let rows = below().select(files::id).offset(slice.offset).limit(slice.limit).into_boxed();
    let rows = match order {
        ByAge::OldestFirst => rows.order(files::id.asc()),
        ByAge::NewestFirst => rows.order(files::id.desc()),
    };
    let items = if total == 0 { Vec::new() } else { rows.load(conn)? };
    if total == 0 || (items.is_empty() && slice.offset == 0) {
        return Err(Error::NotFound(What::File));
    }
    Ok(Page { items, total })
}

/// What is directly in a directory, or in the version: a file, or a directory for all files below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey {
    /// The file, or the oldest file of a directory, which has its name as it was first written.
    file: FileId,
    /// For a directory: when a file was last added to it.
    changed: Option<Timestamp>,
}

/// [`EntryKey`] with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One segment of a path.
    pub name: String,
    pub changed_at: Timestamp,
    /// The bytes of a file; `None` for a directory.
    pub size: Option<i64>,
}

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = BigInt)]
    id: FileId,
    #[diesel(sql_type = Bool)]
    is_directory: bool,
    #[diesel(sql_type = Timestamptz)]
    changed: Timestamp,
}

/// What is directly in a directory, or in the version: directories first, each sorted by name.
///
/// # Errors
/// [`Error::NotFound`] for an unknown version, or if there is nothing.
pub fn entries(
    conn: &mut PgConnection,
    right: &CanRead,
    path: &VersionPath,
    directory: Option<&FileName>,
) -> Result<Page<EntryKey>> {
    const GROUPED: &str = ") AS inside GROUP BY split_part(rest, '/', 1) \
                           ORDER BY is_directory DESC, split_part(rest, '/', 1) COLLATE \"C\"";
    const SELECTED: &str =
        "SELECT min(id) AS id, bool_or(position('/' IN rest) > 0) AS is_directory, max(created_at) AS changed FROM (";
    let version = version_id(conn, right, path)?;
    let rows: Vec<EntryRow> = match directory.map(bounds) {
        None => diesel::sql_query(format!(
            "{SELECTED}SELECT id, created_at, lower_name AS rest FROM files WHERE version_id = $1{GROUPED}"
        ))
        .bind::<BigInt, _>(version)
        .load(conn)?,
        Some((from, to)) => diesel::sql_query(format!(
            "{SELECTED}SELECT id, created_at, substr(lower_name, length($2) + 1) AS rest FROM files \
             WHERE version_id = $1 AND position('/' IN lower_name) > 0 \
             AND lower_name COLLATE \"C\" >= $2 AND lower_name COLLATE \"C\" < $3{GROUPED}"
        ))
        .bind::<BigInt, _>(version)
        .bind::<Text, _>(from)
        .bind::<Text, _>(to)
        .load(conn)?,
    };
    if rows.is_empty() {
        return Err(Error::NotFound(if directory.is_some() { What::File } else { What::Version }));
    }
    let key = |row: EntryRow| EntryKey { file: row.id, changed: row.is_directory.then_some(row.changed) };
    Ok(Page { total: i64::try_from(rows.len()).unwrap_or(i64::MAX), items: rows.into_iter().map(key).collect() })
}

/// Entries in the order of these keys. One whose file was deleted in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn load(conn: &mut PgConnection, directory: Option<&FileName>, keys: &[EntryKey]) -> Result<Vec<Entry>> {
    let ids: Vec<FileId> = keys.iter().map(|key| key.file).collect();
    let rows: Vec<(FileId, FileName, Timestamp, i64)> = files::table
        .inner_join(blobs::table)
        .filter(files::id.eq_any(ids))
        .select((files::id, files::name, files::created_at, blobs::size))
        .load(conn)?;
    let found: HashMap<FileId, (FileName, Timestamp, i64)> =
        rows.into_iter().map(|(id, name, created_at, size)| (id, (name, created_at, size))).collect();
    let entry = |key: &EntryKey| {
        let (name, created_at, size) = found.get(&key.file)?;
        let name = name.inside(directory).split('/').next().unwrap_or_default().to_owned();
        Some(match key.changed {
            Some(changed_at) => Entry { name, changed_at, size: None },
            None => Entry { name, changed_at: *created_at, size: Some(*size) },
        })
    };
    Ok(keys.iter().filter_map(entry).collect())
}
