//! The facts about versions that retention rules decide by, read with one statement however many versions there are.

use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::names::PackageName;
use crate::domain::version::{Ranked, Version};
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result};
use crate::registry::operations::settings;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use serde_json::{Value, json};

/// The setting that says since when the last download of a version is recorded.
const RECORDED_SINCE: &str = "last_downloads_recorded_since";

/// What rules decide by.
#[derive(Debug, Clone, QueryableByName)]
pub struct VersionFacts {
    #[diesel(sql_type = BigInt)]
    pub id: VersionId,
    #[diesel(sql_type = BigInt)]
    pub package_id: PackageId,
    #[diesel(sql_type = Text)]
    pub package: PackageName,
    #[diesel(sql_type = Text)]
    pub version: Version,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: Timestamp,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub published_at: Option<Timestamp>,
    #[diesel(sql_type = SmallInt)]
    pub state: VersionState,
    /// What the publisher says; `None`: as the version's name says.
    #[diesel(sql_type = Nullable<Bool>)]
    pub is_prerelease: Option<bool>,
    #[diesel(sql_type = Bool)]
    pub is_yanked: bool,
    #[diesel(sql_type = Bool)]
    pub is_held: bool,
    #[diesel(sql_type = Jsonb)]
    pub labels: Value,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_downloaded_at: Option<Timestamp>,
    #[diesel(sql_type = BigInt)]
    pub downloads: i64,
    /// In all its files; shared bytes count once per file.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// A channel that stands for this version.
    #[diesel(sql_type = Nullable<Text>)]
    pub channel: Option<String>,
}

impl VersionFacts {
    pub fn is_draft(&self) -> bool {
        self.state == VersionState::Draft
    }

    /// When it was published, or created if it is a draft.
    pub fn since(&self) -> Timestamp {
        self.published_at.unwrap_or(self.created_at)
    }

    /// Whether it is a stable version: published, not yanked, and no pre-release.
    pub fn is_stable(&self) -> bool {
        !self.is_draft() && !self.is_yanked && !self.is_prerelease()
    }

    /// What orders it among the versions of its package.
    pub fn ranked(&self) -> Ranked<'_, (Timestamp, VersionId)> {
        Ranked { version: &self.version, prerelease: self.is_prerelease, date: (self.created_at, self.id) }
    }

    /// Whether the publisher or its name says that it is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        self.is_prerelease.unwrap_or_else(|| self.version.is_prerelease())
    }
}

/// Joins of whole tables, because versions have few files and packages few channels.
const FACTS: &str = "\
    SELECT v.id, v.package_id, p.name AS package, v.version, v.created_at, v.published_at, v.state, v.is_prerelease, \
      v.yanked_at IS NOT NULL AS is_yanked, v.held_at IS NOT NULL AS is_held, v.labels, v.last_downloaded_at, \
      coalesce(f.downloads, 0) AS downloads, coalesce(f.bytes, 0) AS bytes, c.channel \
    FROM versions v JOIN packages p ON p.id = v.package_id \
    LEFT JOIN (SELECT f.version_id, sum(f.download_count)::bigint AS downloads, sum(b.size)::bigint AS bytes \
      FROM files f JOIN blobs b ON b.id = f.blob_id JOIN versions v ON v.id = f.version_id WHERE ";
const CHANNELS: &str = " GROUP BY f.version_id) f ON f.version_id = v.id \
    LEFT JOIN (SELECT c.package_id, c.lower_version, min(c.name) AS channel FROM channels c \
      JOIN packages p ON p.id = c.package_id WHERE p.owner_id = $1 GROUP BY c.package_id, c.lower_version) c \
      ON c.package_id = v.package_id AND c.lower_version = v.lower_version WHERE ";
const ORDER: &str = " ORDER BY p.lower_name COLLATE \"C\", v.id";

/// All versions of an owner, by package.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn of_owner(conn: &mut PgConnection, owner: OwnerId) -> Result<Vec<VersionFacts>> {
    let which = "v.owner_id = $1";
    let query = diesel::sql_query(format!("{FACTS}{which}{CHANNELS}{which}{ORDER}"));
    Ok(query.bind::<BigInt, _>(owner).load(conn)?)
}

/// These versions of an owner, those that still exist.
///
/// # Errors
/// Database errors.
pub(super) fn of_versions(conn: &mut PgConnection, owner: OwnerId, ids: &[VersionId]) -> Result<Vec<VersionFacts>> {
    let which = "v.owner_id = $1 AND v.id = ANY($2)";
    let query = diesel::sql_query(format!("{FACTS}{which}{CHANNELS}{which}{ORDER}"));
    Ok(query.bind::<BigInt, _>(owner).bind::<Array<BigInt>, _>(ids).load(conn)?)
}

/// Notes when a server begins to record the last download of each version. What was downloaded before is unknown, and
/// rules must not take that for never.
///
/// # Errors
/// Database errors.
pub fn begin_recording(conn: &mut PgConnection, now: Timestamp) -> Result<()> {
    let known = settings::get_or_set(conn, RECORDED_SINCE, &json!(now))?;
    let known: Timestamp = serde_json::from_value(known).map_err(Error::internal)?;
    // From a clock that was ahead.
    if known > now.latest_end_of(std::time::Duration::ZERO) {
        settings::set(conn, RECORDED_SINCE, &json!(now))?;
    }
    Ok(())
}

/// Since when the last download of each version is recorded: now, if it never was.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn recorded_since(conn: &mut PgConnection, now: Timestamp) -> Result<Timestamp> {
    let known = settings::get(conn, RECORDED_SINCE)?;
    let known: Option<Timestamp> = known.map(serde_json::from_value).transpose().map_err(Error::internal)?;
    Ok(known.map_or(now, |known| known.min(now)))
}
