//! Identities of users at OpenID Connect providers. An identity is an issuer and its subject, and never an email address.
//! Here is decided who gets which account, and what groups mean.

use super::sessions;
use super::users::{self, NewUser, able_admins};
use super::ways_in::{self, GivenUp, OpenWays};
use crate::db::schema::{identities, owners, sessions as session_rows, team_members, teams, users as users_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{IdentityId, OwnerId, TeamId};
use crate::domain::names::{Email, MAX_OWNER_BYTES, OwnerName};
use crate::domain::role::{OwnerKind, Permission, Visibility};
use crate::domain::secret::{MasterKey, random_text};
use crate::domain::sign_in::{ProviderName, TeamPath};
use crate::error::{Error, Result, What};
use crate::registry::access::CanChangeOwn;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::{Caller, NOBODY};
use crate::registry::encryption::{self, SIGN_IN_STATE, SIGN_OUT_HINT};
use crate::registry::name_locks;
use crate::registry::owners::members;
use crate::registry::owners::orgs::Owning;
use core::net::IpAddr;
use diesel::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The most identities of a user.
pub const MOST: i64 = 20;
/// The most characters of a subject (OpenID Connect Core §2), and of a stored address.
const MOST_CHARACTERS: usize = 255;
/// The most bytes of an ID token that is kept for signing out: it travels in a cookie and in an address.
const MOST_OF_HINT: usize = 2048;
/// How many names are tried for a new user, before a random one.
const NAMES_TRIED: u32 = 50;

/// An identity of a user.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = identities)]
pub struct Identity {
    pub id: IdentityId,
    pub user_id: OwnerId,
    pub provider: String,
    pub issuer: String,
    pub subject: String,
    pub email: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// What a provider says about a person.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub provider: ProviderName,
    pub issuer: String,
    pub subject: String,
    pub email: Option<Email>,
    pub email_verified: bool,
    /// The name that the person has there, of any shape.
    pub user_name: String,
    pub full_name: String,
    /// `None` if the provider doesn't send them, so that nothing follows from them.
    pub groups: Option<BTreeSet<String>>,
}

/// What may follow from it.
#[derive(Debug, Clone)]
pub struct EntryRules {
    pub auto_create: bool,
    /// The domains of those who get an account; empty for all.
    pub allowed_domains: Vec<String>,
    pub link_by_verified_email: bool,
    /// Empty: groups make nobody an administrator.
    pub admin_group: String,
    pub teams: BTreeMap<String, TeamPath>,
}

/// The outcome of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Admitted {
        user: OwnerId,
        epoch: i32,
        identity: IdentityId,
        /// What groups could not change, for the log.
        kept: Vec<String>,
    },
    Refused(Refused),
}

/// Why somebody does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The account is locked, or waits for an administrator.
    Account,
    /// There is no account, and none is created.
    NoAccount,
    /// Accounts are created only for verified addresses of some domains.
    Domain,
    /// The provider sent no address.
    NoEmail,
    /// The provider sent no proper subject.
    NoSubject,
}

/// The identity with this id.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, id: IdentityId) -> Result<Option<Identity>> {
    Ok(identities::table.find(id).select(Identity::as_select()).first(conn).optional()?)
}

/// The identities of a user, the oldest first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<Identity>> {
    let own = identities::table.filter(identities::user_id.eq(user)).order(identities::id);
    Ok(own.select(Identity::as_select()).load(conn)?)
}

fn find_claimed(conn: &mut PgConnection, claimed: &Claimed) -> Result<Option<Identity>> {
    Ok(identities::table
        .filter(identities::issuer.eq(&claimed.issuer))
        .filter(identities::subject.eq(&claimed.subject))
        .select(Identity::as_select())
        .first(conn)
        .optional()?)
}

fn is_proper(claimed: &Claimed) -> bool {
    let length = claimed.subject.chars().count();
    (1..=MOST_CHARACTERS).contains(&length) && !claimed.subject.contains('\0')
}

fn shown_email(claimed: &Claimed) -> String {
    claimed.email.as_ref().map_or_else(String::new, |email| email.as_str().to_owned())
}

