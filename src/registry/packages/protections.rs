//! Protection rules of an owner: the lowest role that may publish, replace and delete files of some versions of some
//! packages. [`check`] is the one place that enforces them; everything that changes a version calls it once the version
//! is known.

use super::lookup::package_is;
use crate::db::schema::{owners, packages, protections, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::ProtectionId;
use crate::domain::package_access::{LeastRole, VersionPattern};
use crate::domain::role::PackagePattern;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanShare};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use serde_json::json;

/// The most rules of an owner: each upload reads all of them.
const MOST: i64 = 100;

/// A protection rule.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = protections)]
pub struct Protection {
    pub id: ProtectionId,
    pub name: String,
    /// The packages, as a pattern.
    pub packages: String,
    /// Their versions, as a pattern.
    pub versions: String,
    pub publish: LeastRole,
    pub replace: LeastRole,
    #[diesel(column_name = remove)]
    pub delete: LeastRole,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The properties of a rule to create, or of a rule after a change.
#[derive(Debug, Clone)]
pub struct NewProtection {
    pub name: String,
    pub packages: PackagePattern,
    pub versions: VersionPattern,
    pub publish: LeastRole,
    pub replace: LeastRole,
    pub delete: LeastRole,
}

impl NewProtection {
    /// Checks the properties.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is empty, too long, or has control characters.
    fn check(&self) -> Result<()> {
        let name = &self.name;
        if name.is_empty() || name.trim() != name || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "name",
                "name: use 1 to 255 bytes without control characters, and no white space at either end",
            ));
        }
        Ok(())
    }
}

/// What is done to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A file is added, or the version is published or changed.
    Publish,
    /// A file takes the place of another.
    Replace,
    /// A file or the version is deleted or moved away.
    Delete,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish to",
            Self::Replace => "replace files of",
            Self::Delete => "delete from",
        }
    }

    fn least(self, rule: &Protection) -> LeastRole {
        match self {
            Self::Publish => rule.publish,
            Self::Replace => rule.replace,
            Self::Delete => rule.delete,
        }
    }
}

/// The rules that keep a publisher from doing something to some versions of their package, by name.
fn obstacles(conn: &mut PgConnection, right: &CanPublish, action: Action) -> Result<Vec<(Protection, VersionPattern)>> {
    let rules: Vec<Protection> = protections::table
        .filter(protections::owner_id.eq(right.owner().id))
        .order(protections::lower_name)
        .select(Protection::as_select())
        .load(conn)?;
    let lower = right.package().lower();
    let mut found = Vec::new();
    for rule in rules {
        let packages: PackagePattern = rule.packages.parse().map_err(Error::internal)?;
        if right.permission().number() < action.least(&rule).number() && packages.matches(&lower) {
            let versions = rule.versions.parse().map_err(Error::internal)?;
            found.push((rule, versions));
        }
    }
    Ok(found)
}

fn refusal(right: &CanPublish, action: Action, rule: &Protection, version: &Version) -> Error {
    let who = match action.least(rule) {
        LeastRole::Nobody => "nobody".to_owned(),
        LeastRole::Owner => format!("only owners of {}", right.owner().name),
        role => format!("only users with the permission {role}"),
    };
    let (package, user, permission) = (right.package(), &right.user().name, right.permission());
    Error::Forbidden(format!(
        "the protection rule {:?} of {} lets {who} {} {package} {version}, and {user} has the permission {permission}",
        rule.name,
        right.owner().name,
        action.word(),
    ))
}

/// Checks that an owner's protection rules let a publisher do something to a version, which need not exist.
///
/// # Errors
/// [`Error::Forbidden`] naming the rule.
pub fn check(conn: &mut PgConnection, right: &CanPublish, action: Action, version: &Version) -> Result<()> {
    let lower = version.lower();
    match obstacles(conn, right, action)?.iter().find(|(_, pattern)| pattern.matches(&lower)) {
        Some((rule, _)) => Err(refusal(right, action, rule, version)),
        None => Ok(()),
    }
}

/// As [`check`], for every version of the package.
///
/// # Errors
/// [`Error::Forbidden`] naming the rule and a version.
pub fn check_all(conn: &mut PgConnection, right: &CanPublish, action: Action) -> Result<()> {
    check_each(conn, right, action, |conn| {
        Ok(versions::table
            .inner_join(packages::table)
            .filter(package_is(right.owner().id, right.package()))
            .order(versions::id)
            .select(versions::version)
            .load(conn)?)
    })
}

