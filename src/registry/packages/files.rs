//! Files of a version: finding a file to send, listing, deleting.

use super::lookup::{self, file_is, version_is};
use super::protections::{self, Action};
use super::standing::{STANDING_COLUMNS, Standing};
use super::trash::{self, Deletion, Discarded};
use super::{changeable, lifecycle};
use crate::db::schema::{blobs, files, owners, packages as packages_table, versions as versions_table};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{Md5, OtherDigests, Sha1, Sha256, Sha512};
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{BlobId, FileId, OwnerId, TrashId, VersionId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::{FilePath, VersionPath};
use crate::domain::role::{Area, Level, Visibility};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{self, CanPublish, CanRead};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::like::containing;
use crate::registry::pages::{ByAge, Page, Slice};
use diesel::dsl::sql;
use diesel::expression::expression_types::NotSelectable;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::str::FromStr;

/// The content of a file: its digests, its size, and its place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub id: BlobId,
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    pub storage_key: String,
    /// The three other digests, once they are computed.
    pub other: Option<OtherDigests>,
}

/// A blob with the checksums that verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    pub blob: Blob,
    /// CRC-32 of each MiB, for blobs over one MiB.
    pub block_checksums: Vec<u8>,
}

/// A file that may be sent to the caller.
#[derive(Debug, Clone)]
pub struct Downloadable {
    pub id: FileId,
    /// Who owns its package.
    pub owner: OwnerId,
    pub name: FileName,
    pub created_at: Timestamp,
    /// Whether anonymous readers may see its package.
    pub public: bool,
    /// The version that it belongs to, as its names are written.
    pub version: VersionPath,
    pub standing: Standing,
    pub blob: Blob,
    /// CRC-32 of each MiB, for blobs over one MiB.
    pub block_checksums: Vec<u8>,
}

/// A file in a list.
#[derive(Debug, Clone)]
pub struct FileSummary {
    pub id: FileId,
    pub name: FileName,
    pub created_at: Timestamp,
    pub downloads: i64,
    /// The user who published it, if the account still exists.
    pub creator: Option<OwnerId>,
    /// The verified identity of the job that published it, if it was a trusted publisher's.
    pub identity: Option<VerifiedIdentity>,
    pub blob: Blob,
}

