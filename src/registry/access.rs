//! Who is asking, and what he may do. A right is a value that only this module makes and that the functions which
//! need it demand.

mod rights;

pub use rights::{CanAudit, CanSearch, CanSeeQuota, CanSetQuota, can_audit, can_search, can_see_quota, can_set_quota};

use super::quotas::OwnQuota;
use crate::db::schema::{owners, team_members, teams, tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Area, Level, OwnerKind, PackagePattern, Permission, Scope, Scopes, Visibility};
use crate::domain::secret::TokenHash;
use crate::error::{Error, Result, What};
use diesel::dsl::{auto_type, max};
use diesel::prelude::*;
use std::net::IpAddr;

/// What a request presents. It is judged in the same hop as the work, so that what it meant a moment ago counts for
/// nothing.
#[derive(Debug, Clone)]
pub enum Credential {
    /// None.
    Anonymous,
    /// A personal access token.
    Token(TokenHash),
    /// A user whose password (and second factor) was found right at this epoch of his account.
    Login { user: OwnerId, epoch: i32 },
}

/// The user behind a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub id: OwnerId,
    pub name: OwnerName,
    pub is_admin: bool,
}

/// By what a caller was known, and so how far his rights reach.
#[derive(Debug, Clone)]
enum Grant {
    /// Everything the user may.
    Whole(&'static str),
    Token(TokenGrant),
}

#[derive(Debug, Clone)]
struct TokenGrant {
    id: TokenId,
    scopes: Scopes,
    owners: Option<Vec<OwnerId>>,
    packages: Option<Vec<PackagePattern>>,
}

/// Who is asking.
#[derive(Debug, Clone)]
pub struct Caller {
    user: Option<SignedIn>,
    grant: Grant,
    address: Option<IpAddr>,
}

/// How far a caller sees: the parameters of [`readable`].
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    widest: i16,
    user: OwnerId,
}

/// An id that no owner has.
const NOBODY: OwnerId = OwnerId(0);

/// What a bad token or login is told: never which of unknown, expired, revoked, locked it was.
pub const BAD_TOKEN: Error = Error::BadCredential("the access token is not valid: it is unknown, expired or revoked");
/// The same for a user name with a password.
pub const BAD_LOGIN: Error = Error::BadCredential("user name or password is wrong, or the account has no access");

