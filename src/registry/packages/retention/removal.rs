//! Moving away versions that expired or that the rules of their owner delete. Each goes in a transaction of its own,
//! which decides again with the package locked: nothing that was held, published, downloaded, moved or changed since is
//! taken by surprise.

use super::decide::Judge;
use super::verdict::{Condition, Moment};
use super::{facts, rules};
use crate::db::schema::{owners, packages, retention_rules, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, RetentionRuleId, VersionId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::retention::{RetentionRule, RuleName};
use crate::domain::trash::TrashReason;
use crate::domain::version::Version;
use crate::error::Result;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::packages::trash::{self, Deletion, Discarded};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A version that was due when somebody looked.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub owner: OwnerId,
    pub package: PackageId,
    pub version: VersionId,
    rules: Arc<KnownRules>,
    /// The other versions that the decision rests on.
    witnesses: Vec<VersionId>,
}

/// A version that was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub owner: OwnerName,
    pub package: PackageName,
    pub version: Version,
    pub bytes: i64,
    /// The rule; `None` for a version that expired.
    pub rule: Option<RuleName>,
    /// Why, as the end of a sentence about the version.
    pub reason: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{} {}", self.owner, self.package, self.version, self.reason)?;
        self.rule.as_ref().map_or(Ok(()), |rule| write!(f, " (rule {rule})"))
    }
}

/// Why a version is moved away.
enum Cause {
    Expired(Timestamp),
    Rule { name: RuleName, conditions: Vec<Condition>, reason: String },
}

/// A version that nobody else can change until the end of the transaction.
struct Locked {
    owner: (OwnerId, OwnerName),
    package: (PackageId, PackageName),
    id: VersionId,
    version: Version,
    is_held: bool,
    expires_at: Option<Timestamp>,
}

/// The owners that have an enabled rule that deletes something.
///
/// # Errors
/// Database errors.
pub fn owners_with_rules(conn: &mut PgConnection) -> Result<Vec<(OwnerId, OwnerName)>> {
    let enabled = retention_rules::table.filter(retention_rules::is_enabled).select(retention_rules::owner_id);
    let rows = owners::table.filter(owners::id.eq_any(enabled)).order(owners::lower_name);
    Ok(rows.select((owners::id, owners::name)).load(conn)?)
}

/// The owner of this name, for the command line.
///
/// # Errors
/// Database errors.
pub fn owner_named(conn: &mut PgConnection, name: &OwnerName) -> Result<Option<(OwnerId, OwnerName)>> {
    let row = owners::table.filter(owners::lower_name.eq(name.lower())).select((owners::id, owners::name));
    Ok(row.first(conn).optional()?)
}

/// The versions that the rules of an owner delete now.
///
/// # Errors
/// Database errors.
pub fn candidates(conn: &mut PgConnection, owner: OwnerId, now: Timestamp) -> Result<Vec<Candidate>> {
    let known = Arc::new(KnownRules::read(conn, owner)?);
    let rules = &known.rules[..];
    if !rules.iter().any(RetentionRule::deletes) {
        return Ok(Vec::new());
    }
    let moment = Moment { now, recorded_since: facts::recorded_since(conn, now)? };
    let versions = facts::of_owner(conn, owner)?;
    let judge = Judge::new(rules, &versions, moment);
    let due = versions.iter().enumerate().filter(|(at, _)| judge.decide(*at).deletes);
    Ok(due
        .map(|(at, facts)| Candidate {
            owner,
            package: facts.package_id,
            version: facts.id,
            rules: Arc::clone(&known),
            witnesses: judge.witnesses(at),
        })
        .collect())
}

/// Moves a version away if the rules still say so, now that nobody can change it. It can be restored for as long as
/// `keep`.
///
/// # Errors
/// Database errors.
pub fn remove(
    conn: &mut PgConnection,
    candidate: &Candidate,
    keep: Duration,
    now: Timestamp,
) -> Result<Option<Removed>> {
    let Some(locked) = lock(conn, candidate.package, candidate.version)? else { return Ok(None) };
    let known = KnownRules::renewed(&candidate.rules, conn, candidate.owner)?;
    let rules = &known.rules[..];
    let moment = Moment { now, recorded_since: facts::recorded_since(conn, now)? };
    let mut ids = candidate.witnesses.clone();
    ids.push(candidate.version);
    let versions = facts::of_versions(conn, candidate.owner, &ids)?;
    let Some(at) = versions.iter().position(|facts| facts.id == candidate.version) else { return Ok(None) };
    let decision = Judge::new(rules, &versions, moment).decide(at);
    let Some(rule) = decision.rule.and_then(|at| rules.get(at)).filter(|_| decision.deletes) else { return Ok(None) };
    let cause = Cause::Rule { name: rule.name.clone(), conditions: decision.conditions, reason: decision.reason };
    discard(conn, locked, cause, keep, now).map(Some)
}

