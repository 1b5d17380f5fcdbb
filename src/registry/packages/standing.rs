//! The state and the flags of a version, as downloads, lists and pages show them.

use crate::db::schema::{packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::VersionId;
use crate::domain::package_texts::Reason;
use crate::domain::version::{self, Ranked, Version};
use crate::domain::version_state::{Life, VersionState};
use diesel::Queryable;

/// The state of a version and its flags.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Standing {
    pub life: Life,
    /// Whether the publisher says that it is a pre-release; `None`: as its name says.
    pub prerelease: Option<bool>,
    /// Since when `latest` skips it.
    pub yanked_at: Option<Timestamp>,
    pub yank_reason: Reason,
    pub deprecated_at: Option<Timestamp>,
    pub deprecation_message: Reason,
    /// The version to use instead.
    pub successor: Option<Version>,
    /// Since when it cannot be deleted.
    pub held_at: Option<Timestamp>,
    pub hold_reason: Reason,
    /// When it will be deleted.
    pub expires_at: Option<Timestamp>,
}

impl Standing {
    /// Whether it is a draft, which only publishers see.
    pub fn is_draft(&self) -> bool {
        self.life.stored == VersionState::Draft
    }

    /// Whether `latest` may stand for it.
    pub fn may_be_latest(&self) -> bool {
        !self.is_draft() && self.yanked_at.is_none()
    }

    /// Whether a version of this name is a pre-release: the publisher says so, or else its name.
    pub fn is_prerelease(&self, version: &Version) -> bool {
        self.prerelease.unwrap_or_else(|| version.is_prerelease())
    }
}

pub(super) type LifeColumns =
    (versions::state, versions::created_at, versions::published_at, versions::sealed_at, packages::seal_after_seconds);
/// The columns of a [`Life`], in a query that joins the package.
pub(super) const LIFE_COLUMNS: LifeColumns =
    (versions::state, versions::created_at, versions::published_at, versions::sealed_at, packages::seal_after_seconds);

pub(super) type StandingColumns = (
    LifeColumns,
    versions::is_prerelease,
    versions::yanked_at,
    versions::yank_reason,
    versions::deprecated_at,
    versions::deprecation_message,
    versions::successor,
    versions::held_at,
    versions::hold_reason,
    versions::expires_at,
);
/// The columns of a [`Standing`], in a query that joins the package.
pub(super) const STANDING_COLUMNS: StandingColumns = (
    LIFE_COLUMNS,
    versions::is_prerelease,
    versions::yanked_at,
    versions::yank_reason,
    versions::deprecated_at,
    versions::deprecation_message,
    versions::successor,
    versions::held_at,
    versions::hold_reason,
    versions::expires_at,
);

/// What orders a version among the others of its package, and whether `latest` may stand for it.
#[derive(Debug, Clone, Queryable)]
pub(super) struct RankedRow {
    pub version: Version,
    pub created_at: Timestamp,
    pub id: VersionId,
    /// Whether the publisher says that it is a pre-release.
    pub prerelease: Option<bool>,
    yanked_at: Option<Timestamp>,
    state: VersionState,
}

pub(super) type RankColumns = (
    versions::version,
    versions::created_at,
    versions::id,
    versions::is_prerelease,
    versions::yanked_at,
    versions::state,
);
/// The columns of a [`RankedRow`].
pub(super) const RANK_COLUMNS: RankColumns = (
    versions::version,
    versions::created_at,
    versions::id,
    versions::is_prerelease,
    versions::yanked_at,
    versions::state,
);

impl RankedRow {
    pub(super) fn ranked(&self) -> Ranked<'_, (Timestamp, VersionId)> {
        Ranked { version: &self.version, prerelease: self.prerelease, date: (self.created_at, self.id) }
    }

    pub(super) fn may_be_latest(&self) -> bool {
        self.state != VersionState::Draft && self.yanked_at.is_none()
    }
}

/// The version that `latest` stands for, if any may be.
pub(super) fn latest(rows: &[RankedRow]) -> Option<&RankedRow> {
    version::latest(rows.iter().filter(|row| row.may_be_latest()), |row| row.ranked())
}

/// The version to show for a package: the latest, or where there is none, the best of the yanked ones, or of the drafts.
pub(super) fn foremost(rows: &[RankedRow]) -> Option<&RankedRow> {
    let published = || rows.iter().filter(|row| row.state != VersionState::Draft);
    latest(rows)
        .or_else(|| version::latest(published(), |row| row.ranked()))
        .or_else(|| version::latest(rows, |row| row.ranked()))
}