pub(in crate::registry) type BlobRow =
    (BlobId, Vec<u8>, i64, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
pub(in crate::registry) type BlobColumns =
    (blobs::id, blobs::sha256, blobs::size, blobs::storage_key, blobs::sha512, blobs::sha1, blobs::md5);
pub(in crate::registry) const BLOB_COLUMNS: BlobColumns =
    (blobs::id, blobs::sha256, blobs::size, blobs::storage_key, blobs::sha512, blobs::sha1, blobs::md5);

impl Blob {
    pub(in crate::registry) fn from_row((id, sha256, size, storage_key, sha512, sha1, md5): BlobRow) -> Result<Self> {
        let other = match (sha512, sha1, md5) {
            (Some(sha512), Some(sha1), Some(md5)) => Some(OtherDigests {
                sha512: Sha512::try_from(&sha512[..]).map_err(Error::internal)?,
                sha1: Sha1::try_from(&sha1[..]).map_err(Error::internal)?,
                md5: Md5::try_from(&md5[..]).map_err(Error::internal)?,
            }),
            _ => None,
        };
        let sha256 = Sha256::try_from(&sha256[..]).map_err(Error::internal)?;
        Ok(Self { id, sha256, size: u64::try_from(size).map_err(Error::internal)?, storage_key, other })
    }
}

/// Finds a file for a caller to download, in one query. The query judges the owner before it looks for anything of the
/// owner's, and the package before it looks for anything in it: the owner's name leads to one row, and if nothing of
/// that owner is readable, nothing is joined to it.
///
/// # Errors
/// As [`access::can_read`] when the caller may not read the owner; [`Error::NotFound`] when they may, and the file does
/// not exist.
pub fn find_downloadable(conn: &mut PgConnection, caller: &Caller, path: &FilePath) -> Result<Downloadable> {
    caller.demand_scope(Area::Package, Level::Read)?;
    type Names = (OwnerName, PackageName, Version);
    type Seen = (OwnerId, Visibility, Option<Visibility>);
    type DownloadRow = (Seen, Names, (FileId, FileName, Timestamp), Standing, (BlobRow, Vec<u8>));
    let row: Option<DownloadRow> = files::table
        .inner_join(versions_table::table.inner_join(packages_table::table.inner_join(owners::table)))
        .inner_join(blobs::table)
        .filter(file_is(path))
        .filter(access::has_readable_packages(caller.visibility_limit()))
        .filter(access::package_readable(caller.visibility_limit()))
        .filter(access::shown(caller.draft_limit()).or(access::package_readable(caller.write_limit())))
        .select((
            (owners::id, owners::visibility, packages_table::visibility),
            (owners::name, packages_table::name, versions_table::version),
            (files::id, files::name, files::created_at),
            STANDING_COLUMNS,
            (BLOB_COLUMNS, blobs::block_checksums),
        ))
        .first(conn)
        .optional()?;
    let Some((seen, names, (id, name, created_at), standing, (blob, block_checksums))) = row else {
        // Only failures pay for the second query, which finds the reason.
        return Err(match access::can_read(conn, caller, &path.owner, Some(&path.package)) {
            Ok(_) | Err(Error::NotFound(What::Package)) => Error::NotFound(What::File),
            Err(error) => error,
        });
    };
    let ((owner_id, visibility, own), (owner, package, version)) = (seen, names);
    access::confirm_read(caller, (owner_id, &owner, visibility), (&path.package, own))?;
    let public = access::effective(own, visibility) == Visibility::Public;
    let version = VersionPath { owner, package, version };
    let blob = Blob::from_row(blob)?;
    Ok(Downloadable { id, owner: owner_id, name, created_at, public, version, standing, blob, block_checksums })
}

/// [`find_downloadable`] for a file that is known by its id: a page's link to it.
///
/// # Errors
/// As [`find_downloadable`].
pub fn find_downloadable_by_id(
    conn: &mut PgConnection,
    caller: &Caller,
    path: &VersionPath,
    id: FileId,
) -> Result<Downloadable> {
    let right = access::can_read(conn, caller, &path.owner, Some(&path.package))?;
    // The id alone grants nothing: the full path must lead to this file.
    let name: Option<FileName> = files::table
        .inner_join(versions_table::table.inner_join(packages_table::table))
        .filter(version_is(right.owner().id, path))
        .filter(access::shown(right.draft_limit()))
        .filter(files::id.eq(id))
        .select(files::name)
        .first(conn)
        .optional()?;
    let name = name.ok_or(Error::NotFound(What::File))?;
    // Another file may have taken its name since.
    let file = find_downloadable(conn, caller, &path.with_file(name))?;
    if file.id == id { Ok(file) } else { Err(Error::NotFound(What::File)) }
}

/// The most identities of a version that a page shows.
const MOST_IDENTITIES: i64 = 10;

/// The order of a list for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    Age(ByAge),
    Name,
}

/// The files of a version.
///
/// # Errors
/// [`Error::NotFound`] for an unknown version.
pub fn ids(
    conn: &mut PgConnection,
    right: &CanRead,
    path: &VersionPath,
    order: ListOrder,
    slice: Slice,
) -> Result<Page<FileId>> {
    let version = version_id(conn, right, path)?;
    let total = count(conn, version)?;
    let rows = files::table.filter(files::version_id.eq(version)).select(files::id).into_boxed();
    let rows = match order {
        ListOrder::Age(ByAge::OldestFirst) => rows.order(files::id.asc()),
        ListOrder::Age(ByAge::NewestFirst) => rows.order(files::id.desc()),
        ListOrder::Name => rows.order(files::lower_name.asc()),
    };
    let items: Vec<FileId> = rows.offset(slice.offset).limit(slice.limit).load(conn)?;
    // The version was deleted after it was found: a version without files is never shown.
    if total == 0 || (items.is_empty() && slice.offset == 0) {
        return Err(Error::NotFound(What::Version));
    }
    Ok(Page { items, total })
}

