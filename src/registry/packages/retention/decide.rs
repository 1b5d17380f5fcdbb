//! The decision of an owner's rules about each version, from facts alone. A version goes when an enabled rule is about
//! it, all of that rule's `delete_` conditions hold, and nothing protects it.

use super::facts::VersionFacts;
use super::verdict::{Condition, Decision, Moment};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{PackageId, VersionId};
use crate::domain::retention::{Days, KeepPer, RetentionRule};
use crate::domain::version::{self, SemverOrder};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A draft stays this long, so that no rule takes it from under its publisher.
const YOUNG_DRAFT: Duration = Duration::from_secs(86_400);

/// The versions that `keep_last` counts together.
type Group = Option<Vec<String>>;

/// What the decision about one version needs to know of the others of its package.
#[derive(Default)]
struct PackageContext {
    /// Which rules are about the package, by their place.
    rules: Vec<usize>,
    latest_stable: Option<usize>,
    /// The highest stable version by SemVer alone.
    highest_stable: Option<(SemverOrder, usize)>,
    /// What `keep_last` keeps, by rule and group.
    last: HashMap<(usize, Group), Vec<usize>>,
}

/// Decides about versions by rules. All versions that may influence each other are given at once.
pub struct Judge<'a> {
    rules: &'a [RetentionRule],
    versions: &'a [VersionFacts],
    moment: Moment,
    packages: HashMap<PackageId, PackageContext>,
    /// By version, the rules that are about it.
    about: Vec<Vec<usize>>,
    /// What `keep_last` keeps, by rule and version.
    kept_last: HashSet<(usize, usize)>,
}

impl<'a> Judge<'a> {
    pub fn new(rules: &'a [RetentionRule], versions: &'a [VersionFacts], moment: Moment) -> Self {
        let mut judge = Self {
            rules,
            versions,
            moment,
            packages: HashMap::new(),
            about: Vec::with_capacity(versions.len()),
            kept_last: HashSet::new(),
        };
        let mut members: HashMap<PackageId, Vec<usize>> = HashMap::new();
        for (at, facts) in versions.iter().enumerate() {
            members.entry(facts.package_id).or_default().push(at);
            let context = judge.packages.entry(facts.package_id).or_insert_with(|| PackageContext {
                rules: (0..rules.len())
                    .filter(|rule| rules.get(*rule).is_some_and(|rule| is_about(rule, facts)))
                    .collect(),
                ..PackageContext::default()
            });
            let lower = facts.version.lower();
            let fits = |rule: &&usize| rules.get(**rule).is_some_and(|rule| fits(rule, facts, &lower));
            judge.about.push(context.rules.iter().filter(fits).copied().collect());
        }
        for (package, members) in members {
            judge.compare(package, members);
        }
        judge
    }

    /// Compares the versions of a package with each other.
    fn compare(&mut self, package: PackageId, mut members: Vec<usize>) {
        let Some(context) = self.packages.get_mut(&package) else { return };
        let versions = self.versions;
        let stable = members.iter().filter_map(|at| Some((*at, versions.get(*at)?))).filter(|(_, it)| it.is_stable());
        let stable: Vec<(usize, &VersionFacts)> = stable.collect();
        let latest = version::latest(&stable, |(_, facts)| facts.ranked());
        context.latest_stable = latest.map(|(at, _)| *at);
        let orders = stable.iter().filter_map(|(at, facts)| Some((facts.version.semver_order()?, *at)));
        context.highest_stable = orders.max();
        let counts = |rule: &usize| self.rules.get(*rule).is_some_and(|rule| rule.enabled && rule.keep_last.is_some());
        let counting: Vec<usize> = context.rules.iter().copied().filter(counts).collect();
        if counting.is_empty() {
            return;
        }
        members.retain(|at| versions.get(*at).is_some_and(|facts| !facts.is_draft()));
        let mut sorted: Vec<(usize, &VersionFacts)> =
            members.iter().filter_map(|at| Some((*at, versions.get(*at)?))).collect();
        version::sort_by_number(&mut sorted, |(_, facts)| facts.ranked());
        for rule in counting {
            let Some(wanted) = self.rules.get(rule) else { continue };
            let most = wanted.keep_last.and_then(|keep| usize::try_from(keep.number()).ok()).unwrap_or(0);
            for (at, facts) in &sorted {
                if !self.about.get(*at).is_some_and(|about| about.contains(&rule)) {
                    continue;
                }
                let last = context.last.entry((rule, group(facts, wanted.keep_last_per))).or_default();
                if last.len() < most {
                    last.push(*at);
                    self.kept_last.insert((rule, *at));
                }
            }
        }
    }