/// Lets a person in whom a provider vouches for: as the user of their identity, or else as the user whose confirmed
/// address they have, or else as a new user, as far as the rules allow. Then their groups take effect.
///
/// # Errors
/// Database errors.
pub fn enter(
    conn: &mut PgConnection,
    claimed: &Claimed,
    rules: &EntryRules,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Entry> {
    if !is_proper(claimed) {
        return Ok(Entry::Refused(Refused::NoSubject));
    }
    // Two first sign-ins of one person take turns, so that they get one account.
    name_locks::lock(conn, &format!("identity {} {}", claimed.issuer, claimed.subject), 0)?;
    let caller = Caller::system_for(address);
    let known = find_claimed(conn, claimed)?;
    let (user, identity) = match known {
        Some(identity) => (identity.user_id, identity.id),
        None => match find_by_email(conn, claimed, rules)? {
            Some(user) => (user, insert(conn, &caller, claimed, user, now)?),
            None => match create(conn, &caller, claimed, rules, now)? {
                Ok(user) => (user, insert(conn, &caller, claimed, user, now)?),
                Err(why) => return Ok(Entry::Refused(why)),
            },
        },
    };
    let account: (OwnerName, bool, bool) = users_table::table
        .inner_join(owners::table)
        .filter(users_table::id.eq(user))
        .select((owners::name, users_table::is_active, users_table::is_locked))
        .first(conn)?;
    let (name, is_active, is_locked) = account;
    // Nothing changes for an account that is closed here, whatever the provider says.
    if !is_active || is_locked {
        return Ok(Entry::Refused(Refused::Account));
    }
    diesel::update(identities::table.find(identity))
        .set((
            identities::provider.eq(claimed.provider.as_str()),
            identities::email.eq(shown_email(claimed)),
            identities::last_used_at.eq(now),
        ))
        .execute(conn)?;
    let mut kept = Vec::new();
    if let Some(groups) = &claimed.groups {
        follow_teams(conn, &caller, (user, &name), (claimed, groups, rules), &mut kept, now)?;
        follow_admin(conn, &caller, (user, &name), (claimed, groups, rules), &mut kept, now)?;
    } else if !rules.teams.is_empty() || !rules.admin_group.is_empty() {
        kept.push("the provider sent no groups, because there are too many".to_owned());
    }
    let epoch = users_table::table.find(user).select(users_table::auth_epoch).first(conn)?;
    Ok(Entry::Admitted { user, epoch, identity, kept })
}

/// The user whose confirmed address the provider has verified, if that may link them.
fn find_by_email(conn: &mut PgConnection, claimed: &Claimed, rules: &EntryRules) -> Result<Option<OwnerId>> {
    let verified = claimed.email.as_ref().filter(|_| claimed.email_verified && rules.link_by_verified_email);
    let Some(email) = verified else { return Ok(None) };
    let found: Option<OwnerId> = users_table::table
        .filter(users_table::lower_email.eq(email.lower()))
        .filter(users_table::robot_of.is_null())
        // A locked user's account is closed to new identities too.
        .filter(users_table::is_active.and(diesel::dsl::not(users_table::is_locked)))
        .select(users_table::id)
        .for_no_key_update()
        .first(conn)
        .optional()?;
    let Some(user) = found else { return Ok(None) };
    let own: i64 = identities::table.filter(identities::user_id.eq(user)).count().get_result(conn)?;
    Ok((own < MOST).then_some(user))
}

fn insert(
    conn: &mut PgConnection,
    caller: &Caller,
    claimed: &Claimed,
    user: OwnerId,
    now: Timestamp,
) -> Result<IdentityId> {
    let id = diesel::insert_into(identities::table)
        .values((
            identities::user_id.eq(user),
            identities::provider.eq(claimed.provider.as_str()),
            identities::issuer.eq(&claimed.issuer),
            identities::subject.eq(&claimed.subject),
            identities::email.eq(shown_email(claimed)),
            identities::created_at.eq(now),
        ))
        .returning(identities::id)
        .get_result(conn)?;
    record(conn, caller, Event::IdentityLink, user, claimed.provider.as_str(), &claimed.subject, now)?;
    Ok(id)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    user: OwnerId,
    provider: &str,
    subject: &str,
    now: Timestamp,
) -> Result<()> {
    let name: OwnerName = owners::table.find(user).select(owners::name).first(conn)?;
    let detail = json!({"provider": provider, "subject": subject});
    audit::record_owner(conn, caller, event, (user, &name), detail, now)
}

/// Creates an account, if the rules allow it.
fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    claimed: &Claimed,
    rules: &EntryRules,
    now: Timestamp,
) -> Result<Result<OwnerId, Refused>> {
    if !rules.auto_create {
        return Ok(Err(Refused::NoAccount));
    }
    let Some(email) = &claimed.email else { return Ok(Err(Refused::NoEmail)) };
    let domain = email.lower().rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
    let is_listed = rules.allowed_domains.iter().any(|allowed| allowed.to_lowercase() == domain);
    let is_allowed = rules.allowed_domains.is_empty() || is_listed && claimed.email_verified;
    if !is_allowed {
        return Ok(Err(Refused::Domain));
    }
    let full_name: String = claimed.full_name.chars().filter(|c| !c.is_control()).take(100).collect();
    for name in candidates(&claimed.user_name) {
        let new = NewUser {
            name,
            full_name: full_name.clone(),
            email: email.clone(),
            password_hash: None,
            visibility: Visibility::Public,
            is_admin: false,
            must_change_password: false,
        };
        // Nobody signs in with this address until an administrator confirms it: the provider may have others' addresses.
        match users::insert(conn, &new, None, true, now) {
            Ok(id) => {
                let detail = json!({"provider": claimed.provider});
                audit::record_owner(conn, caller, Event::UserCreate, (id, &new.name), detail, now)?;
                return Ok(Ok(id));
            }
            Err(Error::Conflict(_) | Error::Invalid { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::internal(anyhow::anyhow!("no name is free for a new user of {}", claimed.provider)))
}

/// Names for a new user, the best first: the name of the person at the provider, made valid, then with a number.
fn candidates(wanted: &str) -> impl Iterator<Item = OwnerName> {
    let local = wanted.split('@').next().unwrap_or_default();
    let mut name = String::new();
    for c in local.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => name.push(c),
            // No two separators in a row, and none at the beginning.
            _ if name.is_empty() || name.ends_with(['-', '_', '.']) => {}
            '_' | '.' => name.push(c),
            _ => name.push('-'),
        }
    }
    // Room for a number, or for random characters.
    name.truncate(MAX_OWNER_BYTES - 9);
    let base = match name.trim_end_matches(['-', '_', '.']) {
        "" => "user".to_owned(),
        base => base.to_owned(),
    };
    let numbered = {
        let base = base.clone();
        (2..NAMES_TRIED).map(move |number| format!("{base}-{number}"))
    };
    let last = format!("{base}-{}", random_text(8));
    std::iter::once(base).chain(numbered).chain([last]).filter_map(|name| name.parse().ok())
}

type Groups<'a> = (&'a Claimed, &'a BTreeSet<String>, &'a EntryRules);

