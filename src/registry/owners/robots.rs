//! Robots: an organization's own accounts, for machines. A robot has no password and cannot sign in: it has tokens,
//! which the organization's owners create, and grants. It belongs to the organization, so it stays when the person who
//! created it leaves.
//!
//! A robot is a user whose owner row is named `organization/robot`, so everything that names a user can name a robot too.

use super::namespace::{self, NewOwner};
use crate::db::schema::{owners, publishers, tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::role::{OwnerKind, Visibility};
use crate::domain::secret::TokenSecret;
use crate::domain::text::Prose;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanGovern, CanOversee, Visited};
use crate::registry::accounts::tokens::{self as user_tokens, NewToken, Token};
use crate::registry::audit::{self, Event};
use crate::registry::caller::{Caller, SignedIn};
use crate::registry::pages::{Page, Slice};
use diesel::dsl::{auto_type, exists, max, not};
use diesel::prelude::*;
use serde_json::json;

/// The most robots of an organization.
const MOST: i64 = 500;

/// A robot.
#[derive(Debug, Clone)]
pub struct Robot {
    pub id: OwnerId,
    /// The name of its account: `organization/robot`.
    pub account: OwnerName,
    /// The name within the organization.
    pub name: RobotName,
    pub description: String,
    pub created_at: Timestamp,
    pub tokens: i64,
    /// When one of its tokens was last used.
    pub last_used_at: Option<Timestamp>,
}

impl Robot {
    /// The robot as the user of its tokens.
    fn user(&self) -> SignedIn {
        SignedIn { id: self.id, name: self.account.clone(), is_admin: false, has_password: false }
    }
}

type RobotRow = (OwnerId, OwnerName, String, Timestamp);
type RobotColumns = (owners::id, owners::name, owners::description, owners::created_at);
const COLUMNS: RobotColumns = (owners::id, owners::name, owners::description, owners::created_at);

fn load(conn: &mut PgConnection, rows: Vec<RobotRow>) -> Result<Vec<Robot>> {
    let ids: Vec<OwnerId> = rows.iter().map(|row| row.0).collect();
    let used: Vec<(OwnerId, i64, Option<Timestamp>)> = tokens::table
        .filter(tokens::user_id.eq_any(ids))
        .group_by(tokens::user_id)
        .select((tokens::user_id, diesel::dsl::count_star(), max(tokens::last_used_at)))
        .load(conn)?;
    let robot = |(id, account, description, created_at): RobotRow| {
        let (_, name) = account.as_robot()?;
        let (tokens, last_used_at) =
            used.iter().find(|row| row.0 == id).map_or((0, None), |(_, tokens, last)| (*tokens, *last));
        Some(Robot { id, account, name, description, created_at, tokens, last_used_at })
    };
    Ok(rows.into_iter().filter_map(robot).collect())
}

/// Whether the account of the query's row is not a trusted publisher, whose account looks like a robot's.
#[auto_type(no_type_alias)]
fn is_no_publisher() -> _ {
    not(exists(publishers::table.filter(publishers::id.eq(users::id))))
}

/// The robots of an organization, by name.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanOversee, slice: Slice) -> Result<Page<Robot>> {
    let own = || {
        owners::table
            .inner_join(users::table.on(users::id.eq(owners::id)))
            .filter(users::robot_of.eq(right.org().id))
            .filter(is_no_publisher())
    };
    let total = own().count().get_result(conn)?;
    let rows = own().order(owners::lower_name).offset(slice.offset).limit(slice.limit).select(COLUMNS).load(conn)?;
    Ok(Page { items: load(conn, rows)?, total })
}

/// The id of an organization's robot.
///
/// # Errors
/// Database errors.
pub(super) fn id_of(conn: &mut PgConnection, org: &Visited, name: &RobotName) -> Result<Option<OwnerId>> {
    Ok(owners::table
        .inner_join(users::table.on(users::id.eq(owners::id)))
        .filter(users::robot_of.eq(org.id))
        .filter(is_no_publisher())
        .filter(owners::lower_name.eq(OwnerName::of_robot(&org.name, name).lower()))
        .select(owners::id)
        .first(conn)
        .optional()?)
}

/// A robot of an organization.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(conn: &mut PgConnection, right: &CanOversee, name: &RobotName) -> Result<Robot> {
    find(conn, right.org(), name)
}

fn find(conn: &mut PgConnection, org: &Visited, name: &RobotName) -> Result<Robot> {
    let id = id_of(conn, org, name)?.ok_or(Error::NotFound(What::Robot))?;
    with_id(conn, id)
}

fn with_id(conn: &mut PgConnection, id: OwnerId) -> Result<Robot> {
    let row: Option<RobotRow> = owners::table.find(id).select(COLUMNS).first(conn).optional()?;
    load(conn, row.into_iter().collect())?.pop().ok_or(Error::NotFound(What::Robot))
}