    /// Decides about a version, by its place among those given.
    pub fn decide(&self, at: usize) -> Decision {
        let (Some(facts), Some(about)) = (self.versions.get(at), self.about.get(at)) else {
            return Decision::keep(None, Condition::NoRule, "is unknown");
        };
        let enabled = about.iter().filter_map(|at| Some((*at, self.rules.get(*at)?))).filter(|(_, rule)| rule.enabled);
        let mut why_not = None;
        let mut deletion = None;
        for (place, rule) in enabled.clone().filter(|(_, rule)| rule.deletes()) {
            match self.conditions(rule, facts) {
                Ok(held) => {
                    deletion = Some((place, held));
                    break;
                }
                Err((condition, reason)) if why_not.is_none() => why_not = Some((place, condition, reason)),
                Err(_) => {}
            }
        }
        let Some((place, held)) = deletion else {
            return match why_not {
                Some((place, condition, reason)) => Decision::keep(Some(place), condition, reason),
                None => Decision::keep(None, Condition::NoRule, "matches no rule that deletes"),
            };
        };
        if let Some(decision) = self.always(at, facts) {
            return decision;
        }
        for (place, rule) in enabled {
            if let Some((condition, reason)) = self.protection(place, rule, at, facts) {
                return Decision::keep(Some(place), condition, reason);
            }
        }
        let (conditions, reasons): (Vec<Condition>, Vec<String>) = held.into_iter().unzip();
        Decision { deletes: true, rule: Some(place), conditions, reason: reasons.join(", ") }
    }

    /// The versions that the decision to delete a version rests on: if they and the version are as they were, the
    /// decision about these few is the same. If some are gone, the rest deletes no more than all of them would.
    pub fn witnesses(&self, at: usize) -> Vec<VersionId> {
        let Some((facts, about)) = self.versions.get(at).zip(self.about.get(at)) else { return Vec::new() };
        let Some(context) = self.packages.get(&facts.package_id) else { return Vec::new() };
        let mut all: Vec<usize> = context.latest_stable.into_iter().collect();
        all.extend(context.highest_stable.as_ref().map(|(_, at)| *at));
        for rule in about {
            let Some(wanted) = self.rules.get(*rule) else { continue };
            all.extend(context.last.get(&(*rule, group(facts, wanted.keep_last_per))).into_iter().flatten());
        }
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter_map(|at| self.versions.get(at)).map(|facts| facts.id).collect()
    }

    /// What always stays.
    fn always(&self, at: usize, facts: &VersionFacts) -> Option<Decision> {
        let is_latest = self.packages.get(&facts.package_id).is_some_and(|context| context.latest_stable == Some(at));
        let (condition, reason) = if facts.is_held {
            (Condition::Hold, "is on hold".to_owned())
        } else if let Some(channel) = &facts.channel {
            (Condition::Channel, format!("is the version of the channel {channel}"))
        } else if facts.is_draft() && self.moment.now.since(facts.created_at) < YOUNG_DRAFT {
            (Condition::YoungDraft, "is a draft younger than a day".to_owned())
        } else if is_latest {
            (Condition::LatestStable, "is the latest stable version".to_owned())
        } else {
            return None;
        };
        Some(Decision::keep(None, condition, reason))
    }

    /// The `delete_` conditions of a rule, which all hold, or the first that does not.
    fn conditions(
        &self,
        rule: &RetentionRule,
        facts: &VersionFacts,
    ) -> Result<Vec<(Condition, String)>, (Condition, String)> {
        let mut held = Vec::new();
        let mut demand = |condition: Condition, holds: bool, yes: String, no: String| {
            if !holds {
                return Err((condition, no));
            }
            held.push((condition, yes));
            Ok(())
        };
        let now = self.moment.now;
        if let Some(days) = rule.delete_older_than_days {
            let (yes, no) =
                (format!("is older than {}", in_words(days)), format!("is not older than {}", in_words(days)));
            demand(Condition::OlderThan, has_passed(days, facts.since(), now), yes, no)?;
        }
        if let Some(days) = rule.delete_not_downloaded_for_days {
            let last = facts.last_downloaded_at.unwrap_or_else(|| facts.since().max(self.moment.recorded_since));
            let no = match facts.last_downloaded_at {
                Some(_) => format!("was downloaded within {}", in_words(days)),
                None if has_passed(days, facts.since(), now) => {
                    format!(
                        "may have been downloaded within {}: no downloads were recorded before {}",
                        in_words(days),
                        last
                    )
                }
                None => format!("is younger than {}", in_words(days)),
            };
            let yes = format!("was not downloaded for {}", in_words(days));
            demand(Condition::NotDownloaded, has_passed(days, last, now), yes, no)?;
        }
        if rule.delete_superseded_prereleases {
            let highest = self.packages.get(&facts.package_id).and_then(|context| context.highest_stable.as_ref());
            let superseded = facts.is_prerelease()
                && facts.version.semver_order().zip(highest).is_some_and(|(own, (highest, _))| own < *highest);
            let by = highest.and_then(|(_, at)| self.versions.get(*at)).map(|facts| facts.version.to_string());
            let yes = format!("is a pre-release superseded by {}", by.unwrap_or_default());
            demand(Condition::Superseded, superseded, yes, "is not a superseded pre-release".to_owned())?;
        }
        if let Some(regex) = &rule.delete_pattern {
            let (yes, no) = (format!("matches {}", regex.as_str()), format!("does not match {}", regex.as_str()));
            demand(Condition::DeletePattern, regex.matches(&full_name(rule, facts)), yes, no)?;
        }
        Ok(held)
    }

