//! Retention rules of a user or an organization: the list, creating, changing and deleting a rule. [`preview`] shows what
//! they would delete.

mod form;
pub mod preview;
mod rule_preview;

pub use form::RuleForm;

use super::forms::Protected;
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address::RetentionPages;
use crate::domain::ids::RetentionRuleId;
use crate::domain::names::OwnerName;
use crate::domain::retention::{KeepPer, RetentionRule};
use crate::domain::role::OwnerKind;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanSetRetention, can_set_retention};
use crate::registry::caller::Caller;
use crate::registry::packages::retention::rules::{self, StoredRule};
use askama::Template;
use form::PERIODS;
use rule_preview::RulePreview;

/// The organization whose rules the address is about; `None` for the signed-in user's own.
async fn org_of(call: &Call) -> Result<Option<OwnerName>> {
    let org = match call.has_part("org") {
        true => Some(call.part("org", What::Organization).await?),
        false => None,
    };
    org.iter().for_each(|org| call.about(org));
    Ok(org)
}

async fn rule_id(call: &Call) -> Result<RetentionRuleId> {
    Ok(RetentionRuleId(call.part("rule", What::RetentionRule).await?))
}

/// The right to change these rules, with the organization for the head of its pages.
fn right(conn: &mut Connection, caller: &Caller, org: Option<&OwnerName>) -> Result<(CanSetRetention, Option<Owner>)> {
    let Some(org) = org else {
        let name = caller.signed_in()?.name.clone();
        return Ok((can_set_retention(conn, caller, &name)?, None));
    };
    let right = can_set_retention(conn, caller, org)?;
    if right.owner().kind != OwnerKind::Organization {
        return Err(Error::NotFound(What::Organization));
    }
    let owner = Owner::of(conn, caller, right.owner())?;
    Ok((right, Some(owner)))
}

/// What a rule does, in words.
fn summary(rule: &RetentionRule) -> (Vec<String>, Vec<String>) {
    let days = |number: i32| if number == 1 { "1 day".to_owned() } else { format!("{number} days") };
    let deletes = [
        rule.delete_older_than_days.map(|it| format!("older than {}", days(it.number()))),
        rule.delete_not_downloaded_for_days.map(|it| format!("not downloaded for {}", days(it.number()))),
        rule.delete_superseded_prereleases.then(|| "superseded pre-releases".to_owned()),
        rule.delete_pattern.as_ref().map(|it| format!("matching {}", it.as_str())),
    ];
    let per = match rule.keep_last_per {
        KeepPer::Package => "package",
        KeepPer::Major => "major version",
        KeepPer::Minor => "minor version",
    };
    let patterns: Vec<String> = rule.keep_versions.iter().map(ToString::to_string).collect();
    let keeps = [
        rule.keep_last.map(|it| format!("the last {} of each {per}", it.number())),
        (!patterns.is_empty()).then(|| patterns.join(", ")),
        rule.keep_pattern.as_ref().map(|it| format!("matching {}", it.as_str())),
        rule.keep_if_downloaded_within_days.map(|it| format!("downloaded within {}", days(it.number()))),
    ];
    (deletes.into_iter().flatten().collect(), keeps.into_iter().flatten().collect())
}

/// What a rule is about, in words.
fn about(rule: &RetentionRule) -> String {
    let join = |patterns: &[crate::domain::pattern::NamePattern]| {
        patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let packages = if rule.packages.is_empty() { "all packages".to_owned() } else { join(&rule.packages) };
    let versions = if rule.versions.is_empty() { "all versions".to_owned() } else { join(&rule.versions) };
    let labels: Vec<String> = rule.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" with {}", labels.join(", ")) };
    format!("{packages}; {versions}{labels}")
}

#[derive(Template)]
#[template(path = "retention.html")]
struct ListPage {
    frame: Frame,
    owner: Option<Owner>,
    urls: RetentionPages,
    rules: Vec<StoredRule>,
    full: bool,
}

impl ListPage {
    fn about(&self, rule: &StoredRule) -> String {
        about(&rule.rule)
    }

    fn deletes(&self, rule: &StoredRule) -> String {
        let (deletes, _) = summary(&rule.rule);
        if deletes.is_empty() { "nothing".to_owned() } else { deletes.join(", and ") }
    }

    fn keeps(&self, rule: &StoredRule) -> String {
        let (_, keeps) = summary(&rule.rule);
        if keeps.is_empty() { "nothing more".to_owned() } else { keeps.join("; ") }
    }
}

/// `GET /user/settings/retention` and `GET /org/{org}/settings/retention`.
pub async fn list(call: Call) -> Result<Reply> {
    let org = org_of(&call).await?;
    let urls = RetentionPages::of(org.as_ref());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let (right, owner) = right(conn, caller, org.as_ref())?;
        Ok((owner, rules::list(conn, &right.to_see())?))
    };
    let (frame, (owner, rules)) = frame(&call, load).await?;
    let full = rules.len() >= rules::MOST;
    Reply::page(&ListPage { frame, owner, urls, rules, full })
}

