//! What the rules decide about a version, and why.

use crate::domain::clock::Timestamp;

/// What decided about a version. The words are the fields of the rules, and those of what always stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// No rule that deletes is about the version.
    NoRule,
    Hold,
    Channel,
    YoungDraft,
    LatestStable,
    KeepLast,
    KeepVersions,
    KeepPattern,
    KeepIfDownloaded,
    DeletePattern,
    OlderThan,
    NotDownloaded,
    Superseded,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 13] = [
        Self::NoRule,
        Self::Hold,
        Self::Channel,
        Self::YoungDraft,
        Self::LatestStable,
        Self::KeepLast,
        Self::KeepVersions,
        Self::KeepPattern,
        Self::KeepIfDownloaded,
        Self::DeletePattern,
        Self::OlderThan,
        Self::NotDownloaded,
        Self::Superseded,
    ];

    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::Hold => "hold",
            Self::Channel => "channel",
            Self::YoungDraft => "young_draft",
            Self::LatestStable => "latest_stable",
            Self::KeepLast => "keep_last",
            Self::KeepVersions => "keep_versions",
            Self::KeepPattern => "keep_pattern",
            Self::KeepIfDownloaded => "keep_if_downloaded_within_days",
            Self::DeletePattern => "delete_pattern",
            Self::OlderThan => "delete_older_than_days",
            Self::NotDownloaded => "delete_not_downloaded_for_days",
            Self::Superseded => "delete_superseded_prereleases",
        }
    }
}

/// A decision and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub deletes: bool,
    /// The rule that decided, by its place among the rules; `None` for what is so whatever the rules say.
    pub rule: Option<usize>,
    /// For a deletion all conditions of the rule, which all hold; otherwise the one that keeps the version.
    pub conditions: Vec<Condition>,
    /// The reason in words, as the end of a sentence about the version.
    pub reason: String,
}

/// The time of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Timestamp,
    /// Since when the last download of each version is recorded.
    pub recorded_since: Timestamp,
}

impl Decision {
    pub(super) fn keep(rule: Option<usize>, condition: Condition, reason: impl Into<String>) -> Self {
        Self { deletes: false, rule, conditions: vec![condition], reason: reason.into() }
    }
}
