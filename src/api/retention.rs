//! Retention rules of an owner, and the preview of what they delete.

use super::body::{JsonBody, OptionalBody};
use super::endpoint::{Created, Json, NoContent, PagesIfAsked, Whole};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::RetentionRuleId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::pattern::NamePattern;
use crate::domain::retention::{Days, Keep, KeepPer, NameRegex, RetentionRule, RuleName};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{can_see_retention, can_set_retention};
use crate::registry::packages::retention::preview::{self, Preview, PreviewLine};
use crate::registry::packages::retention::rules::{self, StoredRule};
use crate::registry::packages::retention::verdict::Condition;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A retention rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionRule)]
pub struct RetentionRuleBody {
    id: RetentionRuleId,
    /// Its place in the owner's list, from 1.
    #[schema(minimum = 1)]
    place: i32,
    name: RuleName,
    /// Only enabled rules delete or keep anything.
    enabled: bool,
    /// The packages that the rule applies to; empty for all.
    packages: Vec<NamePattern>,
    /// The versions that it applies to; empty for all.
    versions: Vec<NamePattern>,
    /// The labels that a version must have for the rule to apply to it.
    labels: BTreeMap<String, String>,
    /// Whether the two regular expressions are compared with `package/version` instead of the version.
    match_full_name: bool,
    delete_pattern: Option<NameRegex>,
    delete_older_than_days: Option<Days>,
    delete_not_downloaded_for_days: Option<Days>,
    delete_superseded_prereleases: bool,
    keep_last: Option<Keep>,
    keep_last_per: KeepPer,
    keep_versions: Vec<NamePattern>,
    keep_pattern: Option<NameRegex>,
    keep_if_downloaded_within_days: Option<Days>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<StoredRule> for RetentionRuleBody {
    fn from(stored: StoredRule) -> Self {
        let StoredRule { id, place, rule, created_at, updated_at } = stored;
        Self {
            id,
            place,
            name: rule.name,
            enabled: rule.enabled,
            packages: rule.packages,
            versions: rule.versions,
            labels: rule.labels,
            match_full_name: rule.match_full_name,
            delete_pattern: rule.delete_pattern,
            delete_older_than_days: rule.delete_older_than_days,
            delete_not_downloaded_for_days: rule.delete_not_downloaded_for_days,
            delete_superseded_prereleases: rule.delete_superseded_prereleases,
            keep_last: rule.keep_last,
            keep_last_per: rule.keep_last_per,
            keep_versions: rule.keep_versions,
            keep_pattern: rule.keep_pattern,
            keep_if_downloaded_within_days: rule.keep_if_downloaded_within_days,
            created_at,
            updated_at,
        }
    }
}

fn yes() -> bool {
    true
}

fn per_package() -> KeepPer {
    KeepPer::Package
}

/// A regular expression that may be null or empty, which equals leaving it out.
fn regex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NameRegex>, D::Error> {
    super::fields::given(deserializer)
}

/// The body of `POST …/retention` and `PUT …/retention/{rule}`. A field that is left out has no effect. Unknown fields are
/// refused, because a misspelled `keep_` would delete what it should keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRetentionRule {
    /// Ignored, so that an answer can be sent back.
    #[expect(dead_code, reason = "it is only accepted")]
    #[serde(default)]
    id: Option<RetentionRuleId>,
    /// Its place in the owner's list, from 1. Left out: the end, or the place that it has.
    #[schema(minimum = 1)]
    place: Option<i32>,
    name: RuleName,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    packages: Vec<NamePattern>,
    #[serde(default)]
    versions: Vec<NamePattern>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    match_full_name: bool,
    #[serde(default, deserialize_with = "regex")]
    #[schema(schema_with = super::fields::given_schema::<NameRegex>)]
    delete_pattern: Option<NameRegex>,
    delete_older_than_days: Option<Days>,
    delete_not_downloaded_for_days: Option<Days>,
    #[serde(default)]
    delete_superseded_prereleases: bool,
    keep_last: Option<Keep>,
    #[serde(default = "per_package")]
    keep_last_per: KeepPer,
    #[serde(default)]
    keep_versions: Vec<NamePattern>,
    #[serde(default, deserialize_with = "regex")]
    #[schema(schema_with = super::fields::given_schema::<NameRegex>)]
    keep_pattern: Option<NameRegex>,
    keep_if_downloaded_within_days: Option<Days>,
    /// Ignored.
    #[expect(dead_code, reason = "it is only accepted")]
    created_at: Option<Timestamp>,
    /// Ignored.
    #[expect(dead_code, reason = "it is only accepted")]
    updated_at: Option<Timestamp>,
}

