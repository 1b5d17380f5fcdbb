//! Users: finding, listing and creating them.

use crate::db::schema::{owners as owners_table, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::{Level, OwnerKind, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{readable, visit_user, within_token_limits};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::like::escape_like;
use crate::registry::name_locks;
use crate::registry::owners::namespace::{self, NewOwner, Profile};
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer};
use serde_json::json;

/// A user with everything that they and administrators may see.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: OwnerId,
    #[diesel(select_expression = owners_table::name)]
    pub name: OwnerName,
    #[diesel(select_expression = owners_table::full_name)]
    pub full_name: String,
    pub email: String,
    /// Whether the user may sign in with the address: an administrator has set it, or the user followed a link.
    #[diesel(select_expression = users::lower_email.is_not_null())]
    pub signs_in_by_email: bool,
    /// The address, in lower case, whose link the user followed.
    pub confirmed_email: Option<String>,
    /// Whether the user has a password.
    #[diesel(select_expression = users::password_hash.is_not_null())]
    pub has_password: bool,
    #[diesel(select_expression = owners_table::visibility)]
    pub visibility: Visibility,
    pub is_admin: bool,
    pub is_active: bool,
    pub is_locked: bool,
    #[diesel(select_expression = owners_table::created_at)]
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    #[diesel(embed)]
    pub profile: Profile,
}

impl User {
    /// Whether the user followed a link that was sent to their current address.
    pub fn has_confirmed_email(&self) -> bool {
        self.signs_in_by_email && self.confirmed_email.as_ref() == Some(&self.email.to_lowercase())
    }

    /// The user as this caller may see them: fields that concern only the user and administrators are left empty.
    pub fn seen_by(self, caller: &Caller) -> Self {
        if caller.is_admin() || caller.user().is_some_and(|user| user.id == self.id) {
            return self;
        }
        Self {
            email: String::new(),
            signs_in_by_email: false,
            confirmed_email: None,
            has_password: false,
            is_admin: false,
            is_active: false,
            is_locked: false,
            last_login_at: None,
            ..self
        }
    }
}

/// The properties of a user to create. The password is already hashed: hashing takes time and memory and does not
/// belong in a transaction.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: OwnerName,
    pub full_name: String,
    pub email: Email,
    pub password_hash: Option<String>,
    pub visibility: Visibility,
    pub is_admin: bool,
    pub must_change_password: bool,
}

/// The fields that a password sign-in needs.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Login {
    pub id: OwnerId,
    pub password_hash: Option<String>,
    pub auth_epoch: i32,
    pub is_admin: bool,
    pub is_active: bool,
    pub is_locked: bool,
    /// When the user signed in before.
    pub last_login_at: Option<Timestamp>,
    /// Until when a password opens the account whatever the settings say.
    pub rescued_until: Option<Timestamp>,
}

/// Creates a user.
///
/// # Errors
/// [`Error::Conflict`] for a name that is taken; [`Error::Invalid`] for an email address that is taken or a reserved
/// name; [`Error::Forbidden`] for a user that the token in use cannot see.
pub fn create(conn: &mut PgConnection, caller: &Caller, new: &NewUser, now: Timestamp) -> Result<OwnerId> {
    create_with(conn, caller, new, false, now)
}

/// [`create`] for a user who gets an invitation.
///
/// # Errors
/// As [`create`].
pub(in crate::registry) fn create_invited(
    conn: &mut PgConnection,
    caller: &Caller,
    new: &NewUser,
    now: Timestamp,
) -> Result<OwnerId> {
    create_with(conn, caller, new, true, now)
}

fn create_with(
    conn: &mut PgConnection,
    caller: &Caller,
    new: &NewUser,
    invited: bool,
    now: Timestamp,
) -> Result<OwnerId> {
    caller.demand_any_owner()?;
    caller.demand_visible(&new.name, new.visibility)?;
    let id = insert(conn, new, Some(&new.email), true, now)?;
    let mut detail = json!({"is_admin": new.is_admin, "visibility": new.visibility.as_str()});
    if let Some(detail) = detail.as_object_mut().filter(|_| invited) {
        detail.insert("invited".to_owned(), json!(true));
    }
    audit::record_owner(conn, caller, Event::UserCreate, (id, &new.name), detail, now)?;
    Ok(id)
}