/// Files in the order of these ids. A file that was deleted in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn load(conn: &mut PgConnection, ids: &[FileId]) -> Result<Vec<FileSummary>> {
    let rows = files::table.inner_join(blobs::table).filter(files::id.eq_any(ids)).select(FILE_COLUMNS);
    let rows: Vec<FileRow> = rows.load(conn)?;
    let rows = rows.into_iter().map(|row| Ok((row.0, summary(row)?)));
    let mut found = rows.collect::<Result<HashMap<FileId, FileSummary>>>()?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// The order of a list for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileOrder {
    #[default]
    Name,
    /// The largest first.
    Size,
    Newest,
    /// The most downloaded first.
    Downloads,
}

impl FromStr for FileOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "name" => Ok(Self::Name),
            "size" => Ok(Self::Size),
            "newest" => Ok(Self::Newest),
            "downloads" => Ok(Self::Downloads),
            _ => Err(Error::invalid("sort", "sort: use name, size, newest or downloads".to_owned())),
        }
    }
}

/// A version's files whose names contain a text, ignoring case.
///
/// # Errors
/// [`Error::NotFound`] for an unknown version.
pub fn browse(
    conn: &mut PgConnection,
    right: &CanRead,
    path: &VersionPath,
    part: &str,
    order: FileOrder,
    slice: Slice,
) -> Result<Page<FileSummary>> {
    let order: InOrder = match order {
        FileOrder::Name => Box::new(files::lower_name.asc()),
        FileOrder::Size => Box::new(blobs::size.desc()),
        FileOrder::Newest => Box::new(files::created_at.desc()),
        FileOrder::Downloads => Box::new(files::download_count.desc()),
    };
    let version = version_id(conn, right, path)?;
    let fits = || -> Box<dyn BoxableExpression<Listed, Pg, SqlType = Bool>> {
        let of_version = files::version_id.eq(version);
        match part {
            "" => Box::new(of_version),
            // As SQL text, which Diesel does not keep prepared.
            part => Box::new(of_version.and(sql::<Bool>("files.lower_name LIKE ").bind::<Text, _>(containing(part)))),
        }
    };
    let total = match part {
        "" => files::table.filter(files::version_id.eq(version)).count().get_result(conn)?,
        _ => files::table.inner_join(blobs::table).filter(fits()).count().get_result(conn)?,
    };
    let rows: Vec<FileRow> = files::table
        .inner_join(blobs::table)
        .filter(fits())
        .order((order, files::id))
        .offset(slice.offset)
        .limit(slice.limit)
        .select(FILE_COLUMNS)
        .load(conn)?;
    let items = rows.into_iter().map(summary).collect::<Result<Vec<_>>>()?;
    // The version was deleted after it was found: a version without files is never shown.
    if part.is_empty() && (total == 0 || (items.is_empty() && slice.offset == 0)) {
        return Err(Error::NotFound(What::Version));
    }
    Ok(Page { items, total })
}

type InOrder = Box<dyn BoxableExpression<Listed, Pg, SqlType = NotSelectable>>;
type Listed = diesel::helper_types::InnerJoinQuerySource<files::table, blobs::table>;

/// The id of a version.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn version_id(conn: &mut PgConnection, right: &CanRead, path: &VersionPath) -> Result<VersionId> {
    let row = versions_table::table.inner_join(packages_table::table).filter(version_is(right.owner().id, path));
    let row = row.filter(access::shown(right.draft_limit()));
    row.select(versions_table::id).first(conn).optional()?.ok_or(Error::NotFound(What::Version))
}

/// The verified identities of the jobs that published files of a version, each with the number of its files: the most
/// files first.
///
/// # Errors
/// Database errors.
pub fn identities(conn: &mut PgConnection, version: VersionId) -> Result<Vec<(VerifiedIdentity, i64)>> {
    let rows: Vec<(Option<Value>, i64)> = files::table
        .filter(files::version_id.eq(version))
        .filter(files::identity.is_not_null())
        .group_by(files::identity)
        .select((files::identity, diesel::dsl::count_star()))
        .order(diesel::dsl::count_star().desc())
        .limit(MOST_IDENTITIES)
        .load(conn)?;
    let parse = |(value, count): (Option<Value>, i64)| {
        Ok((serde_json::from_value(value.unwrap_or_default()).map_err(Error::internal)?, count))
    };
    rows.into_iter().map(parse).collect()
}