impl EditRetentionRule {
    /// The rule, and its place if one is given.
    fn read(self) -> Result<(RetentionRule, Option<i32>)> {
        if self.place.is_some_and(|place| place < 1) {
            return Err(Error::invalid("place", "place: the first place is 1"));
        }
        let rule = RetentionRule {
            name: self.name,
            enabled: self.enabled,
            packages: self.packages,
            versions: self.versions,
            labels: self.labels,
            match_full_name: self.match_full_name,
            delete_pattern: self.delete_pattern,
            delete_older_than_days: self.delete_older_than_days,
            delete_not_downloaded_for_days: self.delete_not_downloaded_for_days,
            delete_superseded_prereleases: self.delete_superseded_prereleases,
            keep_last: self.keep_last,
            keep_last_per: self.keep_last_per,
            keep_versions: self.keep_versions,
            keep_pattern: self.keep_pattern,
            keep_if_downloaded_within_days: self.keep_if_downloaded_within_days,
        };
        Ok((rule, self.place))
    }
}

/// The body of `POST …/retention/preview`, which may be empty.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRetention {
    /// The rules to try. Left out: the rules that the owner has.
    #[serde(default, deserialize_with = "few_rules")]
    #[schema(max_items = 100)]
    rules: Option<Vec<EditRetentionRule>>,
}

/// Reads no more rules than an owner can have: each may have regular expressions to compile.
fn few_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<EditRetentionRule>>, D::Error> {
    struct Few(Vec<EditRetentionRule>);

    impl<'de> Deserialize<'de> for Few {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Reader;

            impl<'de> Visitor<'de> for Reader {
                type Value = Few;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list of rules")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few, A::Error> {
                    let mut rules = Vec::new();
                    while let Some(rule) = list.next_element()? {
                        if rules.len() == rules::MOST {
                            return Err(A::Error::custom(format!("at most {} are possible", rules::MOST)));
                        }
                        rules.push(rule);
                    }
                    Ok(Few(rules))
                }
            }

            deserializer.deserialize_seq(Reader)
        }
    }

    Ok(Option::<Few>::deserialize(deserializer)?.map(|few| few.0))
}

/// What would happen to a version.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    Keep,
    Delete,
}

impl PartialSchema for Fate {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["keep", "delete"])).build().into()
    }
}

impl ToSchema for Fate {}

fn conditions_schema() -> RefOr<Schema> {
    let words = Condition::ALL.map(Condition::as_str);
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    ArrayBuilder::new().items(word).build().into()
}

/// A version, and what the rules would do with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetentionDecision {
    package: PackageName,
    version: Version,
    decision: Fate,
    /// The name of the rule that decided; null if no rule decided.
    #[schema(value_type = Option<String>)]
    rule: Option<RuleName>,
    /// For a deletion, the conditions of the rule, which are all met; otherwise the condition that keeps the version.
    #[schema(schema_with = conditions_schema)]
    conditions: Vec<&'static str>,
    /// The reason in words, as the end of a sentence about the version.
    reason: String,
    /// In all its files; identical files each count.
    #[schema(minimum = 0)]
    size: i64,
    created_at: Timestamp,
    /// Null if no download was recorded.
    #[schema(value_type = Option<Timestamp>)]
    last_downloaded_at: Option<Timestamp>,
}

impl From<PreviewLine> for RetentionDecision {
    fn from(line: PreviewLine) -> Self {
        let PreviewLine { facts, decision, rule } = line;
        Self {
            package: facts.package,
            version: facts.version,
            decision: if decision.deletes { Fate::Delete } else { Fate::Keep },
            rule,
            conditions: decision.conditions.into_iter().map(Condition::as_str).collect(),
            reason: decision.reason,
            size: facts.bytes,
            created_at: facts.created_at,
            last_downloaded_at: facts.last_downloaded_at,
        }
    }
}

