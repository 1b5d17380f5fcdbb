//! The retention rules of an owner, in their order.

use crate::db::schema::retention_rules as table;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, RetentionRuleId};
use crate::domain::pattern::NamePattern;
use crate::domain::retention::{Days, Keep, KeepPer, NameRegex, RetentionRule, RuleName};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanSeeRetention, CanSetRetention};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::owners::namespace;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};
use serde_json::{Value, json};

/// The most rules of one owner.
pub const MOST: usize = 100;

/// A rule of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    pub id: RetentionRuleId,
    /// Its place in the owner's list, from 1.
    pub place: i32,
    pub rule: RetentionRule,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct RuleRow {
    id: RetentionRuleId,
    place: i32,
    name: RuleName,
    is_enabled: bool,
    packages: Vec<NamePattern>,
    versions: Vec<NamePattern>,
    labels: Value,
    match_full_name: bool,
    delete_pattern: Option<String>,
    keep_pattern: Option<String>,
    delete_older_than_days: Option<i32>,
    delete_not_downloaded_for_days: Option<i32>,
    delete_superseded_prereleases: bool,
    keep_last: Option<i32>,
    keep_last_per: KeepPer,
    keep_versions: Vec<NamePattern>,
    keep_if_downloaded_within_days: Option<i32>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl RuleRow {
    fn read(self) -> Result<StoredRule> {
        let regex = |text: Option<String>| text.map(|text| text.parse::<NameRegex>()).transpose();
        let days = |number: Option<i32>| number.map(|number| Days::try_from(i64::from(number))).transpose();
        let keep = self.keep_last.map(|number| Keep::try_from(i64::from(number))).transpose();
        let rule = RetentionRule {
            name: self.name,
            enabled: self.is_enabled,
            packages: self.packages,
            versions: self.versions,
            labels: serde_json::from_value(self.labels).map_err(Error::internal)?,
            match_full_name: self.match_full_name,
            delete_pattern: regex(self.delete_pattern).map_err(Error::internal)?,
            delete_older_than_days: days(self.delete_older_than_days).map_err(Error::internal)?,
            delete_not_downloaded_for_days: days(self.delete_not_downloaded_for_days).map_err(Error::internal)?,
            delete_superseded_prereleases: self.delete_superseded_prereleases,
            keep_last: keep.map_err(Error::internal)?,
            keep_last_per: self.keep_last_per,
            keep_versions: self.keep_versions,
            keep_pattern: regex(self.keep_pattern).map_err(Error::internal)?,
            keep_if_downloaded_within_days: days(self.keep_if_downloaded_within_days).map_err(Error::internal)?,
        };
        let (created_at, updated_at) = (self.created_at, self.updated_at);
        Ok(StoredRule { id: self.id, place: self.place, rule, created_at, updated_at })
    }
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = table, treat_none_as_null = true)]
struct RuleValues {
    name: String,
    lower_name: String,
    is_enabled: bool,
    packages: Vec<String>,
    versions: Vec<String>,
    labels: Value,
    match_full_name: bool,
    delete_pattern: Option<String>,
    keep_pattern: Option<String>,
    delete_older_than_days: Option<i32>,
    delete_not_downloaded_for_days: Option<i32>,
    delete_superseded_prereleases: bool,
    keep_last: Option<i32>,
    keep_last_per: KeepPer,
    keep_versions: Vec<String>,
    keep_if_downloaded_within_days: Option<i32>,
    updated_at: Timestamp,
}

impl RuleValues {
    fn of(rule: &RetentionRule, now: Timestamp) -> Self {
        let texts = |patterns: &[NamePattern]| patterns.iter().map(ToString::to_string).collect();
        let regex = |regex: &Option<NameRegex>| regex.as_ref().map(|regex| regex.as_str().to_owned());
        Self {
            name: rule.name.to_string(),
            lower_name: rule.name.lower(),
            is_enabled: rule.enabled,
            packages: texts(&rule.packages),
            versions: texts(&rule.versions),
            labels: json!(rule.labels),
            match_full_name: rule.match_full_name,
            delete_pattern: regex(&rule.delete_pattern),
            keep_pattern: regex(&rule.keep_pattern),
            delete_older_than_days: rule.delete_older_than_days.map(Days::number),
            delete_not_downloaded_for_days: rule.delete_not_downloaded_for_days.map(Days::number),
            delete_superseded_prereleases: rule.delete_superseded_prereleases,
            keep_last: rule.keep_last.map(Keep::number),
            keep_last_per: rule.keep_last_per,
            keep_versions: texts(&rule.keep_versions),
            keep_if_downloaded_within_days: rule.keep_if_downloaded_within_days.map(Days::number),
            updated_at: now,
        }
    }
}

/// The rules of an owner, in their order.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanSeeRetention) -> Result<Vec<StoredRule>> {
    of_owner(conn, right.owner().id)
}

/// [`list`] without a caller, for the job.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn of_owner(conn: &mut PgConnection, owner: OwnerId) -> Result<Vec<StoredRule>> {
    let rows: Vec<RuleRow> = table::table
        .filter(table::owner_id.eq(owner))
        .order((table::place, table::id))
        .select(RuleRow::as_select())
        .load(conn)?;
    rows.into_iter().map(RuleRow::read).collect()
}