/// How many files a version has.
///
/// # Errors
/// Database errors.
pub fn count(conn: &mut PgConnection, version: VersionId) -> Result<i64> {
    Ok(files::table.filter(files::version_id.eq(version)).count().get_result(conn)?)
}

/// The ids and names of the files of a version that have one of these names in lower case.
///
/// # Errors
/// Database errors.
pub fn named(conn: &mut PgConnection, version: VersionId, lower: &[String]) -> Result<Vec<(FileId, FileName)>> {
    let all = files::table.filter(files::version_id.eq(version)).filter(files::lower_name.eq_any(lower));
    Ok(all.select((files::id, files::name)).load(conn)?)
}

type FileRow = (FileId, FileName, Timestamp, i64, (Option<OwnerId>, Option<Value>), BlobRow);
type MakerColumns = (files::creator_id, files::identity);
type FileColumns = (files::id, files::name, files::created_at, files::download_count, MakerColumns, BlobColumns);
const FILE_COLUMNS: FileColumns = (
    files::id,
    files::name,
    files::created_at,
    files::download_count,
    (files::creator_id, files::identity),
    BLOB_COLUMNS,
);

/// One file of a version, with the fields of a list.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, right: &CanRead, path: &VersionPath, lower: &str) -> Result<Option<FileSummary>> {
    let row: Option<FileRow> = files::table
        .inner_join(versions_table::table.inner_join(packages_table::table))
        .inner_join(blobs::table)
        .filter(version_is(right.owner().id, path))
        .filter(access::shown(right.draft_limit()))
        .filter(files::lower_name.eq(lower))
        .select(FILE_COLUMNS)
        .first(conn)
        .optional()?;
    row.map(summary).transpose()
}

fn summary(row: FileRow) -> Result<FileSummary> {
    let (id, name, created_at, downloads, (creator, identity), blob) = row;
    let identity = identity.map(serde_json::from_value).transpose().map_err(Error::internal)?;
    Ok(FileSummary { id, name, created_at, downloads, creator, identity, blob: Blob::from_row(blob)? })
}

/// One file of a version, by its id.
///
/// # Errors
/// Database errors.
pub fn find_by_id(conn: &mut PgConnection, version: VersionId, id: FileId) -> Result<Option<FileSummary>> {
    let row = files::table.inner_join(blobs::table).filter(files::version_id.eq(version)).filter(files::id.eq(id));
    row.select(FILE_COLUMNS).first(conn).optional()?.map(summary).transpose()
}

/// Deletes a file. Deleting the last file deletes its version, and deleting the last version deletes its package.
/// Returns its entry in the trash, if it is kept.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongState`] for a file of a sealed version, and for one on hold.
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    path: &FilePath,
    deletion: &Deletion,
) -> Result<Option<TrashId>> {
    let owner = right.owner();
    let package = lifecycle::lock(conn, owner.id, &path.package)?;
    let (version, _) = lookup::version(conn, package, &path.version)?;
    let file: FileId = files::table
        .filter(files::version_id.eq(version))
        .filter(files::lower_name.eq(path.file.lower()))
        .select(files::id)
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::File))?;
    protections::check(conn, right, Action::Delete, &path.version)?;
    changeable::demand_changeable(conn, version, &path.in_version(), deletion.now())?;
    let discarded = Discarded::File(version, file);
    let removed = trash::discard(conn, caller, ((owner.id, &owner.name), package), discarded, deletion)?;
    let text = format!("{}/{}/{}", path.package, path.version, path.file);
    let detail = json!({"bytes": removed.bytes, "kept_until": deletion.keep_until()});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text, detail };
    audit::record(conn, caller, Event::FileDelete, &subject, deletion.now())?;
    Ok(removed.entry)
}