/// Inserts the rows of a user, who may also sign in with this address.
pub(in crate::registry::accounts) fn insert(
    conn: &mut PgConnection,
    new: &NewUser,
    signs_in_by: Option<&Email>,
    is_active: bool,
    now: Timestamp,
) -> Result<OwnerId> {
    let owner = NewOwner {
        kind: OwnerKind::User,
        name: &new.name,
        full_name: &new.full_name,
        description: "",
        website: "",
        location: "",
        visibility: new.visibility,
    };
    let id = namespace::insert(conn, &owner, now)?;
    let inserted = diesel::insert_into(users::table)
        .values((
            users::id.eq(id),
            users::email.eq(new.email.as_str()),
            users::lower_email.eq(signs_in_by.map(Email::lower)),
            users::password_hash.eq(&new.password_hash),
            users::is_admin.eq(new.is_admin),
            users::is_active.eq(is_active),
            users::must_change_password.eq(new.must_change_password),
        ))
        .on_conflict(users::lower_email)
        .do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        return Err(email_taken(&new.email));
    }
    Ok(id)
}

pub(super) fn email_taken(email: &Email) -> Error {
    Error::invalid("email", format!("email: the address {email} is already in use: choose another"))
}

/// Whether there is any user at all. None means a first start.
///
/// # Errors
/// Database errors.
pub fn any(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(users::table.select(users::id))).get_result(conn)?)
}

/// Takes turns, until the end of the transaction, with other servers that start at the same moment, so that only one of
/// them creates the first administrator.
///
/// # Errors
/// Database errors.
pub fn lock_first(conn: &mut PgConnection) -> Result<()> {
    name_locks::lock(conn, "first administrator", 0)
}

/// The user with this name.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, name: &OwnerName) -> Result<Option<User>> {
    Ok(users::table
        .inner_join(owners_table::table)
        .filter(owners_table::lower_name.eq(name.lower()))
        .select(User::as_select())
        .first(conn)
        .optional()?)
}

/// A user that the caller may see, with the fields the caller may see.
///
/// # Errors
/// As [`visit_user`].
pub fn see(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<User> {
    visit_user(conn, caller, name)?;
    let user = find(conn, name)?.ok_or(Error::NotFound(What::User))?;
    Ok(user.seen_by(caller))
}

type Joined = diesel::helper_types::InnerJoinQuerySource<users::table, owners_table::table>;
type Condition<'a> = Box<dyn BoxableExpression<Joined, Pg, SqlType = Bool> + 'a>;

/// The users that the caller may see and whose name or full name contains a text, ignoring case. For administrators the
/// text also matches email addresses. With an id, only the user with that id.
///
/// # Errors
/// Database errors.
pub fn search(
    conn: &mut PgConnection,
    caller: &Caller,
    part: &str,
    id: Option<OwnerId>,
    slice: Slice,
) -> Result<Page<User>> {
    search_among(conn, caller, (part, id, Standing::Any, FoundOrder::Name), slice)
}

/// A filter for [`search_among`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Any,
    Admin,
    Locked,
    /// Waiting for an administrator's approval.
    Inactive,
}

/// The order in which [`search_among`] returns users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FoundOrder {
    #[default]
    Name,
    /// Those who use the most storage first.
    Size,
    /// Those who signed in last first.
    SignIn,
}

impl FoundOrder {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Name => "owners.lower_name",
            Self::Size => {
                "(SELECT coalesce(sum(bytes), 0) FROM (SELECT bytes FROM owner_usage WHERE owner_id = users.id UNION ALL \
                 SELECT bytes FROM usage_changes WHERE owner_id = users.id) AS parts) DESC, owners.lower_name"
            }
            Self::SignIn => "users.last_login_at DESC NULLS LAST, owners.lower_name",
        }
    }
}