    /// The `keep_` condition of a rule that protects a version, if one does.
    fn protection(
        &self,
        place: usize,
        rule: &RetentionRule,
        at: usize,
        facts: &VersionFacts,
    ) -> Option<(Condition, String)> {
        if self.kept_last.contains(&(place, at)) {
            let most = rule.keep_last.map_or(0, |keep| keep.number());
            let of = match rule.keep_last_per {
                KeepPer::Package => "package",
                KeepPer::Major => "major version",
                KeepPer::Minor => "minor version",
            };
            return Some((Condition::KeepLast, format!("is among the last {most} of its {of}")));
        }
        let lower = facts.version.lower();
        if let Some(pattern) = rule.keep_versions.iter().find(|pattern| pattern.matches(&lower)) {
            return Some((Condition::KeepVersions, format!("matches {pattern}")));
        }
        if let Some(regex) = rule.keep_pattern.as_ref().filter(|regex| regex.matches(&full_name(rule, facts))) {
            return Some((Condition::KeepPattern, format!("matches {}", regex.as_str())));
        }
        let days = rule.keep_if_downloaded_within_days?;
        // Of downloads before the recording began, only the number is known.
        let unrecorded = (facts.downloads > 0).then_some(self.moment.recorded_since);
        let last = facts.last_downloaded_at.or(unrecorded)?;
        let reason = format!("was downloaded within {}", in_words(days));
        (!has_passed(days, last, self.moment.now)).then_some((Condition::KeepIfDownloaded, reason))
    }
}

/// Whether a rule is about a package at all.
fn is_about(rule: &RetentionRule, facts: &VersionFacts) -> bool {
    let lower = facts.package.lower();
    rule.packages.is_empty() || rule.packages.iter().any(|pattern| pattern.matches(&lower))
}

/// Whether a rule that is about the package is about a version of it.
fn fits(rule: &RetentionRule, facts: &VersionFacts, lower: &str) -> bool {
    let named = rule.versions.is_empty() || rule.versions.iter().any(|pattern| pattern.matches(lower));
    named && rule.labels.iter().all(|(label, value)| facts.labels.get(label).and_then(Value::as_str) == Some(value))
}

/// The name that a rule's regular expressions are compared with.
fn full_name(rule: &RetentionRule, facts: &VersionFacts) -> String {
    match rule.match_full_name {
        true => format!("{}/{}", facts.package.lower(), facts.version.lower()),
        false => facts.version.lower(),
    }
}

/// The versions that `keep_last` counts together: those with the same first numbers, and all that don't read as
/// numbers.
fn group(facts: &VersionFacts, per: KeepPer) -> Group {
    match per {
        KeepPer::Package => None,
        KeepPer::Major => facts.version.first_numbers(1),
        KeepPer::Minor => facts.version.first_numbers(2),
    }
}

/// Whether this many days have passed since a time. None have since a time that is yet to come, as of a clock that was
/// ahead.
fn has_passed(days: Days, since: Timestamp, now: Timestamp) -> bool {
    now.since(since) >= Duration::from_secs(days.seconds())
}

