//! The packages that a caller sees: their own visibility, or else their owner's, and what the caller reaches by name.

use super::visibility::Visited;
use crate::domain::ids::OwnerId;
use crate::domain::role::Visibility;
use crate::registry::caller::{Caller, TokenLimits};
use crate::registry::reach::VisibilityLimit;
use crate::registry::sql_expression::sql_expression;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, SmallInt, Text};

/// The condition of [`package_readable`].
#[derive(Debug, Clone, QueryId)]
pub struct PackageReadable {
    widest: i16,
    user: OwnerId,
    orgs: Vec<OwnerId>,
    sharing: Vec<OwnerId>,
    patterns: Vec<String>,
}

/// Whether the package of the query's row, whose owner is in the row too, may be read with this scope: its effective
/// visibility is wide enough, or it is the user's, or their organization's, or the user reaches it by its name. Every
/// query that finds, lists, counts or searches packages of several owners filters by this one expression. It compares
/// the row with values and reads no table, so that a hidden package takes no longer than an absent one.
pub fn package_readable(scope: VisibilityLimit) -> PackageReadable {
    let (sharing, patterns) = scope.shares.into_iter().unzip();
    PackageReadable { widest: scope.widest, user: scope.user, orgs: scope.orgs, sharing, patterns }
}

sql_expression!(PackageReadable: Bool);

/// The text of the condition, between its values: `widest`, `user`, `orgs`, `sharing` twice, and `patterns`.
const READABLE: [&str; 7] = [
    "(coalesce(packages.visibility, owners.visibility) <= ",
    " OR owners.id = ",
    " OR owners.id = ANY (",
    ") OR (owners.id = ANY (",
    ") AND EXISTS (SELECT FROM unnest(",
    ", ",
    ") AS shared (owner_id, pattern) WHERE shared.owner_id = owners.id AND packages.lower_name LIKE shared.pattern)))",
];

impl QueryFragment<Pg> for PackageReadable {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let [visible, own, of_orgs, shared, by_pattern, comma, end] = READABLE;
        out.push_sql(visible);
        out.push_bind_param::<SmallInt, _>(&self.widest)?;
        out.push_sql(own);
        out.push_bind_param::<BigInt, _>(&self.user)?;
        out.push_sql(of_orgs);
        out.push_bind_param::<Array<BigInt>, _>(&self.orgs)?;
        out.push_sql(shared);
        out.push_bind_param::<Array<BigInt>, _>(&self.sharing)?;
        out.push_sql(by_pattern);
        out.push_bind_param::<Array<BigInt>, _>(&self.sharing)?;
        out.push_sql(comma);
        out.push_bind_param::<Array<Text>, _>(&self.patterns)?;
        out.push_sql(end);
        Ok(())
    }
}

impl PackageReadable {
    /// The condition as SQL text with these placeholders, in a query with rows of `packages` and `owners`.
    pub fn sql([widest, user, orgs, sharing, patterns]: [usize; 5]) -> String {
        let [visible, own, of_orgs, shared, by_pattern, comma, end] = READABLE;
        format!(
            "{visible}${widest}{own}${user}{of_orgs}${orgs}{shared}${sharing}{by_pattern}${sharing}{comma}${patterns}{end}"
        )
    }

    /// The values of [`Self::sql`].
    pub fn values(self) -> (i16, OwnerId, Vec<OwnerId>, Vec<OwnerId>, Vec<String>) {
        (self.widest, self.user, self.orgs, self.sharing, self.patterns)
    }
}

/// The packages of one owner that a caller may see: [`package_readable`] with the owner's values filled in. It is a
/// condition for queries with a row of `packages`.
#[derive(Debug, Clone, QueryId)]
pub struct OwnerPackages {
    /// Whether these are all packages of the owner, so that the condition can be left out.
    all: bool,
    /// The visibility of the packages without one of their own.
    inherited: i16,
    widest: i16,
    patterns: Vec<String>,
}

impl OwnerPackages {
    /// The packages of an owner that are in this scope.
    pub(super) fn of(owner: &Visited, scope: &VisibilityLimit) -> Self {
        let all_seen = owner.visibility.number().max(owner.narrowest_package) <= scope.widest;
        Self {
            all: all_seen || scope.sees_all_of(owner.id),
            inherited: owner.visibility.number(),
            widest: scope.widest,
            patterns: scope.shared_by(owner.id),
        }
    }

    /// Whether these are all packages of the owner: then the condition is always true.
    pub fn are_all(&self) -> bool {
        self.all
    }

    /// The condition as SQL text with these placeholders, in a query with a row of `packages`. Its values are `all`,
    /// `inherited`, `widest` and `patterns`, as [`Self::values`] gives them.
    pub fn sql([all, inherited, widest, patterns]: [usize; 4]) -> String {
        format!(
            "(${all} OR coalesce(packages.visibility, ${inherited}) <= ${widest} OR packages.lower_name LIKE ANY (${patterns}))"
        )
    }

    /// The values of [`Self::sql`].
    pub fn values(&self) -> (bool, i16, i16, Vec<String>) {
        (self.all, self.inherited, self.widest, self.patterns.clone())
    }
}

sql_expression!(OwnerPackages: Bool);

impl QueryFragment<Pg> for OwnerPackages {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Bool, _>(&self.all)?;
        out.push_sql(" OR coalesce(packages.visibility, ");
        out.push_bind_param::<SmallInt, _>(&self.inherited)?;
        out.push_sql(") <= ");
        out.push_bind_param::<SmallInt, _>(&self.widest)?;
        out.push_sql(" OR packages.lower_name LIKE ANY (");
        out.push_bind_param::<Array<Text>, _>(&self.patterns)?;
        out.push_sql("))");
        Ok(())
    }
}

/// The packages of an owner that a caller's lists contain: what the user sees, within the token's limit to what is
/// public.
pub(super) fn listed(owner: &Visited, caller: &Caller) -> OwnerPackages {
    OwnerPackages::of(owner, &listable(caller))
}

/// What a caller's lists and searches contain, before a token's limits to some owners and packages.
pub fn listable(caller: &Caller) -> VisibilityLimit {
    let limits: TokenLimits = caller.limits();
    if limits.public_only() { VisibilityLimit::of_guest() } else { caller.visibility_limit() }
}

/// The visibility of a package: its own, or else its owner's.
pub fn effective(own: Option<Visibility>, owner: Visibility) -> Visibility {
    own.unwrap_or(owner)
}