/// [`search`] limited to some users. For callers who are not administrators, `standing` and `order` make no
/// difference.
///
/// # Errors
/// Database errors.
pub fn search_among(
    conn: &mut PgConnection,
    caller: &Caller,
    (part, id, standing, order): (&str, Option<OwnerId>, Standing, FoundOrder),
    slice: Slice,
) -> Result<Page<User>> {
    let (standing, order) = if caller.is_admin() { (standing, order) } else { (Standing::Any, FoundOrder::Name) };
    // No user has such a name, and Postgres rejects NUL in a text.
    if part.contains('\0') {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let contains = format!("%{}%", escape_like(&part.to_lowercase()));
    let condition = || -> Condition<'_> {
        let people = readable(caller.visibility_limit()).and(users::robot_of.is_null());
        let seen = people.and(within_token_limits(caller.limits()));
        let named = owners_table::lower_name.like(&contains).or(owners_table::full_name.ilike(&contains));
        let wanted: Condition<'_> = match (part, caller.is_admin()) {
            ("", _) => Box::new(seen),
            (_, true) => Box::new(seen.and(named.or(users::email.ilike(&contains)))),
            (_, false) => Box::new(seen.and(named)),
        };
        let wanted: Condition<'_> = match standing {
            Standing::Any => wanted,
            Standing::Admin => Box::new(wanted.and(users::is_admin)),
            Standing::Locked => Box::new(wanted.and(users::is_locked)),
            Standing::Inactive => Box::new(wanted.and(diesel::dsl::not(users::is_active))),
        };
        match id {
            Some(id) => Box::new(wanted.and(users::id.eq(id))),
            None => wanted,
        }
    };
    let total = users::table.inner_join(owners_table::table).filter(condition()).count().get_result(conn)?;
    let rows = users::table
        .inner_join(owners_table::table)
        .filter(condition())
        .order(sql::<Integer>(order.as_sql()))
        .offset(slice.offset)
        .limit(slice.limit);
    let found: Vec<User> = rows.select(User::as_select()).load(conn)?;
    Ok(Page { items: found.into_iter().map(|user| user.seen_by(caller)).collect(), total })
}

/// The order in which [`list`] returns users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserOrder {
    #[default]
    Name,
    NameDescending,
    Oldest,
    Newest,
}

/// All users within the limits of the caller's token, for administrators.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn list(conn: &mut PgConnection, caller: &Caller, order: UserOrder, slice: Slice) -> Result<Page<User>> {
    caller.demand_admin(Level::Read)?;
    let all = || {
        let people = users::table.inner_join(owners_table::table).filter(users::robot_of.is_null());
        people.filter(within_token_limits(caller.limits()))
    };
    let total = all().count().get_result(conn)?;
    let rows = all().select(User::as_select()).offset(slice.offset).limit(slice.limit).into_boxed();
    let rows = match order {
        UserOrder::Name => rows.order(owners_table::lower_name.asc()),
        UserOrder::NameDescending => rows.order(owners_table::lower_name.desc()),
        UserOrder::Oldest => rows.order(users::id.asc()),
        UserOrder::Newest => rows.order(users::id.desc()),
    };
    Ok(Page { items: rows.load(conn)?, total })
}

/// All users, by name.
///
/// # Errors
/// Database errors.
pub fn all(conn: &mut PgConnection) -> Result<Vec<User>> {
    Ok(users::table
        .inner_join(owners_table::table)
        .filter(users::robot_of.is_null())
        .order(owners_table::lower_name)
        .select(User::as_select())
        .load(conn)?)
}

/// The login data for this text, taken as a name or an email address. Any text is accepted.
///
/// # Errors
/// Database errors.
pub fn find_login(conn: &mut PgConnection, login: &str) -> Result<Option<Login>> {
    let query = users::table.inner_join(owners_table::table).select(Login::as_select()).into_boxed();
    // A text that is neither a name nor an email address belongs to nobody. The database rejects some such texts (NUL,
    // kilobytes).
    let query = if let Ok(name) = login.parse::<OwnerName>() {
        query.filter(owners_table::lower_name.eq(name.lower()))
    } else if let Ok(email) = login.parse::<Email>() {
        query.filter(users::lower_email.eq(email.lower()))
    } else {
        return Ok(None);
    };
    Ok(query.first(conn).optional()?)
}

/// Records that a user signed in with their password.
///
/// # Errors
/// Database errors.
pub fn note_login(conn: &mut PgConnection, user: OwnerId, now: Timestamp) -> Result<()> {
    diesel::update(users::table.find(user)).set(users::last_login_at.eq(now)).execute(conn)?;
    Ok(())
}
