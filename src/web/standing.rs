//! How a version stands: its badges in lists, the notices on its page, and the fields of the forms that change it.

use super::format::When;
use super::orgs::lines;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::labels::Labels;
use crate::domain::package_texts::Markdown;
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result};
use crate::registry::packages::standing::Standing;
use crate::registry::packages::version_edit::VersionEdit;
use serde::Deserialize;

/// What the badge of the latest version means.
pub const LATEST_MEANING: &str = "The release with the highest number; pre-releases and yanked versions don't count";

/// A word about a version, and what it means.
pub struct Badge {
    pub word: &'static str,
    pub class: &'static str,
    pub meaning: &'static str,
}

/// The badges of a version.
pub fn badges(standing: &Standing, version: &Version, now: Timestamp) -> Vec<Badge> {
    let state = standing.life.state(now);
    let all = [
        (
            state == VersionState::Draft,
            Badge { word: "Draft", class: "accent", meaning: "Only people who can publish here see it" },
        ),
        (
            standing.is_prerelease(version),
            Badge { word: "Pre-release", class: "", meaning: "Not the latest version while there is a release" },
        ),
        (
            standing.yanked_at.is_some(),
            Badge {
                word: "Yanked",
                class: "bad",
                meaning: "Withdrawn: not the latest version, and it should not be used",
            },
        ),
        (
            standing.deprecated_at.is_some(),
            Badge { word: "Deprecated", class: "warn", meaning: "Another version should be used instead" },
        ),
        (standing.held_at.is_some(), Badge { word: "On hold", class: "warn", meaning: "It cannot be deleted" }),
        (
            state == VersionState::Sealed,
            Badge {
                word: "Sealed",
                class: "good",
                meaning: "Its files never change: none is added, replaced or deleted",
            },
        ),
        (
            standing.expires_at.is_some(),
            Badge { word: "Expires", class: "warn", meaning: "It will be deleted at a set time" },
        ),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, badge)| badge).collect()
}

/// What the page of a version says about how it stands.
pub struct StandingView {
    pub badges: Vec<Badge>,
    pub state: VersionState,
    /// Since when it is yanked, and why.
    pub yanked: Option<(When, String)>,
    pub deprecated: Option<(When, String)>,
    /// The version to use instead, and its page.
    pub successor: Option<(String, String)>,
    pub hold: Option<(When, String)>,
    pub sealed: Option<When>,
    pub expires: Option<When>,
    path: VersionPath,
}

impl StandingView {
    pub fn new(standing: &Standing, path: &VersionPath, now: Timestamp) -> Self {
        let when = |at| When { at, now };
        let page =
            |version: &Version| (version.to_string(), address::version_page(&path.owner, &path.package, version));
        Self {
            badges: badges(standing, &path.version, now),
            state: standing.life.state(now),
            yanked: standing.yanked_at.map(|at| (when(at), standing.yank_reason.to_string())),
            deprecated: standing.deprecated_at.map(|at| (when(at), standing.deprecation_message.to_string())),
            successor: standing.successor.as_ref().map(page),
            hold: standing.held_at.map(|at| (when(at), standing.hold_reason.to_string())),
            sealed: standing.life.sealed_at(now).map(when),
            expires: standing.expires_at.map(when),
            path: path.clone(),
        }
    }

    pub fn is_draft(&self) -> bool {
        self.state == VersionState::Draft
    }

    pub fn is_sealed(&self) -> bool {
        self.state == VersionState::Sealed
    }

    pub fn publish_url(&self) -> String {
        address::version_publishing(&self.path.owner, &self.path.package, &self.path.version)
    }

    pub fn seal_url(&self) -> String {
        address::version_sealing(&self.path.owner, &self.path.package, &self.path.version)
    }

    pub fn copy_url(&self) -> String {
        address::version_copy(&self.path.owner, &self.path.package, &self.path.version)
    }

    pub fn edit_url(&self) -> String {
        address::version_edit(&self.path.owner, &self.path.package, &self.path.version)
    }
}

/// The last moment of a day (UTC), such as `2027-12-31`.
pub(super) fn last_moment_of(day: &str) -> Result<Timestamp, &'static str> {
    Timestamp::try_from(format!("{day}T23:59:59Z")).map_err(|_| "choose a date, such as 2027-12-31")
}