/// What retention rules would do now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionPreview)]
pub struct RetentionPreviewBody {
    /// How many versions would be deleted.
    #[schema(minimum = 0)]
    deleted: i64,
    /// How many versions would be kept.
    #[schema(minimum = 0)]
    kept: i64,
    /// In all files of the versions that would be deleted; identical files each count.
    #[schema(minimum = 0)]
    deleted_bytes: i64,
    /// The bytes that become free once the trash is emptied, without those that a remaining file shares.
    #[schema(minimum = 0)]
    free_bytes: i64,
    /// Every version, or one page of them, by package and then by number, the latest first.
    versions: Vec<RetentionDecision>,
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn rule_id(call: &Call) -> Result<RetentionRuleId> {
    Ok(RetentionRuleId(call.part("rule", What::RetentionRule).await?))
}

/// `GET /packages/{owner}/-/retention`.
pub async fn list(call: Call, pages: PagesIfAsked) -> Result<Whole<RetentionRuleBody>> {
    let name = owner(&call).await?;
    let all = call
        .reading(move |conn, caller| {
            let right = can_see_retention(conn, caller, &name)?;
            rules::list(conn, &right)
        })
        .await?;
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let page = pages.slice().cut(all).into_iter().map(RetentionRuleBody::from);
    Ok(Whole::new(pages.head(total).json(page.collect::<Vec<_>>())))
}

/// `POST /packages/{owner}/-/retention`.
pub async fn create(call: Call, body: JsonBody<EditRetentionRule>) -> Result<Created<RetentionRuleBody>> {
    let name = owner(&call).await?;
    let asked = name.clone();
    call.admit(move |conn, caller| can_set_retention(conn, caller, &asked).map(drop)).await?;
    let (rule, place) = body.read(&call.app).await?.read()?;
    let now = call.app.clock.now();
    let made = call
        .writing(move |conn, caller| {
            let right = can_set_retention(conn, caller, &name)?;
            rules::create(conn, caller, &right, (&rule, place), now)
        })
        .await?;
    Ok(Created(made.into()))
}

/// `GET /packages/{owner}/-/retention/{rule}`.
pub async fn get(call: Call) -> Result<Json<RetentionRuleBody>> {
    let (name, id) = (owner(&call).await?, rule_id(&call).await?);
    let found = call
        .reading(move |conn, caller| {
            let right = can_see_retention(conn, caller, &name)?;
            rules::find(conn, &right, id)
        })
        .await?;
    Ok(Json(found.into()))
}

/// `PUT /packages/{owner}/-/retention/{rule}`.
pub async fn replace(call: Call, body: JsonBody<EditRetentionRule>) -> Result<Json<RetentionRuleBody>> {
    let (name, id) = (owner(&call).await?, rule_id(&call).await?);
    let asked = name.clone();
    call.admit(move |conn, caller| {
        let right = can_set_retention(conn, caller, &asked)?;
        rules::find(conn, &right.to_see(), id).map(drop)
    })
    .await?;
    let (rule, place) = body.read(&call.app).await?.read()?;
    let now = call.app.clock.now();
    let changed = call
        .writing(move |conn, caller| {
            let right = can_set_retention(conn, caller, &name)?;
            rules::replace(conn, caller, &right, (id, &rule, place), now)
        })
        .await?;
    Ok(Json(changed.into()))
}

/// `DELETE /packages/{owner}/-/retention/{rule}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (name, id, now) = (owner(&call).await?, rule_id(&call).await?, call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_set_retention(conn, caller, &name)?;
        rules::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}

/// `POST /packages/{owner}/-/retention/preview`.
pub async fn preview(
    call: Call,
    pages: PagesIfAsked,
    body: OptionalBody<PreviewRetention>,
) -> Result<Json<RetentionPreviewBody>> {
    let name = owner(&call).await?;
    let asked = name.clone();
    call.admit(move |conn, caller| can_see_retention(conn, caller, &asked).map(drop)).await?;
    let given = body.read(&call.app).await?.rules;
    let read =
        |rules: Vec<EditRetentionRule>| rules.into_iter().map(|rule| Ok(rule.read()?.0)).collect::<Result<Vec<_>>>();
    let given: Option<Vec<RetentionRule>> = given.map(read).transpose()?;
    let now = call.app.clock.now();
    let Preview { lines, kept, deleted, deleted_bytes, free_bytes } = call
        .reading(move |conn, caller| {
            let right = can_see_retention(conn, caller, &name)?;
            preview::preview(conn, &right, given.as_deref(), now)
        })
        .await?;
    let versions = pages.slice().cut(lines).into_iter().map(RetentionDecision::from).collect();
    Ok(Json(RetentionPreviewBody { deleted, kept, deleted_bytes, free_bytes, versions }))
}