#[derive(Template)]
#[template(path = "retention_rule.html")]
struct RulePage {
    frame: Frame,
    owner: Option<Owner>,
    urls: RetentionPages,
    form: RuleForm,
    /// The rule that is being changed; none on the page that creates one.
    stored: Option<StoredRule>,
    problems: Problems,
    /// What the rules would do with this one as it is typed.
    preview: Option<RulePreview>,
    periods: [(&'static str, &'static str); 3],
}

impl RulePage {
    fn title(&self) -> &'static str {
        if self.stored.is_some() { "Retention rule" } else { "Create rule" }
    }

    fn action(&self) -> String {
        self.stored.as_ref().map_or_else(|| self.urls.creation(), |stored| self.urls.rule(&stored.id))
    }
}

/// What was typed into the form, to show it again.
#[derive(Default)]
struct TypedRule {
    form: Option<RuleForm>,
    problems: Problems,
    /// The rule to preview, and its place.
    preview: Option<(RetentionRule, Option<i32>)>,
}

impl TypedRule {
    fn with_problems(form: RuleForm, problems: Problems) -> Self {
        Self { form: Some(form), problems, preview: None }
    }
}

async fn rule_page(
    call: &Call,
    (org, id): (Option<OwnerName>, Option<RetentionRuleId>),
    TypedRule { form, problems, preview }: TypedRule,
) -> Result<Reply> {
    let (urls, now) = (RetentionPages::of(org.as_ref()), call.app.clock.now());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let (right, owner) = right(conn, caller, org.as_ref())?;
        let stored = id.map(|id| rules::find(conn, &right.to_see(), id)).transpose()?;
        let preview = preview.clone().map(|(rule, place)| RulePreview::of(conn, &right, (id, rule, place), now));
        let preview = preview.transpose()?;
        Ok((owner, stored, preview))
    };
    let (frame, (owner, stored, preview)) = frame(call, load).await?;
    let form = form.unwrap_or_else(|| stored.as_ref().map_or_else(RuleForm::fresh, RuleForm::of));
    let page = RulePage { frame, owner, urls, form, stored, problems, preview, periods: PERIODS };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /user/settings/retention/new` and `GET /org/{org}/settings/retention/new`.
pub async fn create_form(call: Call) -> Result<Reply> {
    rule_page(&call, (org_of(&call).await?, None), TypedRule::default()).await
}

/// `POST /user/settings/retention/new` and `POST /org/{org}/settings/retention/new`.
pub async fn create(call: Call, form: Protected<RuleForm>) -> Result<Reply> {
    let org = org_of(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some((rule, place)) = form.read(&mut problems) {
        if form.preview.is_some() {
            let preview = Some((rule, place));
            return rule_page(&call, (org, None), TypedRule { form: Some(form), problems, preview }).await;
        }
        let (asked, now) = (org.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let (right, _) = right(conn, caller, asked.as_ref())?;
            rules::create(conn, caller, &right, (&rule, place), now)
        });
        match made.await {
            Ok(_) => {
                let urls = RetentionPages::of(org.as_ref());
                return Ok(Reply::to(urls.list()).notice(&call.app, "Rule created. Preview what it deletes."));
            }
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    rule_page(&call, (org, None), TypedRule::with_problems(form, problems)).await
}

/// `GET /user/settings/retention/{rule}` and `GET /org/{org}/settings/retention/{rule}`.
pub async fn show(call: Call) -> Result<Reply> {
    let at = (org_of(&call).await?, Some(rule_id(&call).await?));
    rule_page(&call, at, TypedRule::default()).await
}

/// `POST /user/settings/retention/{rule}` and `POST /org/{org}/settings/retention/{rule}`.
pub async fn update(call: Call, form: Protected<RuleForm>) -> Result<Reply> {
    let (org, id) = (org_of(&call).await?, rule_id(&call).await?);
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some((rule, place)) = form.read(&mut problems) {
        if form.preview.is_some() {
            let preview = Some((rule, place));
            return rule_page(&call, (org, Some(id)), TypedRule { form: Some(form), problems, preview }).await;
        }
        let (asked, now) = (org.clone(), call.app.clock.now());
        let changed = call.writing(move |conn, caller| {
            let (right, _) = right(conn, caller, asked.as_ref())?;
            rules::replace(conn, caller, &right, (id, &rule, place), now)
        });
        match changed.await {
            Ok(_) => {
                let urls = RetentionPages::of(org.as_ref());
                return Ok(Reply::to(urls.list()).notice(&call.app, "Rule saved. Preview what it deletes."));
            }
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    rule_page(&call, (org, Some(id)), TypedRule::with_problems(form, problems)).await
}

/// `POST /user/settings/retention/{rule}/delete` and `POST /org/{org}/settings/retention/{rule}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (org, id) = (org_of(&call).await?, rule_id(&call).await?);
    form.read(&call).await?;
    let (urls, now) = (RetentionPages::of(org.as_ref()), call.app.clock.now());
    call.writing(move |conn, caller| {
        let (right, _) = right(conn, caller, org.as_ref())?;
        rules::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(Reply::to(urls.list()).notice(&call.app, "Rule deleted."))
}
