//! What an owner's rules would do now: every version with the decision and its reason. The number of statements does not
//! depend on the number of versions.

use super::decide::Judge;
use super::facts::{self, VersionFacts};
use super::rules;
use super::verdict::{Decision, Moment};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::retention::{RetentionRule, RuleName};
use crate::domain::version;
use crate::error::{Error, Result};
use crate::registry::access::CanSeeRetention;
use crate::registry::packages::freed::{self, Given};
use diesel::prelude::*;

/// A version, with what would happen to it.
#[derive(Debug, Clone)]
pub struct PreviewLine {
    pub facts: VersionFacts,
    pub decision: Decision,
    /// The rule that decided.
    pub rule: Option<RuleName>,
}

/// What the rules would do.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// Every version, by package and then by number, the latest first.
    pub lines: Vec<PreviewLine>,
    pub kept: i64,
    pub deleted: i64,
    /// In all files of the versions that would be deleted; shared bytes count once per file.
    pub deleted_bytes: i64,
    /// The bytes that become free: no other version and nothing in the trash uses them.
    pub free_bytes: i64,
}

/// What these rules would do to an owner's versions, or else the rules that the owner has.
///
/// # Errors
/// [`Error::Invalid`] naming what is wrong with the given rules.
pub fn preview(
    conn: &mut PgConnection,
    right: &CanSeeRetention,
    given: Option<&[RetentionRule]>,
    now: Timestamp,
) -> Result<Preview> {
    for rule in given.unwrap_or_default() {
        if let Some((field, problem)) = rule.problem() {
            return Err(Error::invalid(
                "rules",
                format!("rules: the field {field} of {:?}: {problem}", rule.name.as_str()),
            ));
        }
    }
    if given.is_some_and(|rules| rules.len() > rules::MOST) {
        return Err(Error::invalid("rules", format!("rules: at most {} are possible", rules::MOST)));
    }
    let mut preview = of_owner(conn, right.owner().id, given, now)?;
    if !right.sees_drafts() {
        preview.leave_out_drafts();
    }
    Ok(preview)
}

impl Preview {
    /// They take part in the decisions all the same.
    fn leave_out_drafts(&mut self) {
        let drafts: Vec<PreviewLine> = self.lines.extract_if(.., |line| line.facts.is_draft()).collect();
        for line in drafts {
            if line.decision.deletes {
                self.deleted -= 1;
                self.deleted_bytes -= line.facts.bytes;
            } else {
                self.kept -= 1;
            }
        }
    }
}

/// [`preview`] without a caller, for the command line.
///
/// # Errors
/// Database errors.
pub fn of_owner(
    conn: &mut PgConnection,
    owner: OwnerId,
    given: Option<&[RetentionRule]>,
    now: Timestamp,
) -> Result<Preview> {
    let rules: Vec<RetentionRule> = match given {
        Some(rules) => rules.to_vec(),
        None => rules::of_owner(conn, owner)?.into_iter().map(|stored| stored.rule).collect(),
    };
    let moment = Moment { now, recorded_since: facts::recorded_since(conn, now)? };
    let versions = sorted(facts::of_owner(conn, owner)?);
    let judge = Judge::new(&rules, &versions, moment);
    let decisions: Vec<Decision> = (0..versions.len()).map(|at| judge.decide(at)).collect();
    let mut preview = Preview::default();
    let mut gone: Vec<VersionId> = Vec::new();
    for (facts, decision) in versions.into_iter().zip(decisions) {
        if decision.deletes {
            gone.push(facts.id);
            preview.deleted += 1;
            preview.deleted_bytes += facts.bytes;
        } else {
            preview.kept += 1;
        }
        let rule = decision.rule.and_then(|at| rules.get(at)).map(|rule| rule.name.clone());
        preview.lines.push(PreviewLine { facts, decision, rule });
    }
    preview.free_bytes = freed::bytes(conn, Given::Versions(&gone), Some(owner))?;
    Ok(preview)
}

/// By package, as they come, and in each by number.
fn sorted(versions: Vec<VersionFacts>) -> Vec<VersionFacts> {
    let mut packages: Vec<Vec<VersionFacts>> = Vec::new();
    for facts in versions {
        match packages.last_mut() {
            Some(package) if package.first().is_some_and(|first| first.package_id == facts.package_id) => {
                package.push(facts)
            }
            _ => packages.push(vec![facts]),
        }
    }
    for package in &mut packages {
        version::sort_by_number(package, VersionFacts::ranked);
    }
    packages.into_iter().flatten().collect()
}