/// Adds a user to the teams of their groups and removes them from the teams of other groups. Teams that no group stands
/// for are left alone, and no organization loses its last owner.
fn follow_teams(
    conn: &mut PgConnection,
    caller: &Caller,
    (user, name): (OwnerId, &OwnerName),
    (claimed, groups, rules): Groups<'_>,
    kept: &mut Vec<String>,
    now: Timestamp,
) -> Result<()> {
    // Several groups may stand for one team.
    let mut wanted: BTreeMap<(String, String), (&TeamPath, bool)> = BTreeMap::new();
    for (group, path) in &rules.teams {
        let key = (path.org.lower(), path.team.lower());
        wanted.entry(key).or_insert((path, false)).1 |= groups.contains(group);
    }
    for (path, is_wanted) in wanted.into_values() {
        let found: Option<(TeamId, OwnerId, OwnerName, String)> = teams::table
            .inner_join(owners::table.on(owners::id.eq(teams::org_id)))
            .filter(owners::kind.eq(OwnerKind::Organization))
            .filter(owners::lower_name.eq(path.org.lower()))
            .filter(teams::lower_name.eq(path.team.lower()))
            .select((teams::id, owners::id, owners::name, teams::name))
            .first(conn)
            .optional()?;
        let Some((team, org, org_name, team_name)) = found else {
            kept.push(format!("there is no team {path}"));
            continue;
        };
        let event = match is_wanted {
            true => members::insert(conn, team, user, now)?.then_some(Event::MemberAdd),
            false => match conn.transaction(|conn| leave(conn, team, org, user)) {
                Ok(was_in) => was_in.then_some(Event::MemberRemove),
                Err(Error::Forbidden(_)) => {
                    kept.push(format!("{name} is the last owner of {org_name}, so they stay in {path}"));
                    None
                }
                Err(error) => return Err(error),
            },
        };
        if let Some(event) = event {
            let detail = json!({"provider": claimed.provider});
            let subject = Subject { owner: Some((org, &org_name)), text: format!("{team_name}/{name}"), detail };
            audit::record(conn, caller, event, &subject, now)?;
        }
    }
    Ok(())
}

