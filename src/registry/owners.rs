//! The name space that users and organizations share.

use crate::db::schema::{owner_redirects, owners};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{OwnerKind, Visibility};
use crate::error::{Error, Result, What};
use diesel::prelude::*;

/// What is said of an owner when it is made.
#[derive(Debug, Clone)]
pub struct NewOwner<'a> {
    pub kind: OwnerKind,
    pub name: &'a OwnerName,
    pub full_name: &'a str,
    pub description: &'a str,
    pub visibility: Visibility,
}

/// Takes a name for a new owner.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken.
pub fn insert(conn: &mut PgConnection, new: &NewOwner<'_>, now: Timestamp) -> Result<OwnerId> {
    if new.name.is_reserved() && !is_first_admin(conn, new)? {
        return Err(Error::invalid("username", format!("the name {} is reserved: choose another", new.name)));
    }
    let what = match new.kind {
        OwnerKind::User => What::User,
        OwnerKind::Organization => What::Organization,
    };
    // A name that an owner gave up leads to its new name until somebody takes it.
    diesel::delete(owner_redirects::table.find(new.name.lower())).execute(conn)?;
    diesel::insert_into(owners::table)
        .values((
            owners::kind.eq(new.kind),
            owners::name.eq(new.name),
            owners::lower_name.eq(new.name.lower()),
            owners::full_name.eq(new.full_name),
            owners::description.eq(new.description),
            owners::visibility.eq(new.visibility),
            owners::created_at.eq(now),
        ))
        .on_conflict(owners::lower_name)
        .do_nothing()
        .returning(owners::id)
        .get_result(conn)
        .optional()?
        .ok_or(Error::Conflict(what))
}

/// Whether this is the administrator of a first start, who is called `admin` although nobody else may be: the name is
/// kept from everyone who could pass for him.
fn is_first_admin(conn: &mut PgConnection, new: &NewOwner<'_>) -> Result<bool> {
    Ok(new.kind == OwnerKind::User && new.name.lower() == "admin" && !super::users::any(conn)?)
}