/// A rule of an owner.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanSeeRetention, id: RetentionRuleId) -> Result<StoredRule> {
    let own = table::table.find(id).filter(table::owner_id.eq(right.owner().id));
    let row: Option<RuleRow> = own.select(RuleRow::as_select()).first(conn).optional()?;
    row.ok_or(Error::NotFound(What::RetentionRule))?.read()
}

fn check(rule: &RetentionRule) -> Result<()> {
    rule.problem().map_or(Ok(()), |(field, problem)| Err(Error::invalid(field, problem)))
}

/// Creates a rule at a place of the owner's list, or at its end.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when the owner has a rule of this name; [`Error::Blocked`] when it has the
/// most rules.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanSetRetention,
    (rule, place): (&RetentionRule, Option<i32>),
    now: Timestamp,
) -> Result<StoredRule> {
    check(rule)?;
    let owner = right.owner();
    // Two requests that change the order take turns.
    namespace::lock(conn, owner.id)?;
    let mut order = ids(conn, owner.id)?;
    if order.len() >= MOST {
        return Err(Error::Blocked(format!(
            "{} already has {MOST} retention rules, which is the limit: delete one first",
            owner.name
        )));
    }
    let end = i32::try_from(order.len()).unwrap_or(i32::MAX).saturating_add(1);
    let id: Option<RetentionRuleId> = diesel::insert_into(table::table)
        .values((
            table::owner_id.eq(owner.id),
            table::place.eq(end),
            table::created_at.eq(now),
            RuleValues::of(rule, now),
        ))
        .on_conflict((table::owner_id, table::lower_name))
        .do_nothing()
        .returning(table::id)
        .get_result(conn)
        .optional()?;
    let id = id.ok_or(Error::Conflict(What::RetentionRule))?;
    put_at(&mut order, id, place);
    renumber(conn, &order)?;
    record(conn, caller, (Event::RetentionCreate, right), &rule.name, json!({"rule": rule}), now)?;
    find(conn, &right.to_see(), id)
}

/// Replaces a rule, and moves it to a place of the owner's list if one is given.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when the owner has another rule of this name.
pub fn replace(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanSetRetention,
    (id, rule, place): (RetentionRuleId, &RetentionRule, Option<i32>),
    now: Timestamp,
) -> Result<StoredRule> {
    check(rule)?;
    let owner = right.owner();
    namespace::lock(conn, owner.id)?;
    let before = find(conn, &right.to_see(), id)?;
    let others = table::table
        .filter(table::owner_id.eq(owner.id))
        .filter(table::id.ne(id))
        .filter(table::lower_name.eq(rule.name.lower()));
    if diesel::select(diesel::dsl::exists(others)).get_result(conn)? {
        return Err(Error::Conflict(What::RetentionRule));
    }
    diesel::update(table::table.find(id)).set(RuleValues::of(rule, now)).execute(conn)?;
    if place.is_some() {
        let mut order = ids(conn, owner.id)?;
        put_at(&mut order, id, place);
        renumber(conn, &order)?;
    }
    let detail = json!({"before": before.rule, "rule": rule});
    record(conn, caller, (Event::RetentionUpdate, right), &rule.name, detail, now)?;
    find(conn, &right.to_see(), id)
}

/// Deletes a rule.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanSetRetention,
    id: RetentionRuleId,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    namespace::lock(conn, owner.id)?;
    let StoredRule { rule, .. } = find(conn, &right.to_see(), id)?;
    diesel::delete(table::table.find(id)).execute(conn)?;
    let order = ids(conn, owner.id)?;
    renumber(conn, &order)?;
    record(conn, caller, (Event::RetentionDelete, right), &rule.name, json!({"rule": rule}), now)
}

fn ids(conn: &mut PgConnection, owner: OwnerId) -> Result<Vec<RetentionRuleId>> {
    let own = table::table.filter(table::owner_id.eq(owner));
    Ok(own.order((table::place, table::id)).select(table::id).load(conn)?)
}

/// Puts a rule at a place of the order, from 1, or at its end.
fn put_at(order: &mut Vec<RetentionRuleId>, id: RetentionRuleId, place: Option<i32>) {
    order.retain(|other| *other != id);
    let place =
        place.and_then(|place| usize::try_from(place).ok()).map_or(order.len(), |place| place.saturating_sub(1));
    order.insert(place.min(order.len()), id);
}

/// Stores the order, as places from 1 without gaps.
fn renumber(conn: &mut PgConnection, order: &[RetentionRuleId]) -> Result<()> {
    diesel::sql_query(
        "UPDATE retention_rules SET place = o.place \
         FROM unnest($1) WITH ORDINALITY AS o (id, place) WHERE retention_rules.id = o.id",
    )
    .bind::<Array<BigInt>, _>(order)
    .execute(conn)?;
    Ok(())
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanSetRetention),
    name: &RuleName,
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: name.to_string(), detail };
    audit::record(conn, caller, event, &subject, now)
}