/// Removes a user from a team; false if they were not in it.
fn leave(conn: &mut PgConnection, team: TeamId, org: OwnerId, user: OwnerId) -> Result<bool> {
    let seat = team_members::table.find((team, user));
    let is_in: bool = diesel::select(diesel::dsl::exists(seat)).get_result(conn)?;
    if !is_in {
        return Ok(false);
    }
    let permission: Permission = teams::table.find(team).select(teams::permission).first(conn)?;
    let owning = (permission == Permission::Owner).then(|| Owning::lock(conn, org)).transpose()?;
    let removed = diesel::delete(seat).execute(conn)? == 1;
    match owning {
        Some(owning) => owning.demand_left(conn).map(|()| removed),
        None => Ok(removed),
    }
}

/// Makes the members of the administrators' group administrators, and others not. The last administrator stays.
fn follow_admin(
    conn: &mut PgConnection,
    caller: &Caller,
    (user, name): (OwnerId, &OwnerName),
    (claimed, groups, rules): Groups<'_>,
    kept: &mut Vec<String>,
    now: Timestamp,
) -> Result<()> {
    if rules.admin_group.is_empty() {
        return Ok(());
    }
    let wanted = groups.contains(&rules.admin_group);
    let able = if wanted { Vec::new() } else { able_admins(conn, true)? };
    let is_admin: bool = users_table::table.find(user).select(users_table::is_admin).for_no_key_update().first(conn)?;
    if is_admin == wanted {
        return Ok(());
    }
    if able == [user] {
        kept.push(format!("{name} is the last administrator, so they stay one"));
        return Ok(());
    }
    // As with any change of rights, every session ends.
    diesel::update(users_table::table.find(user))
        .set((users_table::is_admin.eq(wanted), users_table::auth_epoch.eq(users_table::auth_epoch + 1)))
        .execute(conn)?;
    let detail = json!({"changed": ["is_admin"], "is_admin": wanted, "provider": claimed.provider});
    audit::record_owner(conn, caller, Event::UserUpdate, (user, name), detail, now)
}

/// Links an identity to the caller's account; false if it is linked to it already.
///
/// # Errors
/// [`Error::Blocked`] if it is linked to another account, or the caller has [`MOST`] already.
pub fn link(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    claimed: &Claimed,
    now: Timestamp,
) -> Result<bool> {
    let user = right.user().id;
    if !is_proper(claimed) {
        return Err(Error::Blocked("the provider doesn't say who you are".to_owned()));
    }
    let _: OwnerId = users_table::table.find(user).select(users_table::id).for_no_key_update().first(conn)?;
    match find_claimed(conn, claimed)? {
        Some(identity) if identity.user_id == user => return Ok(false),
        Some(_) => {
            return Err(Error::Blocked(
                "this account of the provider is linked to another user: sign in as that user and unlink it first"
                    .to_owned(),
            ));
        }
        None => {}
    }
    let own: i64 = identities::table.filter(identities::user_id.eq(user)).count().get_result(conn)?;
    if own >= MOST {
        return Err(Error::Blocked(format!("you have {MOST} linked accounts, which is the limit: unlink one first")));
    }
    insert(conn, caller, claimed, user, now)?;
    Ok(true)
}