/// The forms that change a version, as they are stored or as one of them was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct VersionForms {
    /// Which one was sent: a word of [`VersionForms::read`].
    pub change: String,
    /// Why it is yanked, deprecated or on hold.
    pub reason: String,
    pub successor: String,
    pub notes: String,
    pub labels: String,
    /// Whether it is a pre-release: `yes`, `no`, or empty: as its name says.
    pub prerelease: String,
    /// A date, or empty for never.
    pub expires_on: String,
}

impl VersionForms {
    /// The forms before anything is typed.
    pub fn of(standing: &Standing, labels: &Labels, notes: &Markdown) -> Self {
        let prerelease = match standing.prerelease {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        Self {
            notes: notes.to_string(),
            labels: labels.to_lines(),
            prerelease: prerelease.to_owned(),
            expires_on: standing.expires_at.map(|at| at.day()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// These forms, with the one that was sent as it was typed.
    pub fn with(self, typed: Self) -> Self {
        match typed.change.as_str() {
            "notes" => Self { change: typed.change, notes: typed.notes, ..self },
            "details" => Self { change: typed.change, labels: typed.labels, prerelease: typed.prerelease, ..self },
            "expire" => Self { change: typed.change, expires_on: typed.expires_on, ..self },
            _ => Self { change: typed.change, reason: typed.reason, successor: typed.successor, ..self },
        }
    }

    /// The reason as it was typed in one of the forms.
    pub fn reason_of(&self, change: &str) -> &str {
        if self.change == change { &self.reason } else { "" }
    }

    /// The field of the form that was sent that a problem is about. Three forms ask for a reason.
    pub fn field_of(&self, field: &'static str) -> &'static str {
        match (field, self.change.as_str()) {
            ("reason" | "yank_reason", "yank") => "yank-reason",
            ("reason" | "deprecation_message", "deprecate") => "deprecation-message",
            ("reason" | "hold_reason", "hold") => "hold-reason",
            ("notes", _) => "notes-text",
            ("expires_at", _) => "expires_on",
            _ => field,
        }
    }

    /// The change, and what the next page says about it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn read(&self) -> Result<(VersionEdit, &'static str)> {
        let wrong = |field: &'static str, why: &dyn std::fmt::Display| Error::invalid(field, why.to_string());
        let reason = || self.reason.trim().parse().map(Some).map_err(|why| wrong("reason", &why));
        let successor = match self.successor.trim() {
            "" => None,
            text => Some(text.parse().map_err(|why| wrong("successor", &why))?),
        };
        let edit = VersionEdit::default();
        Ok(match self.change.as_str() {
            "yank" => (VersionEdit { yanked: Some(true), yank_reason: reason()?, ..edit }, "has been yanked"),
            "restore" => (VersionEdit { yanked: Some(false), ..edit }, "is no longer yanked"),
            "deprecate" => (
                VersionEdit {
                    deprecated: Some(true),
                    deprecation_message: reason()?,
                    successor: Some(successor),
                    ..edit
                },
                "has been deprecated",
            ),
            "undeprecate" => (VersionEdit { deprecated: Some(false), ..edit }, "is no longer deprecated"),
            "hold" => (VersionEdit { hold: Some(true), hold_reason: reason()?, ..edit }, "is on hold"),
            "release" => (VersionEdit { hold: Some(false), ..edit }, "is no longer on hold"),
            "notes" => {
                let notes = lines(&self.notes).parse().map_err(|why| wrong("notes", &why))?;
                (VersionEdit { notes: Some(notes), ..edit }, "has new notes")
            }
            "details" => {
                let labels = Labels::from_lines(&self.labels).map_err(|why| wrong("labels", &why))?;
                let prerelease = match self.prerelease.as_str() {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => None,
                };
                (VersionEdit { labels: Some(labels), prerelease: Some(prerelease), ..edit }, "has been saved")
            }
            "expire" => {
                let expires_at = match self.expires_on.trim() {
                    "" => None,
                    day => Some(last_moment_of(day).map_err(|why| wrong("expires_at", &why))?),
                };
                (VersionEdit { expires_at: Some(expires_at), ..edit }, "has a new expiration")
            }
            other => return Err(Error::invalid("change", format!("change: {other:?} is not a change of a version"))),
        })
    }
}
