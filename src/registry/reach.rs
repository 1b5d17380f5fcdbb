//! What a user can access of other owners: organizations through teams, and packages through limited teams and grants.
//! It is read with the user, once per request, so that whether an owner or a package may be seen is decided by
//! comparing its row with values: a query that looked up memberships only for owners that exist would take longer for a
//! private owner than for an absent one.

use super::like::like_of;
use crate::domain::ids::OwnerId;
use crate::domain::role::{PackagePattern, Permission, Visibility};
use crate::error::{Error, Result};
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Jsonb;
use serde_json::Value;

/// An id that no owner has.
pub const NOBODY: OwnerId = OwnerId(0);

/// A permission for some packages of an owner.
#[derive(Debug, Clone)]
struct Share {
    owner: OwnerId,
    pattern: PackagePattern,
    permission: Permission,
}

/// What a user can access of other owners.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The organizations of all the user's teams.
    member_of: Vec<OwnerId>,
    /// The best permission in each organization, of teams that are not limited to some packages.
    whole: Vec<(OwnerId, Permission)>,
    /// The permissions of limited teams and of grants.
    shares: Vec<Share>,
}

/// An array of `[owner, permission, patterns, is a team]` for the user of the query's row.
const REACH: &str = "(SELECT coalesce(jsonb_agg(jsonb_build_array(reached.owner_id, reached.permission, reached.patterns, \
    reached.is_team)), '[]') FROM (SELECT teams.org_id AS owner_id, teams.permission, to_jsonb(teams.package_patterns) AS patterns, \
    true AS is_team FROM team_members JOIN teams ON teams.id = team_members.team_id WHERE team_members.user_id = users.id \
    UNION ALL SELECT grants.owner_id, grants.permission, jsonb_build_array(grants.pattern), false FROM grants \
    WHERE grants.user_id = users.id \
    UNION ALL SELECT grants.owner_id, grants.permission, jsonb_build_array(grants.pattern), false FROM team_members \
    JOIN grants ON grants.team_id = team_members.team_id WHERE team_members.user_id = users.id) AS reached)";

/// The column that [`Reach::from_row`] reads, in a query with the user's row. Unlike with [`diesel::dsl::sql`], Diesel
/// keeps the query prepared: every request runs it.
#[derive(Debug, Clone, Copy, QueryId)]
pub(super) struct ReachColumn;

impl Expression for ReachColumn {
    type SqlType = Jsonb;
}

impl<QS: ?Sized> AppearsOnTable<QS> for ReachColumn {}

impl<QS: ?Sized> SelectableExpression<QS> for ReachColumn {}

impl<GB> ValidGrouping<GB> for ReachColumn {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Pg> for ReachColumn {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(REACH);
        Ok(())
    }
}

impl Reach {
    /// Reads the value of [`ReachColumn`].
    ///
    /// # Errors
    /// [`Error::Internal`] for a value that the database's constraints rule out.
    pub(super) fn from_row(row: Value) -> Result<Self> {
        let mut reach = Self::default();
        let rows: Vec<(OwnerId, i16, Option<Vec<String>>, bool)> =
            serde_json::from_value(row).map_err(Error::internal)?;
        for (owner, number, patterns, is_team) in rows {
            let permission = Permission::from_number(number).map_err(Error::internal)?;
            if is_team && !reach.member_of.contains(&owner) {
                reach.member_of.push(owner);
            }
            let Some(patterns) = patterns else {
                match reach.whole.iter_mut().find(|(id, _)| *id == owner) {
                    Some((_, best)) => *best = permission.max(*best),
                    None => reach.whole.push((owner, permission)),
                }
                continue;
            };
            for pattern in patterns {
                reach.shares.push(Share { owner, pattern: pattern.parse().map_err(Error::internal)?, permission });
            }
        }
        Ok(reach)
    }

    /// What a trusted publisher reaches: it may write to some packages of its owner.
    pub(super) fn of_publisher(owners: &[OwnerId], packages: &[PackagePattern]) -> Self {
        let permission = Permission::Write;
        let of = |owner: &OwnerId| {
            let owner = *owner;
            packages.iter().map(move |pattern| Share { owner, pattern: pattern.clone(), permission })
        };
        Self { shares: owners.iter().flat_map(of).collect(), ..Self::default() }
    }

    /// The user's permission for all packages of an owner.
    pub(super) fn permission(&self, owner: OwnerId) -> Option<Permission> {
        self.whole.iter().find(|(id, _)| *id == owner).map(|(_, permission)| *permission)
    }

