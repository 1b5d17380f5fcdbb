//! The bytes that really become free: those of blobs that no other file uses, in a package or in the trash. Bytes that
//! are shared with something else stay.

use crate::domain::ids::{OwnerId, TrashId, VersionId};
use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable};

/// The files that would be removed from the disk.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// All files of these versions.
    Versions(&'a [VersionId]),
    /// The files of these entries of the trash.
    Entries(&'a [TrashId]),
    /// Everything in the trash of these owners.
    TrashOf(&'a [OwnerId]),
    /// Everything in the trash.
    Trash,
}

impl Given<'_> {
    /// The blob of each file.
    fn blobs(self) -> &'static str {
        match self {
            Self::Versions(_) => "SELECT f.blob_id FROM files f WHERE f.version_id = ANY ($1)",
            Self::Entries(_) => "SELECT t.blob_id FROM trashed_files t WHERE t.trash_id = ANY ($1)",
            Self::TrashOf(_) => {
                "SELECT t.blob_id FROM trashed_files t JOIN trash e ON e.id = t.trash_id WHERE e.owner_id = ANY ($1)"
            }
            // The parameter is needed for its type.
            Self::Trash => "SELECT t.blob_id FROM trashed_files t WHERE $1::bigint[] IS NOT NULL",
        }
    }

    fn ids(self) -> Vec<i64> {
        match self {
            Self::Versions(ids) => ids.iter().map(|id| id.0).collect(),
            Self::Entries(ids) => ids.iter().map(|id| id.0).collect(),
            Self::TrashOf(ids) => ids.iter().map(|id| id.0).collect(),
            Self::Trash => Vec::new(),
        }
    }
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// The bytes that a sweep removes from the disk once these files are gone for good, as far as this owner alone uses them:
/// what others store is not told, so that nobody can find out whether a file exists on the site. `None` counts the files
/// of all owners, for administrators.
///
/// # Errors
/// Database errors.
pub fn bytes(conn: &mut PgConnection, of: Given<'_>, owner: Option<OwnerId>) -> Result<i64> {
    // A blob becomes free if all its files are among these: their numbers are compared, because the list can be long.
    let query = format!(
        "SELECT coalesce(sum(b.size), 0)::bigint AS bytes \
         FROM (SELECT blob_id, count(*) AS uses FROM ({}) AS given GROUP BY blob_id) AS own \
         JOIN blobs b ON b.id = own.blob_id \
         WHERE own.uses = (SELECT count(*) FROM files f JOIN versions v ON v.id = f.version_id \
             WHERE f.blob_id = b.id AND ($2 IS NULL OR v.owner_id = $2)) \
           + (SELECT count(*) FROM trashed_files t JOIN trash e ON e.id = t.trash_id \
             WHERE t.blob_id = b.id AND ($2 IS NULL OR e.owner_id = $2))",
        of.blobs()
    );
    let query = diesel::sql_query(query).bind::<Array<BigInt>, _>(of.ids()).bind::<Nullable<BigInt>, _>(owner);
    Ok(query.get_result::<Bytes>(conn)?.bytes)
}
