//! The settings of a package: what is said about it, and the rules for its versions.

use super::lookup::package_is;
use super::protections::{self, Action};
use super::version_states;
use super::{lifecycle, lookup};
use crate::db::schema::packages;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{PackageId, VersionId};
use crate::domain::iso_duration::IsoDuration;
use crate::domain::labels::Labels;
use crate::domain::names::PackageName;
use crate::domain::overwrite::Overwrite;
use crate::domain::package_texts::{Markdown, Summary};
use crate::domain::role::{Area, Level, Permission, Visibility};
use crate::domain::text::{Line, Website};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanRead, has_shown_version};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use diesel::prelude::*;
use serde_json::{Map, Value, json};

/// The settings of a package.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = packages, check_for_backend(diesel::pg::Pg))]
pub struct PackageSettings {
    pub name: PackageName,
    pub description: Summary,
    pub homepage: Website,
    pub source_url: Website,
    /// An SPDX expression or any other text.
    pub license: Line,
    pub labels: Labels,
    pub readme: Markdown,
    /// Since when nothing can be published to it.
    pub archived_at: Option<Timestamp>,
    /// The versions whose files may be replaced by an upload.
    #[diesel(column_name = overwrite_versions, deserialize_as = Vec<String>)]
    pub overwrite: Overwrite,
    /// How long after its publication a version is sealed.
    #[diesel(column_name = seal_after_seconds)]
    pub seal_after: Option<IsoDuration>,
    /// Its own visibility, which [`super::visibility`] changes; `None` for its owner's.
    pub visibility: Option<Visibility>,
    /// Whether only trusted publishers may add files.
    pub trusted_publishing_only: bool,
}

/// The changes to a package. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default)]
pub struct PackageEdit {
    pub description: Option<Summary>,
    pub homepage: Option<Website>,
    pub source_url: Option<Website>,
    pub license: Option<Line>,
    pub labels: Option<Labels>,
    pub readme: Option<Markdown>,
    pub archived: Option<bool>,
    pub overwrite: Option<Overwrite>,
    /// `Some(None)`: versions are not sealed by time.
    pub seal_after: Option<Option<IsoDuration>>,
    /// Changing it needs the permission `admin` for the package.
    pub trusted_publishing_only: Option<bool>,
}

/// The settings of a package that is shown to a reader.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanRead, name: &PackageName) -> Result<PackageSettings> {
    let owner = right.owner().id;
    let row = packages::table.filter(package_is(owner, name)).filter(has_shown_version(&right.draft_limit(), owner));
    row.select(PackageSettings::as_select()).first(conn).optional()?.ok_or(Error::NotFound(What::Package))
}

/// The settings of a package for a publisher.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find_own(conn: &mut PgConnection, right: &CanPublish, name: &PackageName) -> Result<PackageSettings> {
    let (id, _) = lookup::package(conn, right.owner().id, name)?;
    load(conn, id)
}

fn load(conn: &mut PgConnection, id: PackageId) -> Result<PackageSettings> {
    let row = packages::table.find(id).select(PackageSettings::as_select());
    row.first(conn).optional()?.ok_or(Error::NotFound(What::Package))
}

