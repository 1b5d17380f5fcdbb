//! The trash: what was deleted can be restored for some days. Its rows move out of the tables of packages, versions and
//! files, so no query for readers finds them, and their names are free at once. Their blobs stay, because the trash
//! refers to them. `restoration` moves the rows back.
//!
//! Code that deletes something calls `discard`, which does everything but the audit record of the deletion.

use super::trash_entries::demand_purge;
use super::{changeable, contents, quotas};
use crate::db::schema::{files, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, OwnerId, PackageId, TrashId, VersionId};
use crate::domain::names::OwnerName;
use crate::domain::trash::{TrashKind, TrashReason};
use crate::domain::webhook::HookAction;
use crate::error::Result;
use crate::registry::access::CanPublish;
use crate::registry::caller::{Caller, NOBODY};
use crate::registry::webhooks::outbox::{self, Announced};
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Timestamptz};
use std::time::Duration;

/// Why and when something is deleted, and until when it can be restored.
#[derive(Debug, Clone)]
pub struct Deletion {
    reason: TrashReason,
    /// The name of the retention rule; empty for other reasons.
    rule: String,
    now: Timestamp,
    /// `None`: it is deleted at once.
    keep_until: Option<Timestamp>,
}

impl Deletion {
    /// A deletion by someone. What they delete can be restored for this long; zero: not at all.
    pub fn new(keep: Duration, now: Timestamp) -> Self {
        let keep_until = (!keep.is_zero()).then(|| now.plus(keep));
        Self { reason: TrashReason::Deleted, rule: String::new(), now, keep_until }
    }

    /// The deletion for another reason, with the name of the retention rule that decided.
    #[must_use]
    pub fn because(self, reason: TrashReason, rule: &str) -> Self {
        Self { reason, rule: rule.to_owned(), ..self }
    }

    /// The deletion that a request asks for: into the trash, or past it with `?purge=true`.
    ///
    /// # Errors
    /// As [`demand_purge`].
    pub fn asked(right: &CanPublish, purge: bool, keep: Duration, now: Timestamp) -> Result<Self> {
        if purge {
            demand_purge(right)?;
        }
        Ok(Self::new(if purge { Duration::ZERO } else { keep }, now))
    }

    /// When it is deleted.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Until when it can be restored.
    pub fn keep_until(&self) -> Option<Timestamp> {
        self.keep_until
    }
}

/// What to delete of a package that the caller has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Discarded {
    /// A file. The last file takes its version along, and the last version its package.
    File(VersionId, FileId),
    /// A file whose place another takes in the same transaction: its version stays.
    Replaced(VersionId, FileId),
    /// A version. The last version takes its package along.
    Version(VersionId),
    /// The whole package.
    Package,
}

impl Discarded {
    fn kind(self) -> TrashKind {
        match self {
            Self::File(..) | Self::Replaced(..) => TrashKind::File,
            Self::Version(_) => TrashKind::Version,
            Self::Package => TrashKind::Package,
        }
    }

    fn version(self) -> Option<VersionId> {
        match self {
            Self::File(version, _) | Self::Replaced(version, _) | Self::Version(version) => Some(version),
            Self::Package => None,
        }
    }