/// Creates a robot, which has neither tokens nor access to anything yet.
///
/// # Errors
/// [`Error::Conflict`] when the organization has a robot of this name; [`Error::Blocked`] when it has the maximum number
/// of robots.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    (name, description): (&RobotName, &Prose),
    now: Timestamp,
) -> Result<Robot> {
    let org = right.org().id;
    // Two requests for the last free place take turns, and nobody renames the organization in between.
    namespace::lock(conn, org)?;
    let org_name: OwnerName = owners::table.find(org).select(owners::name).first(conn)?;
    let count: i64 = users::table.filter(users::robot_of.eq(org)).filter(is_no_publisher()).count().get_result(conn)?;
    if count >= MOST {
        return Err(Error::Blocked(format!(
            "{org_name} already has {MOST} robots, which is the limit: delete one first"
        )));
    }
    let account = OwnerName::of_robot(&org_name, name);
    let owner = NewOwner {
        kind: OwnerKind::User,
        name: &account,
        full_name: "",
        description: description.as_str(),
        website: "",
        location: "",
        visibility: Visibility::Private,
    };
    let id = namespace::insert(conn, &owner, now).map_err(|error| match error {
        Error::Conflict(_) => Error::Conflict(What::Robot),
        other => other,
    })?;
    diesel::insert_into(users::table)
        .values((users::id.eq(id), users::email.eq(""), users::robot_of.eq(org)))
        .execute(conn)?;
    let robot = with_id(conn, id)?;
    record(conn, caller, (Event::RobotCreate, right), &robot, now)?;
    Ok(robot)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanGovern),
    robot: &Robot,
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    let subject = audit::Subject {
        owner: Some((org.id, &org.name)),
        text: robot.account.to_string(),
        detail: json!({"id": robot.id}),
    };
    audit::record(conn, caller, event, &subject, now)
}

/// Changes the description of a robot.
///
/// # Errors
/// [`Error::NotFound`].
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    (name, description): (&RobotName, &Prose),
    now: Timestamp,
) -> Result<Robot> {
    let id = find(conn, right.org(), name)?.id;
    diesel::update(owners::table.find(id)).set(owners::description.eq(description)).execute(conn)?;
    let robot = with_id(conn, id)?;
    record(conn, caller, (Event::RobotUpdate, right), &robot, now)?;
    Ok(robot)
}

/// Deletes a robot with its tokens and grants. The files that it published stay.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    name: &RobotName,
    now: Timestamp,
) -> Result<()> {
    let robot = find(conn, right.org(), name)?;
    match diesel::delete(owners::table.find(robot.id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Robot)),
        _ => record(conn, caller, (Event::RobotDelete, right), &robot, now),
    }
}

/// Creates a token for a robot and returns its secret, which nobody can read again. A robot does nothing but read and
/// publish packages, so its tokens have no other scope.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] also for a scope that is not about packages; as [`user_tokens::create`].
pub fn create_token(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    (name, new): (&RobotName, &NewToken),
    now: Timestamp,
) -> Result<(Token, TokenSecret)> {
    let is_allowed = |word: &String| matches!(&**word, "read:package" | "write:package" | "public-only");
    if let Some(other) = new.scopes.words().iter().find(|word| !is_allowed(word)) {
        return Err(Error::invalid(
            "scopes",
            format!("scopes: a robot's token has the scope read:package or write:package, and not {other}"),
        ));
    }
    let robot = find(conn, right.org(), name)?;
    user_tokens::create(conn, caller, &robot.user(), new, now)
}

/// The tokens of a robot, the newest first.
///
/// # Errors
/// [`Error::NotFound`].
pub fn list_tokens(conn: &mut PgConnection, right: &CanGovern, name: &RobotName, slice: Slice) -> Result<Page<Token>> {
    let robot = find(conn, right.org(), name)?;
    user_tokens::list(conn, robot.id, slice)
}

/// Revokes a token of a robot, given its id or its name.
///
/// # Errors
/// [`Error::NotFound`]; as [`user_tokens::revoke`].
pub fn revoke_token(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    (name, token): (&RobotName, &str),
    now: Timestamp,
) -> Result<()> {
    let robot = find(conn, right.org(), name)?;
    user_tokens::revoke(conn, caller, &robot.user(), token, now)
}

/// Revokes the token of a robot with this id.
///
/// # Errors
/// [`Error::NotFound`].
pub fn remove_token(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    (name, id): (&RobotName, TokenId),
    now: Timestamp,
) -> Result<String> {
    let robot = find(conn, right.org(), name)?;
    let token = user_tokens::find(conn, robot.id, id)?.ok_or(Error::NotFound(What::Token))?;
    user_tokens::remove(conn, caller, &robot.user(), &token, now)?;
    Ok(token.name)
}