/// Unlinks an identity from the caller's account, and ends the other sessions that began with it. Returns its provider.
///
/// # Errors
/// [`Error::NotFound`] when it is not the caller's; [`Error::Blocked`] for their last way to sign in.
pub fn unlink(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (id, open): (IdentityId, &OpenWays),
    now: Timestamp,
) -> Result<String> {
    let user = right.user().id;
    let identity = find(conn, id)?.filter(|identity| identity.user_id == user);
    let identity = identity.ok_or(Error::NotFound(What::Identity))?;
    ways_in::demand_other(conn, user, GivenUp::Identity(id), open)?;
    let others = session_rows::table
        .filter(session_rows::identity_id.eq(id))
        .filter(session_rows::id.nullable().is_distinct_from(caller.session()));
    diesel::delete(others).execute(conn)?;
    if diesel::delete(identities::table.find(id)).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Identity));
    }
    record(conn, caller, Event::IdentityUnlink, user, &identity.provider, &identity.subject, now)?;
    Ok(identity.provider)
}

/// Records in the caller's session that they have just proved an identity of their account again.
///
/// # Errors
/// [`Error::Blocked`] for an identity of another account; [`Error::Unauthenticated`].
pub fn confirm(conn: &mut PgConnection, caller: &Caller, claimed: &Claimed, now: Timestamp) -> Result<()> {
    let user = caller.signed_in()?.id;
    let session = caller.session().ok_or(Error::Unauthenticated)?;
    let own = find_claimed(conn, claimed)?.filter(|identity| identity.user_id == user);
    if own.is_none() {
        return Err(Error::Blocked(
            "you signed in at the provider with another account than the one that is linked to yours here".to_owned(),
        ));
    }
    sessions::confirm(conn, session, now)
}

/// Encrypts what a browser keeps during a sign-in.
///
/// # Errors
/// [`Error::Internal`].
pub fn seal_state(key: &MasterKey, state: &[u8]) -> Result<Vec<u8>> {
    encryption::encrypt(key, SIGN_IN_STATE, NOBODY, state)
}

/// Decrypts it; `None` if this server didn't encrypt it.
pub fn open_state(key: &MasterKey, sealed: &[u8]) -> Option<Vec<u8>> {
    encryption::decrypt(key, SIGN_IN_STATE, NOBODY, sealed).ok()
}

/// Encrypts an ID token for signing out, unless it is too long.
///
/// # Errors
/// [`Error::Internal`].
pub fn seal_hint(key: &MasterKey, user: OwnerId, token: &str) -> Result<Option<Vec<u8>>> {
    let short = Some(token).filter(|token| token.len() <= MOST_OF_HINT);
    short.map(|token| encryption::encrypt(key, SIGN_OUT_HINT, user, token.as_bytes())).transpose()
}

/// Decrypts an ID token for signing out.
pub fn open_hint(key: &MasterKey, user: OwnerId, sealed: &[u8]) -> Option<String> {
    String::from_utf8(encryption::decrypt(key, SIGN_OUT_HINT, user, sealed).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_providers_are_made_valid() {
        for (wanted, name) in [
            ("ada", "ada"),
            ("ada.lovelace@example.org", "ada.lovelace"),
            ("Ada Lovelace", "Ada-Lovelace"),
            ("..ada__l--", "ada_l"),
            ("Ädä", "d"),
            ("", "user"),
            ("@@@", "user"),
            ("日本", "user"),
            (&"x".repeat(300), &"x".repeat(31)),
        ] {
            let all: Vec<OwnerName> = candidates(wanted).collect();
            assert_eq!(all[0].as_str(), name, "{wanted}");
            assert_eq!(all[1].as_str(), format!("{name}-2"));
            assert_eq!(all.len(), 50);
        }
    }
}