/// Some versions that have expired, the first ones first. Those on hold stay.
///
/// # Errors
/// Database errors.
pub fn expired(
    conn: &mut PgConnection,
    only: Option<OwnerId>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(PackageId, VersionId)>> {
    let due = versions::table.filter(versions::expires_at.le(now)).filter(versions::held_at.is_null());
    let due = due.select((versions::package_id, versions::id)).order((versions::expires_at, versions::id)).into_boxed();
    let due = match only {
        Some(owner) => due.filter(versions::owner_id.eq(owner)),
        None => due,
    };
    Ok(due.limit(limit).load(conn)?)
}

/// A version that has expired: its owner, package, name, and when it expired.
pub type Expired = (OwnerName, PackageName, Version, Timestamp);

/// All versions that have expired, with their names, for the command line.
///
/// # Errors
/// Database errors.
pub fn due(conn: &mut PgConnection, only: Option<OwnerId>, now: Timestamp) -> Result<Vec<Expired>> {
    let due = versions::table
        .inner_join(packages::table.inner_join(owners::table))
        .filter(versions::expires_at.le(now))
        .filter(versions::held_at.is_null())
        .select((owners::name, packages::name, versions::version, versions::expires_at.assume_not_null()))
        .order((versions::expires_at, versions::id))
        .into_boxed();
    let due = match only {
        Some(owner) => due.filter(versions::owner_id.eq(owner)),
        None => due,
    };
    Ok(due.load(conn)?)
}

/// Moves a version away if it has still expired, now that nobody can change it. It can be restored for as long as `keep`.
///
/// # Errors
/// Database errors.
pub fn remove_expired(
    conn: &mut PgConnection,
    (package, version): (PackageId, VersionId),
    keep: Duration,
    now: Timestamp,
) -> Result<Option<Removed>> {
    let Some(locked) = lock(conn, package, version)? else { return Ok(None) };
    let due = locked.expires_at.filter(|at| *at <= now && !locked.is_held);
    due.map(|at| discard(conn, locked, Cause::Expired(at), keep, now)).transpose()
}

/// The enabled rules of an owner. Their regular expressions take long to compile, so they are read again only if a rule
/// has changed.
#[derive(Debug)]
struct KnownRules {
    /// Each row's id and the transaction that wrote it.
    written: Vec<(RetentionRuleId, String)>,
    rules: Vec<RetentionRule>,
}

impl KnownRules {
    fn read(conn: &mut PgConnection, owner: OwnerId) -> Result<Self> {
        // In this order: a rule that changes in between is read again the next time.
        let written = Self::written(conn, owner)?;
        let all = rules::of_owner(conn, owner)?.into_iter().map(|stored| stored.rule);
        Ok(Self { written, rules: all.filter(|rule| rule.enabled).collect() })
    }

    fn renewed(this: &Arc<Self>, conn: &mut PgConnection, owner: OwnerId) -> Result<Arc<Self>> {
        let is_same = this.written == Self::written(conn, owner)?;
        if is_same { Ok(Arc::clone(this)) } else { Self::read(conn, owner).map(Arc::new) }
    }

    fn written(conn: &mut PgConnection, owner: OwnerId) -> Result<Vec<(RetentionRuleId, String)>> {
        let rows = retention_rules::table.filter(retention_rules::owner_id.eq(owner)).order(retention_rules::id);
        Ok(rows.select((retention_rules::id, sql::<Text>("xmin::text"))).load(conn)?)
    }
}

/// Locks a package and a version of it, in the order in which everybody does; `None` if one of them is gone.
fn lock(conn: &mut PgConnection, package: PackageId, version: VersionId) -> Result<Option<Locked>> {
    let row: Option<(OwnerId, PackageName)> = packages::table
        .find(package)
        .select((packages::owner_id, packages::name))
        .for_update()
        .first(conn)
        .optional()?;
    let Some((owner, name)) = row else { return Ok(None) };
    type VersionRow = (Version, Option<Timestamp>, Option<Timestamp>);
    let row: Option<VersionRow> = versions::table
        .find(version)
        .filter(versions::package_id.eq(package))
        .select((versions::version, versions::held_at, versions::expires_at))
        .for_update()
        .first(conn)
        .optional()?;
    let Some((text, held_at, expires_at)) = row else { return Ok(None) };
    let owner_name = owners::table.find(owner).select(owners::name).first(conn)?;
    Ok(Some(Locked {
        owner: (owner, owner_name),
        package: (package, name),
        id: version,
        version: text,
        is_held: held_at.is_some(),
        expires_at,
    }))
}

/// Moves a locked version to the trash, as its deletion by a person does, with the cause in the audit log.
fn discard(conn: &mut PgConnection, locked: Locked, cause: Cause, keep: Duration, now: Timestamp) -> Result<Removed> {
    let caller = Caller::system();
    let Locked { owner: (owner, owner_name), package: (package, package_name), id, version, .. } = locked;
    let deletion = Deletion::new(keep, now);
    let kept_until = deletion.keep_until();
    let (deletion, rule, reason, detail) = match cause {
        Cause::Expired(at) => {
            let detail = json!({"cause": "expiry", "expired_at": at, "kept_until": kept_until});
            (deletion.because(TrashReason::Expired, ""), None, format!("expired at {at}"), detail)
        }
        Cause::Rule { name, conditions, reason } => {
            let words: Vec<&str> = conditions.into_iter().map(Condition::as_str).collect();
            let detail = json!({
                "cause": "retention", "rule": name, "conditions": words, "reason": reason, "kept_until": kept_until,
            });
            (deletion.because(TrashReason::Retention, name.as_str()), Some(name), reason, detail)
        }
    };
    let discarded = Discarded::Version(id);
    let bytes = trash::discard(conn, &caller, ((owner, &owner_name), package), discarded, &deletion)?.bytes;
    let mut detail = detail;
    if let Some(detail) = detail.as_object_mut() {
        detail.insert("bytes".to_owned(), json!(bytes));
    }
    let text = format!("{package_name}/{version}");
    let subject = Subject { owner: Some((owner, &owner_name)), text, detail };
    audit::record(conn, &caller, Event::VersionDelete, &subject, now)?;
    Ok(Removed { owner: owner_name, package: package_name, version, bytes, rule, reason })
}
