//! Creating an organization with its first team and its first owner.

use super::namespace::{self, NewOwner};
use super::{members, teams};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind, Visibility};
use crate::domain::text::{Line, Prose, Website};
use crate::error::Result;
use crate::registry::access::visit_user;
use crate::registry::audit::{self, Event};
use crate::registry::caller::{Caller, SignedIn};
use diesel::prelude::*;
use serde_json::json;

/// The properties of an organization to create.
#[derive(Debug, Clone)]
pub struct NewOrg {
    pub name: OwnerName,
    pub full_name: Line,
    pub description: Prose,
    pub website: Website,
    pub location: Line,
    pub visibility: Visibility,
}

/// Checks that the caller may create an organization and returns their user.
///
/// # Errors
/// [`crate::error::Error::Unauthenticated`]; [`crate::error::Error::Forbidden`] for a token without the scope, or
/// limited to some owners.
pub fn demand_create(caller: &Caller) -> Result<&SignedIn> {
    let maker = caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Write)?;
    caller.demand_any_owner()?;
    Ok(maker)
}

/// Creates an organization whose first owner is the caller.
///
/// # Errors
/// As [`demand_create`]; [`crate::error::Error::Forbidden`] also for an organization that the token could not
/// see, [`crate::error::Error::Conflict`] for a name that is taken, [`crate::error::Error::Invalid`] for a reserved one.
pub fn create(conn: &mut PgConnection, caller: &Caller, new: &NewOrg, now: Timestamp) -> Result<OwnerId> {
    let maker = demand_create(caller)?;
    insert(conn, caller, maker.id, new, now)
}

/// Creates an organization whose first owner is another user, for administrators.
///
/// # Errors
/// As [`Caller::demand_admin`] and [`create`]; [`crate::error::Error::NotFound`] for an unknown user.
pub fn create_for(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &OwnerName,
    new: &NewOrg,
    now: Timestamp,
) -> Result<OwnerId> {
    caller.demand_admin(Level::Write)?;
    caller.demand_any_owner()?;
    let user = visit_user(conn, caller, user)?;
    insert(conn, caller, user.id, new, now)
}

fn insert(conn: &mut PgConnection, caller: &Caller, first: OwnerId, new: &NewOrg, now: Timestamp) -> Result<OwnerId> {
    caller.demand_visible(&new.name, new.visibility)?;
    let owner = NewOwner {
        kind: OwnerKind::Organization,
        name: &new.name,
        full_name: new.full_name.as_str(),
        description: new.description.as_str(),
        website: new.website.as_str(),
        location: new.location.as_str(),
        visibility: new.visibility,
    };
    let id = namespace::insert(conn, &owner, now)?;
    let team = teams::insert_owners(conn, id, now)?;
    members::insert(conn, team, first, now)?;
    audit::record_owner(
        conn,
        caller,
        Event::OrgCreate,
        (id, &new.name),
        json!({"visibility": new.visibility.as_str()}),
        now,
    )?;
    Ok(id)
}
