//! Changing what is said about a version: its notes, labels and flags.

use super::changeable;
use super::protections::{self, Action};
use super::version_states::{self, LockedVersion};
use crate::db::schema::versions;
use crate::domain::clock::Timestamp;
use crate::domain::labels::Labels;
use crate::domain::package_texts::{Markdown, Reason};
use crate::domain::path::VersionPath;
use crate::domain::role::Permission;
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result};
use crate::registry::access::CanPublish;
use crate::registry::audit::Event;
use crate::registry::caller::Caller;
use crate::registry::webhooks::outbox;
use diesel::prelude::*;
use serde_json::{Map, Value, json};

/// The changes to a version. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default)]
pub struct VersionEdit {
    pub notes: Option<Markdown>,
    pub labels: Option<Labels>,
    /// Whether it is a pre-release; `Some(None)`: as its name says.
    pub prerelease: Option<Option<bool>>,
    pub yanked: Option<bool>,
    pub yank_reason: Option<Reason>,
    pub deprecated: Option<bool>,
    pub deprecation_message: Option<Reason>,
    pub successor: Option<Option<Version>>,
    /// Only owners and administrators may change it.
    pub hold: Option<bool>,
    pub hold_reason: Option<Reason>,
    pub expires_at: Option<Option<Timestamp>>,
}

/// Changes a version. Changes that concern others are announced to webhooks.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] for a hold by someone who is not an owner, when a protection rule forbids it,
/// and for the expiry of a version that the caller may not delete; [`Error::Invalid`] for values that contradict each
/// other.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (path, edit): (&VersionPath, &VersionEdit),
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    if (edit.hold.is_some() || edit.hold_reason.is_some()) && owner.permission() < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only an owner of {} or an administrator can put a version on hold or lift a hold",
            owner.name
        )));
    }
    let before = version_states::lock(conn, owner.id, path)?;
    let after = Edited::new(&before, edit, now)?;
    let changes = after.changes(&before);
    if changes.is_empty() {
        return Ok(());
    }
    demand(conn, right, (&before, &after), now)?;
    after.write(conn, &before)?;
    if !before.standing.is_draft() {
        let news = after.news(&before);
        if !news.is_empty() {
            outbox::announce_update(conn, caller, before.id, &news, now)?;
        }
    }
    let owner = (owner.id, &owner.name);
    version_states::record(conn, caller, (Event::VersionUpdate, owner), (&before, Value::Object(changes)), now)
}

/// Checks that the caller may change the version like this. Whoever lets it expire, or expire sooner, deletes it.
fn demand(
    conn: &mut PgConnection,
    right: &CanPublish,
    (before, after): (&LockedVersion, &Edited),
    now: Timestamp,
) -> Result<()> {
    protections::check(conn, right, Action::Publish, &before.version)?;
    let sooner = match (before.standing.expires_at, after.expires_at) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after < before,
    };
    if !sooner {
        return Ok(());
    }
    protections::check(conn, right, Action::Delete, &before.version)?;
    let owner = right.owner();
    let is_sealed = before.standing.life.state(now) == VersionState::Sealed;
    if is_sealed && owner.permission() < Some(Permission::Owner) {
        return Err(changeable::sealed_for_owners(&before.version, &owner.name));
    }
    Ok(())
}

/// What is said about a version after an edit.
struct Edited {
    notes: Markdown,
    labels: Labels,
    prerelease: Option<bool>,
    yanked: Flag,
    deprecated: Flag,
    successor: Option<Version>,
    hold: Flag,
    expires_at: Option<Timestamp>,
}

/// A flag: since when it is set, and why. Without the flag there is no reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flag {
    since: Option<Timestamp>,
    why: Reason,
}