    /// The owners in which the user has at least this permission for all packages.
    pub(super) fn whole_owners(&self, least: Permission) -> impl Iterator<Item = OwnerId> + '_ {
        self.whole.iter().filter(move |(_, permission)| *permission >= least).map(|(id, _)| *id)
    }

    /// The user's permission for a package, by its name in lower case.
    pub(super) fn permission_for(&self, owner: OwnerId, lower: &str) -> Option<Permission> {
        let shared = self.shares.iter().filter(|share| share.owner == owner && share.pattern.matches(lower));
        self.permission(owner).max(shared.map(|share| share.permission).max())
    }

    /// The patterns of the packages for which the user has at least this permission, though not for all packages.
    pub(super) fn patterns(&self, owner: OwnerId, least: Permission) -> Vec<PackagePattern> {
        let shared = self.shares.iter().filter(|share| share.owner == owner && share.permission >= least);
        shared.map(|share| share.pattern.clone()).collect()
    }

    /// The user's best permission for any package of an owner.
    pub(super) fn best(&self, owner: OwnerId) -> Option<Permission> {
        let shared = self.shares.iter().filter(|share| share.owner == owner).map(|share| share.permission).max();
        self.permission(owner).max(shared)
    }

    /// The organizations of all the user's teams.
    pub(super) fn member_of(&self) -> &[OwnerId] {
        &self.member_of
    }

    /// Whether the user is in a team of an organization.
    pub(super) fn is_member(&self, org: OwnerId) -> bool {
        self.member_of.contains(&org)
    }

    /// The owners in which the user has at least this permission for some package.
    pub(super) fn owners(&self, least: Permission) -> Vec<OwnerId> {
        let whole = self.whole.iter().filter(|(_, permission)| *permission >= least).map(|(id, _)| *id);
        let shared = self.shares.iter().filter(|share| share.permission >= least).map(|share| share.owner);
        let mut all: Vec<OwnerId> = whole.chain(shared).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What a caller may see: the values that [`super::access::readable`] and [`super::access::package_readable`] compare
/// with a row.
#[derive(Debug, Clone)]
pub struct VisibilityLimit {
    /// The narrowest visibility that is seen without any other right; −1 for none.
    pub(super) widest: i16,
    pub(super) user: OwnerId,
    /// The organizations that are seen, though not all of their packages.
    pub(super) member_of: Vec<OwnerId>,
    /// The organizations whose packages are all seen.
    pub(super) orgs: Vec<OwnerId>,
    /// The owners of packages that are seen by their names, each with a LIKE pattern of names.
    pub(super) shares: Vec<(OwnerId, String)>,
}

/// A value of `widest` that no visibility is within.
const NOTHING: i16 = -1;

impl VisibilityLimit {
    /// What a guest sees.
    pub(super) fn of_guest() -> Self {
        Self::of(Visibility::Public.number(), NOBODY, &Reach::default(), Permission::Read)
    }

    /// What a user sees.
    pub(super) fn of_user(user: OwnerId, is_admin: bool, reach: &Reach) -> Self {
        let widest = if is_admin { Visibility::Private } else { Visibility::Limited };
        Self::of(widest.number(), user, reach, Permission::Read)
    }

    /// What a user may publish to, in the form of what is seen: [`super::access::package_readable`] with this limit is
    /// true for exactly the packages that the user may publish to.
    pub(super) fn to_write(user: OwnerId, is_admin: bool, reach: &Reach) -> Self {
        let widest = if is_admin { Visibility::Private.number() } else { NOTHING };
        Self::of(widest, user, reach, Permission::Write)
    }

    /// Nothing at all.
    pub(super) fn nothing() -> Self {
        Self::of(NOTHING, NOBODY, &Reach::default(), Permission::Owner)
    }

    fn of(widest: i16, user: OwnerId, reach: &Reach, least: Permission) -> Self {
        let whole = reach.whole.iter().filter(|(_, permission)| *permission >= least);
        let shared = reach.shares.iter().filter(|share| share.permission >= least);
        Self {
            widest,
            user,
            member_of: reach.member_of.clone(),
            orgs: whole.map(|(id, _)| *id).collect(),
            shares: shared.map(|share| (share.owner, like_of(&share.pattern))).collect(),
        }
    }

    /// Whether an owner of this visibility is seen as such, and not only some of its packages.
    pub(super) fn sees(&self, owner: OwnerId, visibility: Visibility) -> bool {
        visibility.number() <= self.widest || owner == self.user || self.member_of.contains(&owner)
    }

    /// Whether all packages of an owner are seen, whatever their visibility is.
    pub(super) fn sees_all_of(&self, owner: OwnerId) -> bool {
        self.widest >= Visibility::Private.number() || owner == self.user || self.orgs.contains(&owner)
    }

    /// The patterns of an owner's packages that are seen by their names.
    pub(super) fn shared_by(&self, owner: OwnerId) -> Vec<String> {
        self.shares.iter().filter(|(id, _)| *id == owner).map(|(_, like)| like.clone()).collect()
    }

    /// The owners with packages that the user sees through patterns of names, and the user's organizations.
    pub(super) fn known(&self) -> Vec<OwnerId> {
        self.member_of.iter().copied().chain(self.shares.iter().map(|(id, _)| *id)).collect()
    }
}
