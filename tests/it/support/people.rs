//! The users of the tests, created once in the template database, because hashing a password for each test would take
//! longer than most tests.

use diesel::prelude::*;
use packhouse::domain::clock::Timestamp;
use packhouse::domain::names::OwnerName;
use packhouse::domain::role::{Permission, Scopes, Visibility};
use packhouse::domain::secret::Password;
use packhouse::error::Result;
use packhouse::password::hash_now;
use packhouse::registry::access::can_govern;
use packhouse::registry::accounts::tokens::{self, NewToken};
use packhouse::registry::accounts::users::{self, NewUser};
use packhouse::registry::caller::{Caller, SignedIn};
use packhouse::registry::owners::members;
use packhouse::registry::owners::org_creation::{self, NewOrg};
use packhouse::registry::owners::teams::{self, NewTeam};
use std::sync::OnceLock;

/// The password of all users.
pub const PASSWORD: &str = "correct horse battery staple";

/// The time at which the clock of every test starts.
pub fn morning() -> Timestamp {
    Timestamp::from_unix(1_767_323_045)
}

/// The hash of [`PASSWORD`].
pub fn password_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_now(&Password::new(PASSWORD)).unwrap())
}

/// The secrets of the tokens in the template database.
#[derive(Debug)]
pub struct People {
    /// Of `ada`, for publishing.
    pub ci: String,
    /// Of `ada`, for reading.
    pub reader: String,
    /// Of `stranger`, for publishing.
    pub stranger: String,
    /// Of `admin`, for everything.
    pub admin: String,
}

impl People {
    /// Creates `admin`, `ada` and `stranger` with their tokens.
    pub fn settle(conn: &mut PgConnection) -> Self {
        for (name, is_admin) in [("admin", true), ("ada", false), ("stranger", false)] {
            db_user(conn, name, Visibility::Public, is_admin).unwrap();
        }
        let people = Self {
            ci: db_token(conn, "ada", "ci", &["write:package"], |_| {}).unwrap(),
            reader: db_token(conn, "ada", "reader", &["read:package"], |_| {}).unwrap(),
            stranger: db_token(conn, "stranger", "stranger", &["write:package"], |_| {}).unwrap(),
            admin: db_token(conn, "admin", "all", &["all"], |_| {}).unwrap(),
        };
        // Every audit entry that a test finds is its own.
        diesel::sql_query("TRUNCATE audit RESTART IDENTITY").execute(conn).unwrap();
        people
    }
}

/// Creates a user with [`PASSWORD`].
pub fn db_user(conn: &mut PgConnection, name: &str, visibility: Visibility, is_admin: bool) -> Result<()> {
    let new = NewUser {
        name: name.parse().unwrap(),
        full_name: String::new(),
        email: format!("{name}@example.org").parse().unwrap(),
        password_hash: Some(password_hash().to_owned()),
        visibility,
        is_admin,
        must_change_password: false,
    };
    users::create(conn, &Caller::command_line(), &new, morning()).map(drop)
}

/// The identity of a user, as the server has it after they signed in.
pub fn db_signed_in(conn: &mut PgConnection, name: &str) -> Result<SignedIn> {
    let user = users::find(conn, &OwnerName::of_account(name).unwrap())?.expect("the user exists");
    Ok(SignedIn { id: user.id, name: user.name, is_admin: user.is_admin, has_password: true })
}

/// Creates a token of a user, and lets the closure set its limits.
pub fn db_token(
    conn: &mut PgConnection,
    user: &str,
    name: &str,
    scopes: &[&str],
    limit: impl FnOnce(&mut NewToken),
) -> Result<String> {
    let user = db_signed_in(conn, user)?;
    let scopes = Scopes::from_words(scopes.iter().copied()).unwrap();
    let mut new = NewToken {
        name: name.to_owned(),
        scopes,
        expires_at: None,
        owners: None,
        packages: None,
        feeds_only: false,
        no_redirects: false,
    };
    limit(&mut new);
    let (_, secret) = tokens::create(conn, &Caller::command_line(), &user, &new, morning())?;
    Ok(secret.reveal().to_owned())
}

/// An organization with empty texts.
pub fn new_org(name: &OwnerName, visibility: Visibility) -> NewOrg {
    NewOrg {
        name: name.clone(),
        full_name: Default::default(),
        description: Default::default(),
        website: Default::default(),
        location: Default::default(),
        visibility,
    }
}

/// A team with an empty description.
pub fn new_team(name: &str, permission: Permission) -> NewTeam {
    NewTeam { name: name.parse().unwrap(), description: Default::default(), permission, packages: None }
}

/// Creates an organization of `ada`'s with a team for each permission. Each team has one member, who is named after
/// organization and team: `acme-read`, `acme-write`, `acme-admin`, `acme-owner`.
pub fn db_org(conn: &mut PgConnection, name: &str, visibility: Visibility) -> Result<()> {
    let caller = db_caller(conn, "ada")?;
    let org: OwnerName = name.parse().unwrap();
    org_creation::create(conn, &caller, &new_org(&org, visibility), morning())?;
    // A caller is a member of the organizations that they were in when they were identified.
    let caller = db_caller(conn, "ada")?;
    let right = can_govern(conn, &caller, &org)?;
    for permission in [Permission::Read, Permission::Write, Permission::Admin, Permission::Owner] {
        let member = format!("{name}-{permission}");
        db_user(conn, &member, Visibility::Public, false)?;
        let team = teams::create(conn, &caller, &right, &new_team(permission.as_str(), permission), morning())?;
        members::add(conn, &caller, &right, &team, &member.parse().unwrap(), morning())?;
    }
    Ok(())
}

/// A user as a caller who signed in with their password.
pub fn db_caller(conn: &mut PgConnection, name: &str) -> Result<Caller> {
    use packhouse::registry::caller::{Credential, identify};
    let login = users::find_login(conn, name)?.expect("the user exists");
    identify(conn, &Credential::Login { user: login.id, epoch: login.auth_epoch }, None, morning())
}