impl Flag {
    /// The flag after an edit; `fields` are the names of the two fields.
    fn edited(
        before: (Option<Timestamp>, &Reason),
        (set, why): (Option<bool>, Option<&Reason>),
        fields: [&'static str; 2],
        now: Timestamp,
    ) -> Result<Self> {
        let since = match set {
            Some(true) => before.0.or(Some(now)),
            Some(false) => None,
            None => before.0,
        };
        let given = why.filter(|why| !why.is_empty());
        match (since, given) {
            (None, Some(_)) => {
                let [flag, field] = fields;
                Err(Error::invalid(field, format!("{field}: leave it out, because {flag} is not true")))
            }
            (None, None) => Ok(Self { since, why: Reason::default() }),
            (Some(_), _) => Ok(Self { since, why: why.unwrap_or(before.1).clone() }),
        }
    }

    fn json(&self) -> Value {
        json!({"since": self.since, "reason": self.why})
    }
}

impl Edited {
    fn new(version: &LockedVersion, edit: &VersionEdit, now: Timestamp) -> Result<Self> {
        let before = &version.standing;
        let deprecated = (edit.deprecated, edit.deprecation_message.as_ref());
        let deprecated = Flag::edited(
            (before.deprecated_at, &before.deprecation_message),
            deprecated,
            ["deprecated", "deprecation_message"],
            now,
        )?;
        Ok(Self {
            notes: edit.notes.as_ref().unwrap_or(&version.notes).clone(),
            labels: edit.labels.as_ref().unwrap_or(&version.labels).clone(),
            prerelease: edit.prerelease.unwrap_or(before.prerelease),
            yanked: Flag::edited(
                (before.yanked_at, &before.yank_reason),
                (edit.yanked, edit.yank_reason.as_ref()),
                ["yanked", "yank_reason"],
                now,
            )?,
            successor: successor(version, edit, deprecated.since.is_some())?,
            deprecated,
            hold: Flag::edited(
                (before.held_at, &before.hold_reason),
                (edit.hold, edit.hold_reason.as_ref()),
                ["hold", "hold_reason"],
                now,
            )?,
            expires_at: match edit.expires_at {
                Some(Some(at)) if at <= now => {
                    return Err(Error::invalid("expires_at", format!("expires_at: {at} is in the past")));
                }
                Some(at) => at,
                None => before.expires_at,
            },
        })
    }

    /// The changed fields and their new values, for the audit log. A long text is only named.
    fn changes(&self, version: &LockedVersion) -> Map<String, Value> {
        let before = &version.standing;
        let flag = |since, why: &Reason| Flag { since, why: why.clone() };
        let all = [
            ("notes", self.notes != version.notes, json!(self.notes.as_str().len())),
            ("labels", self.labels != version.labels, json!(self.labels)),
            ("prerelease", self.prerelease != before.prerelease, json!(self.prerelease)),
            ("yanked", self.yanked != flag(before.yanked_at, &before.yank_reason), self.yanked.json()),
            (
                "deprecated",
                self.deprecated != flag(before.deprecated_at, &before.deprecation_message),
                self.deprecated.json(),
            ),
            ("successor", self.successor != before.successor, json!(self.successor)),
            ("hold", self.hold != flag(before.held_at, &before.hold_reason), self.hold.json()),
            ("expires_at", self.expires_at != before.expires_at, json!(self.expires_at)),
        ];
        let name = |field: &str| if field == "notes" { "notes_bytes".to_owned() } else { field.to_owned() };
        all.into_iter().filter(|(_, changed, _)| *changed).map(|(field, _, value)| (name(field), value)).collect()
    }

    /// The changes that are news for others.
    fn news(&self, version: &LockedVersion) -> Vec<&'static str> {
        let before = &version.standing;
        let word = |was: Option<Timestamp>, is: Option<Timestamp>, set, unset| match (was, is) {
            (None, Some(_)) => Some(set),
            (Some(_), None) => Some(unset),
            _ => None,
        };
        let explained = self.deprecated.why != before.deprecation_message || self.successor != before.successor;
        let again = self.deprecated.since.is_some() && before.deprecated_at.is_some() && explained;
        [
            word(before.yanked_at, self.yanked.since, "yanked", "unyanked"),
            word(before.deprecated_at, self.deprecated.since, "deprecated", "undeprecated"),
            again.then_some("deprecated"),
            word(before.held_at, self.hold.since, "held", "released"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn write(&self, conn: &mut PgConnection, version: &LockedVersion) -> Result<()> {
        let flags = (
            versions::yanked_at.eq(self.yanked.since),
            versions::yank_reason.eq(&self.yanked.why),
            versions::deprecated_at.eq(self.deprecated.since),
            versions::deprecation_message.eq(&self.deprecated.why),
            versions::successor.eq(self.successor.as_ref()),
            versions::held_at.eq(self.hold.since),
            versions::hold_reason.eq(&self.hold.why),
            versions::expires_at.eq(self.expires_at),
        );
        let texts = (
            versions::notes.eq(&self.notes),
            versions::labels.eq(&self.labels),
            versions::is_prerelease.eq(self.prerelease),
        );
        diesel::update(versions::table.find(version.id)).set((flags, texts)).execute(conn)?;
        Ok(())
    }
}

/// The version to use instead, which only a deprecated version has.
fn successor(version: &LockedVersion, edit: &VersionEdit, deprecated: bool) -> Result<Option<Version>> {
    let after = edit.successor.as_ref().unwrap_or(&version.standing.successor).clone();
    match after {
        Some(same) if same.lower() == version.version.lower() => {
            Err(Error::invalid("successor", format!("successor: {same} is the version itself: name another")))
        }
        Some(_) if !deprecated && edit.successor.is_some() => {
            Err(Error::invalid("successor", "successor: the version is not deprecated, so it needs no successor"))
        }
        Some(other) if deprecated => Ok(Some(other)),
        _ => Ok(None),
    }
}
