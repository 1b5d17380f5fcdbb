//! What the retention rules of an owner would do if one of them were as it is typed.

use super::super::format::{Bytes, Count, When};
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::RetentionRuleId;
use crate::domain::names::OwnerName;
use crate::domain::retention::RetentionRule;
use crate::error::Result;
use crate::registry::access::CanSetRetention;
use crate::registry::packages::retention::preview::{self, Preview, PreviewLine};
use crate::registry::packages::retention::rules;

/// How many versions the page of a rule lists.
const LISTED: usize = 50;

/// What the rules would do if a rule were as it is typed.
pub(super) struct RulePreview {
    pub(super) deleted: Count,
    pub(super) kept: Count,
    pub(super) free: Bytes,
    /// The first versions that would be deleted.
    pub(super) table: PreviewTable,
}

impl RulePreview {
    /// Applies the owner's rules, with one of them replaced or added. It counts as enabled, and so do they only if they
    /// are.
    ///
    /// # Errors
    /// As [`preview::preview`].
    pub(super) fn of(
        conn: &mut Connection,
        right: &CanSetRetention,
        (id, rule, place): (Option<RetentionRuleId>, RetentionRule, Option<i32>),
        now: Timestamp,
    ) -> Result<Self> {
        let mut rules = rules::list(conn, &right.to_see())?;
        let old = rules.iter().position(|stored| Some(stored.id) == id);
        if let Some(at) = old {
            rules.remove(at);
        }
        let mut rules: Vec<RetentionRule> = rules.into_iter().map(|stored| stored.rule).collect();
        let place = place.and_then(|place| usize::try_from(place - 1).ok()).or(old).unwrap_or(rules.len());
        rules.insert(place.min(rules.len()), RetentionRule { enabled: true, ..rule });
        let Preview { mut lines, kept, deleted, free_bytes, .. } =
            preview::preview(conn, &right.to_see(), Some(&rules), now)?;
        lines.retain(|line| line.decision.deletes);
        lines.truncate(LISTED);
        let table = PreviewTable { name: right.owner().name.clone(), lines, now };
        Ok(Self { deleted: Count(deleted), kept: Count(kept), free: Bytes(free_bytes), table })
    }
}

/// Versions of an owner, and what the rules do with them.
pub(super) struct PreviewTable {
    name: OwnerName,
    pub(super) lines: Vec<PreviewLine>,
    now: Timestamp,
}

impl PreviewTable {
    pub(super) fn new(name: OwnerName, lines: Vec<PreviewLine>, now: Timestamp) -> Self {
        Self { name, lines, now }
    }

    pub(super) fn url(&self, line: &PreviewLine) -> String {
        address::version_page(&self.name, &line.facts.package, &line.facts.version)
    }

    pub(super) fn size(&self, line: &PreviewLine) -> Bytes {
        Bytes(line.facts.bytes)
    }

    pub(super) fn published(&self, line: &PreviewLine) -> When {
        self.when(&line.facts.since())
    }

    pub(super) fn when(&self, at: &Timestamp) -> When {
        When { at: *at, now: self.now }
    }
}
