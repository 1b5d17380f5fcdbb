//! The names that users and organizations share.

use crate::db::schema::{owner_redirects, owners, packages, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{OwnerKind, Visibility};
use crate::domain::text::{Line, Prose, Website};
use crate::error::{Error, Result, What};
use crate::registry::access::{has_shown_version_sql, listable, package_readable, readable, within_token_limits};
use crate::registry::caller::Caller;
use crate::registry::like::containing;
use crate::registry::operations::settings::{self, BASE_PATH_OWNER};
use crate::registry::packages::{trash_entries, visibility};
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use serde_json::json;

/// The properties of an owner to create.
#[derive(Debug, Clone)]
pub struct NewOwner<'a> {
    pub kind: OwnerKind,
    pub name: &'a OwnerName,
    pub full_name: &'a str,
    pub description: &'a str,
    pub website: &'a str,
    pub location: &'a str,
    pub visibility: Visibility,
}

/// An owner's profile, besides its names.
#[derive(Debug, Clone, Default, Queryable, Selectable)]
#[diesel(table_name = owners)]
pub struct Profile {
    pub description: String,
    pub website: String,
    pub location: String,
}

/// The details that an owner's own page shows.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = owners)]
pub struct OwnerDetails {
    pub full_name: String,
    #[diesel(embed)]
    pub profile: Profile,
    pub created_at: Timestamp,
}

/// The details of an owner that was found.
///
/// # Errors
/// Database errors.
pub fn about(conn: &mut PgConnection, id: OwnerId) -> Result<Option<OwnerDetails>> {
    Ok(owners::table.find(id).select(OwnerDetails::as_select()).first(conn).optional()?)
}

/// A change to an owner. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = owners)]
pub struct OwnerEdit {
    pub full_name: Option<Line>,
    pub description: Option<Prose>,
    pub website: Option<Website>,
    pub location: Option<Line>,
    pub visibility: Option<Visibility>,
}