/// As [`check`], for the versions of the package that this finds. They are only read if there is a rule for the package.
///
/// # Errors
/// [`Error::Forbidden`] naming the rule and a version.
pub(super) fn check_each(
    conn: &mut PgConnection,
    right: &CanPublish,
    action: Action,
    versions: impl FnOnce(&mut PgConnection) -> Result<Vec<Version>>,
) -> Result<()> {
    let obstacles = obstacles(conn, right, action)?;
    if obstacles.is_empty() {
        return Ok(());
    }
    for version in versions(conn)? {
        let lower = version.lower();
        if let Some((rule, _)) = obstacles.iter().find(|(_, pattern)| pattern.matches(&lower)) {
            return Err(refusal(right, action, rule, &version));
        }
    }
    Ok(())
}

/// An owner's rules, by name.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanShare, slice: Slice) -> Result<Page<Protection>> {
    let own = protections::table.filter(protections::owner_id.eq(right.owner().id));
    let total = own.count().get_result(conn)?;
    let page = own.order(protections::lower_name).offset(slice.offset).limit(slice.limit);
    Ok(Page { items: page.select(Protection::as_select()).load(conn)?, total })
}

/// A rule of an owner.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanShare, id: ProtectionId) -> Result<Protection> {
    let own = protections::table.find(id).filter(protections::owner_id.eq(right.owner().id));
    own.select(Protection::as_select()).first(conn).optional()?.ok_or(Error::NotFound(What::Protection))
}

/// Creates a rule.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] for a name that is taken; [`Error::Blocked`] when the owner has the maximum
/// number of rules.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    new: &NewProtection,
    now: Timestamp,
) -> Result<Protection> {
    new.check()?;
    let owner = right.owner();
    // Two requests for the last free place take turns.
    let held: Option<i16> =
        owners::table.find(owner.id).select(owners::narrowest_package).for_no_key_update().first(conn).optional()?;
    held.ok_or(Error::NotFound(What::Owner))?;
    let count: i64 = protections::table.filter(protections::owner_id.eq(owner.id)).count().get_result(conn)?;
    if count >= MOST {
        return Err(Error::Blocked(format!(
            "{} already has {MOST} protection rules, which is the limit: delete one first",
            owner.name
        )));
    }
    let made: Option<Protection> = diesel::insert_into(protections::table)
        .values((
            protections::owner_id.eq(owner.id),
            protections::name.eq(&new.name),
            protections::lower_name.eq(new.name.to_lowercase()),
            protections::packages.eq(new.packages.as_str()),
            protections::versions.eq(new.versions.as_str()),
            protections::publish.eq(new.publish),
            protections::replace.eq(new.replace),
            protections::remove.eq(new.delete),
            protections::created_at.eq(now),
            protections::updated_at.eq(now),
        ))
        .on_conflict((protections::owner_id, protections::lower_name))
        .do_nothing()
        .returning(Protection::as_returning())
        .get_result(conn)
        .optional()?;
    let made = made.ok_or(Error::Conflict(What::Protection))?;
    record(conn, caller, (Event::ProtectionCreate, right), &made, now)?;
    Ok(made)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanShare),
    rule: &Protection,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let detail = json!({
        "packages": rule.packages,
        "versions": rule.versions,
        "publish": rule.publish.as_str(),
        "replace": rule.replace.as_str(),
        "delete": rule.delete.as_str(),
    });
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: rule.name.clone(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// Gives a rule new properties.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] for a name that is taken.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    (id, new): (ProtectionId, &NewProtection),
    now: Timestamp,
) -> Result<Protection> {
    new.check()?;
    let own = protections::table.find(id).filter(protections::owner_id.eq(right.owner().id));
    let changed: Option<Protection> = diesel::update(own)
        .set((
            protections::name.eq(&new.name),
            protections::lower_name.eq(new.name.to_lowercase()),
            protections::packages.eq(new.packages.as_str()),
            protections::versions.eq(new.versions.as_str()),
            protections::publish.eq(new.publish),
            protections::replace.eq(new.replace),
            protections::remove.eq(new.delete),
            protections::updated_at.eq(now),
        ))
        .returning(Protection::as_returning())
        .get_result(conn)
        .optional()
        .map_err(|error| match &error {
            diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _) => {
                Error::Conflict(What::Protection)
            }
            _ => Error::from(error),
        })?;
    let changed = changed.ok_or(Error::NotFound(What::Protection))?;
    record(conn, caller, (Event::ProtectionUpdate, right), &changed, now)?;
    Ok(changed)
}

/// Deletes a rule.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    id: ProtectionId,
    now: Timestamp,
) -> Result<()> {
    let rule = find(conn, right, id)?;
    match diesel::delete(protections::table.find(id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Protection)),
        _ => record(conn, caller, (Event::ProtectionDelete, right), &rule, now),
    }
}