fn in_words(days: Days) -> String {
    match days.number() {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retention::Keep;
    use crate::domain::version_state::VersionState;
    use serde_json::json;

    const DAY: u64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_unix(1_800_000_000)
    }

    fn days_ago(days: u64) -> Timestamp {
        now().minus(Duration::from_secs(days * DAY))
    }

    fn rule(edit: impl FnOnce(&mut RetentionRule)) -> RetentionRule {
        let mut rule = RetentionRule {
            name: "rule".parse().unwrap(),
            enabled: true,
            packages: Vec::new(),
            versions: Vec::new(),
            labels: Default::default(),
            match_full_name: false,
            delete_pattern: None,
            delete_older_than_days: Some(Days::try_from(14).unwrap()),
            delete_not_downloaded_for_days: None,
            delete_superseded_prereleases: false,
            keep_last: None,
            keep_last_per: KeepPer::Package,
            keep_versions: Vec::new(),
            keep_pattern: None,
            keep_if_downloaded_within_days: None,
        };
        edit(&mut rule);
        rule
    }

    /// Versions of one package, each older by a day than the one before it.
    fn versions(names: &str) -> Vec<VersionFacts> {
        let facts = |(at, name): (u32, &str)| VersionFacts {
            id: VersionId(1000 - i64::from(at)),
            package_id: PackageId(1),
            package: "tool".parse().unwrap(),
            version: name.parse().unwrap(),
            created_at: days_ago(20 + u64::from(at)),
            published_at: None,
            state: VersionState::Published,
            is_prerelease: None,
            is_yanked: false,
            is_held: false,
            labels: json!({}),
            last_downloaded_at: None,
            downloads: 0,
            bytes: 1,
            channel: None,
        };
        (0..).zip(names.split(' ')).map(facts).collect()
    }

    fn decided(rules: &[RetentionRule], versions: &[VersionFacts]) -> Vec<(bool, Condition)> {
        let judge = Judge::new(rules, versions, Moment { now: now(), recorded_since: days_ago(100) });
        (0..versions.len()).map(|at| judge.decide(at)).map(|it| (it.deletes, it.conditions[0])).collect()
    }

    #[test]
    fn downloads_from_before_the_recording_are_not_taken_for_never() {
        let rules = [rule(|rule| rule.delete_not_downloaded_for_days = Some(Days::try_from(30).unwrap()))];
        let facts: Vec<_> =
            versions("2.0 1.0").into_iter().map(|it| VersionFacts { created_at: days_ago(90), ..it }).collect();
        let at = |recorded_since| Judge::new(&rules, &facts, Moment { now: now(), recorded_since }).decide(1);
        assert!(at(days_ago(30)).deletes);
        let kept = at(days_ago(29));
        assert!(!kept.deletes && kept.reason.starts_with("may have been downloaded"), "{}", kept.reason);
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_delete_nothing() {
        let rules = [rule(|rule| rule.delete_older_than_days = Some(Days::try_from(1).unwrap()))];
        let ahead = now().plus(Duration::from_secs(10 * DAY));
        let mut facts = versions("2.0 1.0");
        facts[1].created_at = ahead;
        assert_eq!(decided(&rules, &facts)[1], (false, Condition::OlderThan));
    }

    #[test]
    fn a_decision_rests_on_the_version_and_its_witnesses_alone() {
        let names = "3.0.0-rc.2 3.0.0-rc.1 2.1.1 2.1.0 2.0.9 2.0.0-rc.1 1.9 1.8 1.7 nightly-2 nightly-1";
        let keep = |number| Keep::try_from(number).ok();
        let all = [
            rule(|rule| (rule.keep_last, rule.keep_last_per) = (keep(2), KeepPer::Major)),
            rule(|rule| (rule.keep_last, rule.keep_last_per) = (keep(1), KeepPer::Minor)),
            rule(|rule| rule.keep_last = keep(3)),
            rule(|rule| (rule.delete_superseded_prereleases, rule.delete_older_than_days) = (true, None)),
        ];
        let facts = versions(names);
        let moment = Moment { now: now(), recorded_since: days_ago(100) };
        let mut deletions = 0;
        for mask in 1_usize..16 {
            let chosen = all.iter().enumerate().filter(|(at, _)| mask & 1 << at != 0);
            let rules: Vec<RetentionRule> = chosen.map(|(_, rule)| rule.clone()).collect();
            let judge = Judge::new(&rules, &facts, moment);
            for at in 0..facts.len() {
                let whole = judge.decide(at);
                let needed = judge.witnesses(at);
                let part = |without: Option<VersionId>| {
                    let is_in =
                        |it: &&VersionFacts| it.id == facts[at].id || needed.contains(&it.id) && Some(it.id) != without;
                    let some: Vec<VersionFacts> = facts.iter().filter(is_in).cloned().collect();
                    let own = some.iter().position(|it| it.id == facts[at].id).unwrap();
                    Judge::new(&rules, &some, moment).decide(own)
                };
                if whole.deletes {
                    deletions += 1;
                    assert_eq!(part(None), whole, "{} by {mask}", facts[at].version);
                    for gone in &needed {
                        let less = part(Some(*gone));
                        assert!(!less.deletes || less.conditions == whole.conditions);
                    }
                }
            }
        }
        assert!(deletions > 40, "{deletions}");
    }
}