impl OwnerEdit {
    /// The names of the changed fields, for the audit log.
    pub(in crate::registry) fn fields(&self) -> Vec<&'static str> {
        let all = [
            ("full_name", self.full_name.is_some()),
            ("description", self.description.is_some()),
            ("website", self.website.is_some()),
            ("location", self.location.is_some()),
            ("visibility", self.visibility.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// Creates an owner with a name that is free.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken.
pub fn insert(conn: &mut PgConnection, new: &NewOwner<'_>, now: Timestamp) -> Result<OwnerId> {
    if is_reserved(conn, new.name)? && !is_first_admin(conn, new)? {
        return Err(reserved("username", new.name));
    }
    let id = diesel::insert_into(owners::table)
        .values((
            owners::kind.eq(new.kind),
            owners::name.eq(new.name),
            owners::lower_name.eq(new.name.lower()),
            owners::full_name.eq(new.full_name),
            owners::description.eq(new.description),
            owners::website.eq(new.website),
            owners::location.eq(new.location),
            owners::visibility.eq(new.visibility),
            owners::created_at.eq(now),
        ))
        .on_conflict(owners::lower_name)
        .do_nothing()
        .returning(owners::id)
        .get_result(conn)
        .optional()?
        .ok_or(Error::Conflict(What::from(new.kind)))?;
    leads_nowhere(conn, new.name)?;
    Ok(id)
}

/// Whether the server uses this name itself: a page of an owner with this name could not be told from another address.
fn is_reserved(conn: &mut PgConnection, name: &OwnerName) -> Result<bool> {
    Ok(name.is_reserved() || settings::get(conn, BASE_PATH_OWNER)?.is_some_and(|own| own == name.lower().as_str()))
}

/// Reserves the name of the owner whose page has the path of the public address, instead of the previous one. Returns
/// whether there is such an owner already.
///
/// # Errors
/// Database errors.
pub fn reserve_base_path(conn: &mut PgConnection, name: Option<&OwnerName>) -> Result<bool> {
    let lower = name.map(OwnerName::lower);
    let known = settings::get(conn, BASE_PATH_OWNER)?;
    if known.is_some() || lower.is_some() {
        settings::set(conn, BASE_PATH_OWNER, &json!(lower))?;
    }
    let Some(lower) = lower else { return Ok(false) };
    let taken = owners::table.filter(owners::lower_name.eq(lower)).select(owners::id);
    Ok(diesel::select(diesel::dsl::exists(taken)).get_result(conn)?)
}

fn reserved(field: &'static str, name: &OwnerName) -> Error {
    Error::invalid(field, format!("{field}: the name {name} is reserved: choose another"))
}

/// Deletes the redirect from this name. Call it once the name is taken: then an owner who gave the name up at the same
/// moment has committed, and their redirect is visible.
fn leads_nowhere(conn: &mut PgConnection, name: &OwnerName) -> Result<()> {
    diesel::delete(owner_redirects::table.find(name.lower())).execute(conn)?;
    Ok(())
}

/// Whether this is the first administrator, who may be called `admin`. The name is reserved for everyone else, because
/// they could pass for the administrator.
fn is_first_admin(conn: &mut PgConnection, new: &NewOwner<'_>) -> Result<bool> {
    Ok(new.kind == OwnerKind::User && new.name.lower() == "admin" && !any_user(conn)?)
}

fn any_user(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(users::table.select(users::id))).get_result(conn)?)
}

/// Changes an owner's details.
///
/// # Errors
/// [`Error::NotFound`] when the owner no longer exists.
pub(in crate::registry) fn edit(conn: &mut PgConnection, id: OwnerId, edit: &OwnerEdit) -> Result<()> {
    if edit.fields().is_empty() {
        return Ok(());
    }
    if let Some(visibility) = edit.visibility {
        visibility::set_of_owner(conn, id, visibility)?;
    }
    match diesel::update(owners::table.find(id)).set(edit).execute(conn)? {
        0 => Err(Error::NotFound(What::Owner)),
        _ => Ok(()),
    }
}

/// Renames an owner. The old name redirects to it until someone else takes that name. `field` is the request field
/// that holds the new name.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken, [`Error::NotFound`] for an owner
/// that no longer exists.
pub(in crate::registry) fn rename(
    conn: &mut PgConnection,
    (id, kind): (OwnerId, OwnerKind),
    to: &OwnerName,
    field: &'static str,
    now: Timestamp,
) -> Result<()> {
    let from: OwnerName = owners::table
        .find(id)
        .select(owners::name)
        .for_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::from(kind)))?;
    if from.lower() != to.lower() && is_reserved(conn, to)? {
        return Err(reserved(field, to));
    }
    set_name(conn, id, to, What::from(kind))?;
    rename_robots(conn, id, to)?;
    leads_nowhere(conn, to)?;
    if from.lower() != to.lower() {
        let values = (owner_redirects::owner_id.eq(id), owner_redirects::created_at.eq(now));
        diesel::insert_into(owner_redirects::table)
            .values((owner_redirects::lower_name.eq(from.lower()), values))
            .on_conflict(owner_redirects::lower_name)
            .do_update()
            .set(values)
            .execute(conn)?;
    }
    Ok(())
}

/// Gives an owner another name, and does nothing else: for accounts to which no address leads.
///
/// # Errors
/// [`Error::Conflict`] with `kind` for a name that is taken.
pub(super) fn set_name(conn: &mut PgConnection, id: OwnerId, to: &OwnerName, kind: What) -> Result<()> {
    let change = (owners::name.eq(to), owners::lower_name.eq(to.lower()));
    diesel::update(owners::table.find(id)).set(change).execute(conn).map(drop).map_err(|error| match &error {
        diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, info)
            if info.constraint_name() == Some("owners_lower_name_key") =>
        {
            Error::Conflict(kind)
        }
        _ => Error::from(error),
    })
}