    fn file(self) -> Option<FileId> {
        match self {
            Self::File(_, file) | Self::Replaced(_, file) => Some(file),
            Self::Version(_) | Self::Package => None,
        }
    }
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(in crate::registry) struct Removed {
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
    #[diesel(sql_type = BigInt)]
    pub files: i64,
    /// In all files; shared bytes count once per file.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// What keeps it in the trash.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub entry: Option<TrashId>,
}

/// What disappears besides the files.
#[derive(Debug, Clone, Copy)]
struct Taken {
    version: bool,
    package: bool,
}

/// Deletes from a package that the caller has [locked](super::lifecycle::lock): the rows go to the trash, or away if it
/// is not kept; the owner's usage shrinks, and versions that disappear are announced to webhooks. Whether the caller may
/// delete from a sealed version is decided before.
///
/// # Errors
/// [`crate::error::Error::WrongState`] for a version on hold: nobody can delete it, or a file of it.
pub(in crate::registry) fn discard(
    conn: &mut PgConnection,
    caller: &Caller,
    ((owner, name), package): ((OwnerId, &OwnerName), PackageId),
    what: Discarded,
    deletion: &Deletion,
) -> Result<Removed> {
    let taken = taken(conn, package, what)?;
    changeable::demand_not_held(conn, &[package], what.version(), name)?;
    let announced = match what.version() {
        Some(version) => taken.version.then_some(Announced::Version(version)),
        None => Some(Announced::Package(package)),
    };
    if let Some(announced) = announced {
        outbox::announce(conn, caller, (owner, HookAction::Deleted, announced), deletion.now)?;
    }
    let mut removed = weigh(conn, package, what)?;
    if !taken.version {
        removed.versions = 0;
    }
    match deletion.keep_until {
        Some(keep_until) => {
            removed.entry = Some(keep(conn, caller, (package, what, taken), removed, (deletion, keep_until))?);
        }
        None => contents::let_go(conn, &[package], what.version(), what.file(), deletion.now)?,
    }
    match (what.version(), what.file()) {
        _ if taken.package => diesel::delete(packages::table.find(package)).execute(conn)?,
        (Some(version), _) if taken.version => diesel::delete(versions::table.find(version)).execute(conn)?,
        (_, Some(file)) => diesel::delete(files::table.find(file)).execute(conn)?,
        _ => 0,
    };
    quotas::count(conn, owner, -removed.versions, -removed.bytes)?;
    Ok(removed)
}

fn taken(conn: &mut PgConnection, package: PackageId, what: Discarded) -> Result<Taken> {
    let version = match what {
        Discarded::File(version, file) => {
            let others = files::table.filter(files::version_id.eq(version)).filter(files::id.ne(file));
            !select(exists(others)).get_result::<bool>(conn)?
        }
        Discarded::Replaced(..) => false,
        Discarded::Version(_) | Discarded::Package => true,
    };
    let package = match what.version() {
        Some(id) if version => {
            let others = versions::table.filter(versions::package_id.eq(package)).filter(versions::id.ne(id));
            !select(exists(others)).get_result::<bool>(conn)?
        }
        Some(_) => false,
        None => true,
    };
    Ok(Taken { version, package })
}

/// The files of a deletion: its package is $1, its version $2 and its file $3, if it is not about all of them.
const FILES: &str = "FROM versions v JOIN files f ON f.version_id = v.id \
    WHERE v.package_id = $1 AND ($2 IS NULL OR v.id = $2) AND ($3 IS NULL OR f.id = $3)";

fn weigh(conn: &mut PgConnection, package: PackageId, what: Discarded) -> Result<Removed> {
    let query = format!(
        "SELECT count(DISTINCT x.version_id) AS versions, count(*) AS files, coalesce(sum(b.size), 0)::bigint AS bytes, \
         NULL::bigint AS entry \
         FROM (SELECT f.version_id, f.blob_id {FILES}) AS x JOIN blobs b ON b.id = x.blob_id"
    );
    Ok(diesel::sql_query(query)
        .bind::<BigInt, _>(package)
        .bind::<Nullable<BigInt>, _>(what.version())
        .bind::<Nullable<BigInt>, _>(what.file())
        .get_result(conn)?)
}

/// Copies the rows of a deletion into the trash, and returns its entry there.
fn keep(
    conn: &mut PgConnection,
    caller: &Caller,
    (package, what, taken): (PackageId, Discarded, Taken),
    removed: Removed,
    (deletion, keep_until): (&Deletion, Timestamp),
) -> Result<TrashId> {
    let version_facts = if taken.version { "to_jsonb(v)" } else { "to_jsonb(v) - 'notes'" };
    let actor = caller.user().filter(|user| user.id != NOBODY);
    let id: Entered = diesel::sql_query(format!(
        "INSERT INTO trash (owner_id, kind, package_name, version, file_name, version_facts, reason, rule, actor_id, \
           actor_name, deleted_at, keep_until, versions, files, bytes) \
         SELECT p.owner_id, $4, p.name, v.version, f.name, CASE WHEN f.id IS NOT NULL THEN {version_facts} END, $5, $6, \
           $7, $8, $9, $10, $11, $12, $13 FROM packages p LEFT JOIN versions v ON v.id = $2 \
         LEFT JOIN files f ON f.id = $3 WHERE p.id = $1 RETURNING id"
    ))
    .bind::<BigInt, _>(package)
    .bind::<Nullable<BigInt>, _>(what.version())
    .bind::<Nullable<BigInt>, _>(what.file())
    .bind::<SmallInt, _>(what.kind())
    .bind::<SmallInt, _>(deletion.reason)
    .bind::<Text, _>(&deletion.rule)
    .bind::<Nullable<BigInt>, _>(actor.map(|user| user.id))
    .bind::<Text, _>(caller.user().map_or("", |user| user.name.as_str()))
    .bind::<Timestamptz, _>(deletion.now)
    .bind::<Timestamptz, _>(keep_until)
    .bind::<BigInt, _>(removed.versions)
    .bind::<BigInt, _>(removed.files)
    .bind::<BigInt, _>(removed.bytes)
    .get_result(conn)?;
    keep_rows(conn, id.id, (package, what, taken))?;
    Ok(id.id)
}

#[derive(QueryableByName)]
struct Entered {
    #[diesel(sql_type = BigInt)]
    id: TrashId,
}

fn keep_rows(
    conn: &mut PgConnection,
    id: TrashId,
    (package, what, taken): (PackageId, Discarded, Taken),
) -> Result<()> {
    // Long texts stay with what stays; the settings are kept in any case, see the migration.
    let facts = if taken.package {
        "to_jsonb(p) || jsonb_build_object('channels', (SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') FROM channels c \
         WHERE c.package_id = p.id))"
    } else {
        "to_jsonb(p) - 'readme'"
    };
    diesel::sql_query(format!(
        "INSERT INTO trashed_packages (trash_id, facts) SELECT $1, {facts} FROM packages p WHERE p.id = $2"
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(package)
    .execute(conn)?;
    if taken.version {
        diesel::sql_query(
            "INSERT INTO trashed_versions (id, trash_id, facts) SELECT v.id, $3, to_jsonb(v) FROM versions v \
             WHERE v.package_id = $1 AND ($2 IS NULL OR v.id = $2)",
        )
        .bind::<BigInt, _>(package)
        .bind::<Nullable<BigInt>, _>(what.version())
        .bind::<BigInt, _>(id)
        .execute(conn)?;
    }
    diesel::sql_query(format!(
        "INSERT INTO trashed_files (id, trash_id, version_id, blob_id, name, lower_name, creator_id, created_at, \
           download_count, identity) \
         SELECT f.id, $4, f.version_id, f.blob_id, f.name, f.lower_name, f.creator_id, f.created_at, f.download_count, \
           f.identity \
         {FILES}"
    ))
    .bind::<BigInt, _>(package)
    .bind::<Nullable<BigInt>, _>(what.version())
    .bind::<Nullable<BigInt>, _>(what.file())
    .bind::<BigInt, _>(id)
    .execute(conn)?;
    Ok(())
}
