//! The owners and packages that use the most space on the disk, and the space that the next garbage collections free.

use crate::domain::clock::Timestamp;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::OwnerKind;
use crate::error::Result;
use crate::registry::packages::cleanup;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text};

/// How many owners and packages are listed.
const MOST: i64 = 5;

/// An owner with the space that its files use.
#[derive(Debug, Clone, QueryableByName)]
pub struct LargeOwner {
    #[diesel(sql_type = Text)]
    pub name: OwnerName,
    #[diesel(sql_type = SmallInt)]
    pub kind: OwnerKind,
    /// On the disk: content that several files of the owner share counts once.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// The size of all files, as quotas count it.
    #[diesel(sql_type = BigInt)]
    pub logical: i64,
}

/// A package with the space that its files use.
#[derive(Debug, Clone, QueryableByName)]
pub struct LargePackage {
    #[diesel(sql_type = Text)]
    pub owner: OwnerName,
    #[diesel(sql_type = Text)]
    pub name: PackageName,
    /// On the disk: content that several files of the package share counts once.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// The size of all files.
    #[diesel(sql_type = BigInt)]
    pub logical: i64,
}

/// What uses the most space.
#[derive(Debug, Clone)]
pub struct Largest {
    /// When it was found.
    pub at: Timestamp,
    pub owners: Vec<LargeOwner>,
    pub packages: Vec<LargePackage>,
    /// Blobs that no file uses, not even one in the trash, and their bytes. Garbage collection removes them after a
    /// grace period.
    pub unused: (i64, i64),
}

/// Finds what uses the most space. This reads all files: about two seconds per million.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, now: Timestamp) -> Result<Largest> {
    let owners = diesel::sql_query(
        "SELECT o.name, o.kind, s.bytes, s.logical FROM (SELECT owner_id, sum(size)::bigint AS bytes, \
           sum(size * uses)::bigint AS logical FROM (SELECT v.owner_id, b.size, count(*) AS uses FROM files f \
             JOIN versions v ON v.id = f.version_id JOIN blobs b ON b.id = f.blob_id GROUP BY v.owner_id, b.id) d \
           GROUP BY owner_id ORDER BY bytes DESC, owner_id LIMIT $1) s JOIN owners o ON o.id = s.owner_id \
         ORDER BY s.bytes DESC, o.id",
    );
    let packages = diesel::sql_query(
        "SELECT o.name AS owner, p.name, s.bytes, s.logical FROM (SELECT package_id, sum(size)::bigint AS bytes, \
           sum(size * uses)::bigint AS logical FROM (SELECT v.package_id, b.size, count(*) AS uses FROM files f \
             JOIN versions v ON v.id = f.version_id JOIN blobs b ON b.id = f.blob_id GROUP BY v.package_id, b.id) d \
           GROUP BY package_id ORDER BY bytes DESC, package_id LIMIT $1) s JOIN packages p ON p.id = s.package_id \
         JOIN owners o ON o.id = p.owner_id ORDER BY s.bytes DESC, p.id",
    );
    Ok(Largest {
        at: now,
        owners: owners.bind::<BigInt, _>(MOST).load(conn)?,
        packages: packages.bind::<BigInt, _>(MOST).load(conn)?,
        unused: cleanup::unused_blobs(conn, now)?,
    })
}