/// Gives the robots of an organization its new name.
fn rename_robots(conn: &mut PgConnection, org: OwnerId, to: &OwnerName) -> Result<()> {
    diesel::sql_query(
        "UPDATE owners SET name = $2 || substr(name, strpos(name, '/')), \
         lower_name = $3 || substr(lower_name, strpos(lower_name, '/')) \
         WHERE id IN (SELECT id FROM users WHERE robot_of = $1)",
    )
    .bind::<BigInt, _>(org)
    .bind::<Text, _>(to)
    .bind::<Text, _>(to.lower())
    .execute(conn)?;
    Ok(())
}

/// Locks an owner until the end of the transaction, so that nobody adds anything to it: anyone who publishes or adds a
/// team waits or has committed already.
///
/// # Errors
/// [`Error::NotFound`] when the owner no longer exists.
pub(in crate::registry) fn lock(conn: &mut PgConnection, id: OwnerId) -> Result<()> {
    let found: Option<OwnerId> = owners::table.find(id).select(owners::id).for_update().first(conn).optional()?;
    found.map(drop).ok_or(Error::NotFound(What::Owner))
}

/// Deletes an owner without packages, their robots, and what is in their trash. The caller has [locked](lock) the owner.
///
/// # Errors
/// [`Error::NotFound`] when the owner no longer exists.
pub(in crate::registry) fn delete(conn: &mut PgConnection, id: OwnerId, now: Timestamp) -> Result<()> {
    trash_entries::drop_all_of(conn, id, now)?;
    let robots = users::table.filter(users::robot_of.eq(id)).select(users::id);
    diesel::delete(owners::table.filter(owners::id.eq_any(robots))).execute(conn)?;
    match diesel::delete(owners::table.find(id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Owner)),
        _ => Ok(()),
    }
}

/// An owner in a list.
#[derive(Debug, Clone, Queryable)]
pub struct Listed {
    pub name: OwnerName,
    pub full_name: String,
    pub description: String,
    pub kind: OwnerKind,
    pub visibility: Visibility,
    pub created_at: Timestamp,
    /// How many of its packages the caller may see.
    pub packages: i64,
}

/// The order in which owners are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerListOrder {
    #[default]
    Name,
    /// The newest first.
    Newest,
}

/// The owners that a caller may see, of one kind or both, whose name or full name contains a text, ignoring case. Users
/// who wait for approval are left out.
///
/// # Errors
/// Database errors.
pub fn browse(
    conn: &mut PgConnection,
    caller: &Caller,
    part: &str,
    kind: Option<OwnerKind>,
    order: OwnerListOrder,
    slice: Slice,
) -> Result<Page<Listed>> {
    // No owner has such a name, and Postgres rejects NUL in a text.
    if part.chars().any(char::is_control) {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let all = || {
        let query = owners::table
            .left_join(users::table)
            .filter(readable(caller.visibility_limit()))
            .filter(within_token_limits(caller.limits()))
            .filter(users::is_active.is_null().or(users::is_active.eq(true)))
            .filter(users::robot_of.is_null())
            .into_boxed::<diesel::pg::Pg>();
        let query = match kind {
            Some(kind) => query.filter(owners::kind.eq(kind)),
            None => query,
        };
        let contains = containing(part);
        match part {
            "" => query,
            _ => query.filter(owners::lower_name.like(contains.clone()).or(owners::full_name.ilike(contains))),
        }
    };
    let total = all().count().get_result(conn)?;
    let rows = all().offset(slice.offset).limit(slice.limit).select((
        owners::name,
        owners::full_name,
        owners::description,
        owners::kind,
        owners::visibility,
        owners::created_at,
        packages::table
            .filter(packages::owner_id.eq(owners::id))
            .filter(package_readable(listable(caller)))
            .filter(sql::<Bool>(&has_shown_version_sql(&caller.draft_limit())))
            .count()
            .single_value()
            .assume_not_null(),
    ));
    let rows = match order {
        OwnerListOrder::Name => rows.order(owners::lower_name.asc()),
        OwnerListOrder::Newest => rows.order((owners::created_at.desc(), owners::id.desc())),
    };
    Ok(Page { items: rows.load(conn)?, total })
}
