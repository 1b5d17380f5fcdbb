//! The form that creates or changes a retention rule. It has the fields of Gitea's cleanup rules, too.

use crate::domain::pattern::NamePattern;
use crate::domain::retention::{KeepPer, RetentionRule};
use crate::registry::packages::retention::rules::StoredRule;
use crate::web::problems::Problems;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// What `keep_last` can be counted for, with labels.
pub(super) const PERIODS: [(&str, &str); 3] =
    [("package", "of each package"), ("major", "of each major version"), ("minor", "of each minor version")];

/// The form as typed. Lists have one item per line.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct RuleForm {
    pub(super) name: String,
    pub(super) place: String,
    /// Browsers send unchecked boxes not at all.
    pub(super) enabled: Option<String>,
    pub(super) packages: String,
    pub(super) versions: String,
    pub(super) labels: String,
    pub(super) match_full_name: Option<String>,
    pub(super) delete_older_than_days: String,
    pub(super) delete_not_downloaded_for_days: String,
    pub(super) delete_superseded_prereleases: Option<String>,
    pub(super) delete_pattern: String,
    pub(super) keep_last: String,
    pub(super) keep_last_per: String,
    pub(super) keep_versions: String,
    pub(super) keep_pattern: String,
    pub(super) keep_if_downloaded_within_days: String,
    /// Present if the form was sent with the button that previews it.
    pub(super) preview: Option<String>,
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn patterns(field: &'static str, text: &str, problems: &mut Problems) -> Option<Vec<NamePattern>> {
    problems.take(field, lines(text).map(str::parse).collect::<Result<Vec<NamePattern>, _>>())
}

/// A field that can be empty: the outer `None` means that it is wrong.
fn optional<T: FromStr<Err: Display>>(field: &'static str, text: &str, problems: &mut Problems) -> Option<Option<T>> {
    match text.trim() {
        "" => Some(None),
        text => problems.take(field, text.parse()).map(Some),
    }
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let label = |line: &str| match line.split_once('=') {
        Some((label, value)) => Ok((label.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("{line} is not a label: write label=value, one per line")),
    };
    lines(text).map(label).collect()
}

impl RuleForm {
    pub(super) fn fresh() -> Self {
        Self { enabled: Some("on".to_owned()), keep_last_per: KeepPer::Package.to_string(), ..Self::default() }
    }

    pub(super) fn of(stored: &StoredRule) -> Self {
        let rule = &stored.rule;
        let joined = |patterns: &[NamePattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let on = |is: bool| is.then(|| "on".to_owned());
        let number = |number: Option<i32>| number.map_or_else(String::new, |number| number.to_string());
        let labels: Vec<String> = rule.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        Self {
            name: rule.name.to_string(),
            place: stored.place.to_string(),
            enabled: on(rule.enabled),
            packages: joined(&rule.packages),
            versions: joined(&rule.versions),
            labels: labels.join("\n"),
            match_full_name: on(rule.match_full_name),
            delete_older_than_days: number(rule.delete_older_than_days.map(|days| days.number())),
            delete_not_downloaded_for_days: number(rule.delete_not_downloaded_for_days.map(|days| days.number())),
            delete_superseded_prereleases: on(rule.delete_superseded_prereleases),
            delete_pattern: rule.delete_pattern.as_ref().map_or_else(String::new, |regex| regex.as_str().to_owned()),
            keep_last: number(rule.keep_last.map(|keep| keep.number())),
            keep_last_per: rule.keep_last_per.to_string(),
            keep_versions: joined(&rule.keep_versions),
            keep_pattern: rule.keep_pattern.as_ref().map_or_else(String::new, |regex| regex.as_str().to_owned()),
            keep_if_downloaded_within_days: number(rule.keep_if_downloaded_within_days.map(|days| days.number())),
            preview: None,
        }
    }

    /// The rule, and its place if one is given.
    pub(super) fn read(&self, problems: &mut Problems) -> Option<(RetentionRule, Option<i32>)> {
        let per = if self.keep_last_per.is_empty() { "package" } else { &self.keep_last_per };
        let place = optional("place", &self.place, problems);
        let name = problems.take("name", self.name.trim().parse());
        let (packages, versions) =
            (patterns("packages", &self.packages, problems), patterns("versions", &self.versions, problems));
        let labels = problems.take("labels", labels(&self.labels));
        let older = optional("delete_older_than_days", &self.delete_older_than_days, problems);
        let unused = optional("delete_not_downloaded_for_days", &self.delete_not_downloaded_for_days, problems);
        let delete_pattern = optional("delete_pattern", &self.delete_pattern, problems);
        let (last, per) =
            (optional("keep_last", &self.keep_last, problems), problems.take("keep_last_per", per.parse()));
        let keep_versions = patterns("keep_versions", &self.keep_versions, problems);
        let keep_pattern = optional("keep_pattern", &self.keep_pattern, problems);
        let used = optional("keep_if_downloaded_within_days", &self.keep_if_downloaded_within_days, problems);
        let rule = RetentionRule {
            name: name?,
            enabled: self.enabled.is_some(),
            packages: packages?,
            versions: versions?,
            labels: labels?,
            match_full_name: self.match_full_name.is_some(),
            delete_pattern: delete_pattern?,
            delete_older_than_days: older?,
            delete_not_downloaded_for_days: unused?,
            delete_superseded_prereleases: self.delete_superseded_prereleases.is_some(),
            keep_last: last?,
            keep_last_per: per?,
            keep_versions: keep_versions?,
            keep_pattern: keep_pattern?,
            keep_if_downloaded_within_days: used?,
        };
        if let Some((field, problem)) = rule.problem() {
            problems.add(field, &problem);
        }
        problems.is_empty().then_some((rule, place?))
    }
}