/// Changes the settings of a package. This waits for running uploads, so that none ends after the package was archived.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] when a protection rule forbids it, and for who may add files, which needs the
/// permission `admin` and, for a token, the scope `write:organization`.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (name, edit): (&PackageName, &PackageEdit),
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let id = lifecycle::lock(conn, owner.id, name)?;
    let before = load(conn, id)?;
    let after = edited(&before, edit, now);
    let changes = changes(&before, &after);
    if changes.is_empty() {
        return Ok(());
    }
    if after.trusted_publishing_only != before.trusted_publishing_only {
        // A token that only publishes must not be able to open the package to itself.
        right.demand(Permission::Admin)?;
        caller.demand_scope(Area::Organization, Level::Write)?;
    }
    if after.seal_after != before.seal_after {
        // It seals versions, which cannot be undone.
        protections::check_all(conn, right, Action::Publish)?;
        // What is sealed under the old setting stays sealed.
        seal_all_due(conn, caller, id, now)?;
    }
    diesel::update(packages::table.find(id))
        .set((
            packages::description.eq(&after.description),
            packages::homepage.eq(&after.homepage),
            packages::source_url.eq(&after.source_url),
            packages::license.eq(&after.license),
            packages::labels.eq(&after.labels),
            packages::readme.eq(&after.readme),
            packages::archived_at.eq(after.archived_at),
            packages::overwrite_versions.eq(after.overwrite.patterns()),
            packages::seal_after_seconds.eq(after.seal_after),
            packages::trusted_publishing_only.eq(after.trusted_publishing_only),
        ))
        .execute(conn)?;
    let subject =
        Subject { owner: Some((owner.id, &owner.name)), text: before.name.to_string(), detail: Value::Object(changes) };
    audit::record(conn, caller, Event::PackageUpdate, &subject, now)
}

fn edited(before: &PackageSettings, edit: &PackageEdit, now: Timestamp) -> PackageSettings {
    let PackageEdit { description, homepage, source_url, license, labels, readme, archived, overwrite, .. } = edit;
    PackageSettings {
        name: before.name.clone(),
        description: description.as_ref().unwrap_or(&before.description).clone(),
        homepage: homepage.as_ref().unwrap_or(&before.homepage).clone(),
        source_url: source_url.as_ref().unwrap_or(&before.source_url).clone(),
        license: license.as_ref().unwrap_or(&before.license).clone(),
        labels: labels.as_ref().unwrap_or(&before.labels).clone(),
        readme: readme.as_ref().unwrap_or(&before.readme).clone(),
        archived_at: match archived {
            Some(true) => before.archived_at.or(Some(now)),
            Some(false) => None,
            None => before.archived_at,
        },
        overwrite: overwrite.as_ref().unwrap_or(&before.overwrite).clone(),
        seal_after: edit.seal_after.unwrap_or(before.seal_after),
        visibility: before.visibility,
        trusted_publishing_only: edit.trusted_publishing_only.unwrap_or(before.trusted_publishing_only),
    }
}

/// The changed settings and their new values, for the audit log. A long text is only named.
fn changes(before: &PackageSettings, after: &PackageSettings) -> Map<String, Value> {
    let all = [
        ("description", before.description != after.description, json!(after.description)),
        ("homepage", before.homepage != after.homepage, json!(after.homepage)),
        ("source_url", before.source_url != after.source_url, json!(after.source_url)),
        ("license", before.license != after.license, json!(after.license)),
        ("labels", before.labels != after.labels, json!(after.labels)),
        ("readme_bytes", before.readme != after.readme, json!(after.readme.as_str().len())),
        ("archived", before.archived_at != after.archived_at, json!(after.archived_at.is_some())),
        ("overwrite", before.overwrite != after.overwrite, json!(after.overwrite)),
        ("seal_after", before.seal_after != after.seal_after, json!(after.seal_after)),
        (
            "trusted_publishing_only",
            before.trusted_publishing_only != after.trusted_publishing_only,
            json!(after.trusted_publishing_only),
        ),
    ];
    all.into_iter().filter(|(_, changed, _)| *changed).map(|(field, _, value)| (field.to_owned(), value)).collect()
}

/// How many due versions are read at a time.
const AT_ONCE: i64 = 500;

fn seal_all_due(conn: &mut PgConnection, caller: &Caller, package: PackageId, now: Timestamp) -> Result<()> {
    let mut after = VersionId(0);
    loop {
        let due = version_states::due(conn, Some(package), after, AT_ONCE, now)?;
        let Some(last) = due.last() else { return Ok(()) };
        after = last.id;
        for version in &due {
            version_states::seal_due(conn, caller, version, now)?;
        }
    }
}