impl Caller {
    /// Somebody unknown.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self { user: None, grant: Grant::Whole("none"), address }
    }

    /// The command line, which may do all.
    pub fn command_line() -> Self {
        let user = "command-line".parse().ok().map(|name| SignedIn { id: NOBODY, name, is_admin: true });
        Self { user, grant: Grant::Whole("command-line"), address: None }
    }

    /// The user, if there is one.
    pub fn user(&self) -> Option<&SignedIn> {
        self.user.as_ref()
    }

    /// The user.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when there is none.
    pub fn signed_in(&self) -> Result<&SignedIn> {
        self.user.as_ref().ok_or(Error::Unauthenticated)
    }

    /// The kind of credential, as the audit names it.
    pub fn credential(&self) -> &'static str {
        match &self.grant {
            Grant::Whole(how) => how,
            Grant::Token(_) => "token",
        }
    }

    /// The token in use.
    pub fn token(&self) -> Option<TokenId> {
        match &self.grant {
            Grant::Token(token) => Some(token.id),
            Grant::Whole(_) => None,
        }
    }

    /// Where the request came from.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether he is a site administrator, whatever the credential: how far a token reaches is asked by
    /// [`Caller::demand`].
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_admin)
    }

    /// Checks that the token in use, if it is one, has the scope.
    ///
    /// # Errors
    /// [`Error::Forbidden`] that names the scope.
    pub fn demand(&self, area: Area, level: Level) -> Result<()> {
        match &self.grant {
            Grant::Token(token) if !token.scopes.allow(area, level) => {
                Err(Error::Forbidden(format!("the access token lacks the scope {}", Scope::Of(area, level))))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the user may administer the site, and the token may reach it.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Forbidden`] naming what is missing.
    pub fn demand_admin(&self, level: Level) -> Result<()> {
        self.signed_in()?;
        self.demand(Area::Admin, level)?;
        if self.is_admin() { Ok(()) } else { Err(Error::Forbidden("only a site administrator may do this".to_owned())) }
    }

    /// Checks that the caller signed in with a password: a token can never make or widen tokens.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Forbidden`] when a token is in use.
    pub fn demand_password(&self) -> Result<&SignedIn> {
        if self.token().is_some() {
            return Err(Error::Forbidden(
                "an access token cannot do this: sign in with user name and password".to_owned(),
            ));
        }
        self.signed_in()
    }

    /// Checks the token's limit to some package names.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the package.
    pub fn demand_package(&self, package: &PackageName) -> Result<()> {
        let Grant::Token(TokenGrant { packages: Some(patterns), .. }) = &self.grant else { return Ok(()) };
        let lower = package.lower();
        if patterns.iter().any(|pattern| pattern.matches(&lower)) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the access token is limited to other packages than {package}")))
    }

    /// Checks the token's limit to some owners, and to public ones.
    fn demand_owner(&self, id: OwnerId, name: &OwnerName, visibility: Visibility) -> Result<()> {
        let Grant::Token(token) = &self.grant else { return Ok(()) };
        if token.owners.as_ref().is_some_and(|ids| !ids.contains(&id)) {
            return Err(Error::Forbidden(format!("the access token is limited to other owners than {name}")));
        }
        self.demand_visible(name, visibility)
    }

    /// Checks that the token in use, if it is one, is not limited to some owners: a new one would not be among them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub fn demand_any_owner(&self) -> Result<()> {
        match &self.grant {
            Grant::Token(TokenGrant { owners: Some(_), .. }) => {
                Err(Error::Forbidden("the access token is limited to some owners, and cannot make another".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Checks the token's limit to public owners.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub fn demand_visible(&self, name: &OwnerName, visibility: Visibility) -> Result<()> {
        match &self.grant {
            Grant::Token(token) if token.scopes.public_only() && visibility != Visibility::Public => {
                Err(Error::Forbidden(format!("the access token is public-only, and {name} is not public")))
            }
            _ => Ok(()),
        }
    }

    /// How far the user sees, whatever his token's limits: those answer 403, not 404.
    pub fn sight(&self) -> Sight {
        match &self.user {
            None => Sight { widest: Visibility::Public.number(), user: NOBODY },
            Some(user) if user.is_admin => Sight { widest: Visibility::Private.number(), user: user.id },
            Some(user) => Sight { widest: Visibility::Limited.number(), user: user.id },
        }
    }
}

/// Whether the owner of the query's row may be read with this sight. The one place that says so: finds, lists, counts
/// and searches all filter by it.
#[auto_type(no_type_alias)]
pub fn readable(sight: Sight) -> _ {
    let widest: i16 = sight.widest;
    let user: OwnerId = sight.user;
    // Which organizations they are does not hang on the row: Postgres finds out once, however many owners it looks at.
    let memberships =
        teams::table.inner_join(team_members::table).filter(team_members::user_id.eq(user)).select(teams::org_id);
    owners::visibility.le(widest).or(owners::id.eq(user)).or(owners::id.eq_any(memberships))
}

type UserRow = (OwnerId, OwnerName, bool, bool, bool, i32);

fn signed_in((id, name, is_admin, is_active, is_locked, _): UserRow) -> Option<SignedIn> {
    (is_active && !is_locked).then_some(SignedIn { id, name, is_admin })
}

/// Finds out who presents a credential.
///
/// # Errors
/// [`Error::BadCredential`] when it is not, or no more, good for anything.
pub fn identify(
    conn: &mut PgConnection,
    credential: &Credential,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Caller> {
    let columns = (users::id, owners::name, users::is_admin, users::is_active, users::is_locked, users::auth_epoch);
    match credential {
        Credential::Anonymous => Ok(Caller::anonymous(address)),
        Credential::Login { user, epoch } => {
            let row: Option<UserRow> = users::table
                .inner_join(owners::table)
                .filter(users::id.eq(user))
                .filter(users::auth_epoch.eq(epoch))
                .select(columns)
                .first(conn)
                .optional()?;
            let user = row.and_then(signed_in).ok_or(BAD_LOGIN)?;
            Ok(Caller { user: Some(user), grant: Grant::Whole("password"), address })
        }
        Credential::Token(hash) => {
            type TokenRow = (TokenId, Vec<String>, Option<Vec<OwnerId>>, Option<Vec<String>>);
            let row: Option<(UserRow, TokenRow)> = tokens::table
                .inner_join(users::table.inner_join(owners::table))
                .filter(tokens::hash.eq(hash.as_bytes()))
                .filter(tokens::expires_at.is_null().or(tokens::expires_at.gt(now)))
                .select((columns, (tokens::id, tokens::scopes, tokens::owner_ids, tokens::package_patterns)))
                .first(conn)
                .optional()?;
            let (user, (id, scopes, owner_ids, patterns)) = row.ok_or(BAD_TOKEN)?;
            let user = signed_in(user).ok_or(BAD_TOKEN)?;
            let scopes = Scopes::from_words(scopes.iter().map(String::as_str)).map_err(Error::internal)?;
            let packages = patterns
                .map(|patterns| patterns.iter().map(|pattern| pattern.parse()).collect::<Result<Vec<_>, _>>())
                .transpose()
                .map_err(Error::internal)?;
            let grant = Grant::Token(TokenGrant { id, scopes, owners: owner_ids, packages });
            Ok(Caller { user: Some(user), grant, address })
        }
    }
}

/// An owner that the caller may see, and what he is there.
#[derive(Debug, Clone)]
pub struct Visited {
    pub id: OwnerId,
    pub name: OwnerName,
    pub kind: OwnerKind,
    pub visibility: Visibility,
    pub quota: OwnQuota,
    permission: Option<Permission>,
}

impl Visited {
    /// What the caller may do with it: his best team's permission, all of it for himself and for administrators.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }
}

/// Finds an owner the caller may read.
///
/// # Errors
/// Absent and unreadable alike: [`Error::Unauthenticated`] for the anonymous, [`Error::NotFound`] for others;
/// [`Error::Forbidden`] when it is the token's limits that are in the way.
pub fn visit(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    let user = caller.user.as_ref().map_or(NOBODY, |user| user.id);
    let best = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(owners::id))
        .filter(team_members::user_id.eq(user))
        .select(max(teams::permission))
        .single_value();
    type Row = (OwnerId, OwnerName, OwnerKind, Visibility, OwnQuota, Option<Permission>);
    let quota = (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes);
    let row: Option<Row> = owners::table
        .filter(owners::lower_name.eq(name.lower()))
        .filter(readable(caller.sight()))
        .select((owners::id, owners::name, owners::kind, owners::visibility, quota, best))
        .first(conn)
        .optional()?;
    let Some((id, name, kind, visibility, quota, best)) = row else {
        return Err(if caller.user.is_some() { Error::NotFound(What::Owner) } else { Error::Unauthenticated });
    };
    let all = caller.is_admin() || (id == user && kind == OwnerKind::User);
    let permission = if all { Some(Permission::Owner) } else { best };
    let visited = Visited { id, name, kind, visibility, quota, permission };
    caller.demand_owner(visited.id, &visited.name, visited.visibility)?;
    Ok(visited)
}

/// The right to read an owner's packages.
#[derive(Debug, Clone)]
pub struct CanRead {
    owner: Visited,
    packages: Option<Vec<PackagePattern>>,
}

impl CanRead {
    /// The owner it is a right to.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The only packages it is a right to, where a token is limited to some: lists and counts are of these alone.
    pub fn packages(&self) -> Option<&[PackagePattern]> {
        self.packages.as_deref()
    }
}

/// Whether a caller may read a package of an owner.
///
/// # Errors
/// As [`visit`]; [`Error::Forbidden`] also for a token without `read:package`, or limited to other packages.
pub fn can_read(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: Option<&PackageName>,
) -> Result<CanRead> {
    caller.demand(Area::Package, Level::Read)?;
    let owner = visit(conn, caller, owner)?;
    package.map_or(Ok(()), |package| caller.demand_package(package))?;
    let packages = match &caller.grant {
        Grant::Token(token) => token.packages.clone(),
        Grant::Whole(_) => None,
    };
    Ok(CanRead { owner, packages })
}

/// The checks of [`can_read`] for a file that was found without them. Where the owner's visibility alone lets the caller
/// in they cost nothing: the membership of an organization, which [`readable`] asks for, takes Postgres a third of the
/// time of a whole download's query. Everywhere else it is [`can_read`] that decides.
///
/// # Errors
/// As [`can_read`].
pub fn confirm_read(
    conn: &mut PgConnection,
    caller: &Caller,
    (id, name, visibility): (OwnerId, &OwnerName, Visibility),
    package: &PackageName,
) -> Result<()> {
    if visibility.number() > caller.sight().widest {
        return can_read(conn, caller, name, Some(package)).map(drop);
    }
    caller.demand_owner(id, name, visibility)?;
    caller.demand_package(package)
}

/// The right to publish and delete in a package of an owner.
#[derive(Debug, Clone)]
pub struct CanPublish {
    owner: Visited,
    user: SignedIn,
}

impl CanPublish {
    /// The owner it is a right to.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// Who has it.
    pub fn user(&self) -> &SignedIn {
        &self.user
    }
}

/// Whether a caller may publish and delete in a package of an owner.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when he may not even read it; [`Error::Forbidden`] naming the
/// missing scope or right.
pub fn can_publish(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: &PackageName,
) -> Result<CanPublish> {
    let user = caller.signed_in()?.clone();
    caller.demand(Area::Package, Level::Write)?;
    let owner = visit(conn, caller, owner)?;
    caller.demand_package(package)?;
    if owner.permission < Some(Permission::Write) {
        return Err(Error::Forbidden(format!("{} lacks the right to write to {}", user.name, owner.name)));
    }
    Ok(CanPublish { owner, user })
}

/// The right to change an organization itself: its settings, teams and members.
#[derive(Debug, Clone)]
pub struct CanGovern {
    owner: Visited,
}

impl CanGovern {
    /// The organization.
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may govern an organization.
///
/// # Errors
/// As [`can_publish`]; [`Error::NotFound`] also when the name is a user's.
pub fn can_govern(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanGovern> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Write)?;
    let owner = visit(conn, caller, org)?;
    if owner.kind != OwnerKind::Organization {
        return Err(Error::NotFound(What::Organization));
    }
    if owner.permission < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!("only owners of {} may do this, and {} is none", owner.name, user.name)));
    }
    Ok(CanGovern { owner })
}
