//! Trusted publishers of an owner: whose identity tokens may publish which packages.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use super::fields::changed;
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::publisher::{Condition, Expected, IssuerUrl, Provider, Trust};
use crate::domain::role::{Level, PackagePattern};
use crate::error::{Error, Result, What};
use crate::registry::access::can_share;
use crate::registry::owners::publishers::{self, NewPublisher, Publisher, PublisherEdit};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::str::FromStr;
use utoipa::ToSchema;

/// A condition for a claim of an identity token. Exactly one of `equals`, `one_of` and `glob` is set.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ClaimCondition)]
pub struct ConditionBody {
    /// The claim, such as `repository`.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    claim: String,
    /// The only value.
    #[serde(default)]
    equals: Option<String>,
    /// The allowed values, up to 50.
    #[serde(default)]
    one_of: Option<Vec<String>>,
    /// A pattern for the value: `*` matches any characters, and everything else matches itself.
    #[serde(default)]
    glob: Option<String>,
}

impl From<Condition> for ConditionBody {
    fn from(condition: Condition) -> Self {
        let body = Self { claim: condition.claim, equals: None, one_of: None, glob: None };
        match condition.expected {
            Expected::Equals(value) => Self { equals: Some(value), ..body },
            Expected::OneOf(values) => Self { one_of: Some(values), ..body },
            Expected::Glob(pattern) => Self { glob: Some(pattern), ..body },
        }
    }
}

impl ConditionBody {
    fn check(self) -> Result<Condition> {
        let expected = match (self.equals, self.one_of, self.glob) {
            (Some(value), None, None) => Expected::Equals(value),
            (None, Some(values), None) => Expected::OneOf(values),
            (None, None, Some(pattern)) => Expected::Glob(pattern),
            _ => {
                return Err(Error::invalid(
                    "conditions",
                    format!("conditions: set one of equals, one_of and glob for the claim {:?}", self.claim),
                ));
            }
        };
        Ok(Condition { claim: self.claim, expected })
    }
}

/// A trusted publisher.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Publisher)]
pub struct PublisherBody {
    id: OwnerId,
    name: RobotName,
    /// The name of its account, as publishers and audit records show it.
    #[schema(pattern = "^[^/]+/[^/]+$")]
    account: String,
    /// The packages that it may publish to.
    #[schema(value_type = PackagePattern)]
    packages: String,
    provider: Provider,
    /// The claim `iss` of its identity tokens.
    issuer: String,
    /// All of them must hold.
    conditions: Vec<ConditionBody>,
    /// The claim `environment`; null for any or none.
    environment: Option<String>,
    created_at: Timestamp,
    /// When it last got a token.
    last_used_at: Option<Timestamp>,
}

impl From<Publisher> for PublisherBody {
    fn from(publisher: Publisher) -> Self {
        let Trust { provider, issuer, conditions, environment } = publisher.trust;
        Self {
            id: publisher.id,
            name: publisher.name,
            account: publisher.account.into(),
            packages: publisher.packages.as_str().to_owned(),
            provider,
            issuer: issuer.to_string(),
            conditions: conditions.into_iter().map(ConditionBody::from).collect(),
            environment,
            created_at: publisher.created_at,
            last_used_at: publisher.last_used_at,
        }
    }
}

/// A field's text as its value.
fn parsed<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<T> {
    text.parse().map_err(|error| Error::invalid(field, format!("{field}: {error}")))
}

fn checked_conditions(conditions: Vec<ConditionBody>) -> Result<Vec<Condition>> {
    conditions.into_iter().map(ConditionBody::check).collect()
}

fn other() -> Provider {
    Provider::Other
}

/// The body of `POST /packages/{owner}/-/publishers`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreatePublisher {
    /// Its name within the owner.
    name: RobotName,
    /// The packages that it may publish to. They need not exist.
    #[schema(value_type = PackagePattern)]
    packages: String,
    /// The system of the jobs: `other` if this is left out.
    #[serde(default = "other")]
    provider: Provider,
    /// The claim `iss` of the identity tokens, exactly. For `github` and `gitlab` it may be left out.
    #[schema(min_length = 1, max_length = 255, pattern = r"^https?://[!-~]+$")]
    issuer: Option<String>,
    /// Up to 20; all of them must hold. A provider's tokens need a condition that says whose job it is: for the claim
    /// `repository`, for GitLab `project_path`, for Kubernetes `sub`.
    #[serde(default)]
    conditions: Vec<ConditionBody>,
    /// The claim `environment`.
    environment: Option<String>,
}

impl CreatePublisher {
    fn check(self) -> Result<NewPublisher> {
        let issuer = self.issuer.as_deref().or(self.provider.shared_issuer()).unwrap_or_default();
        Ok(NewPublisher {
            name: self.name,
            packages: parsed("packages", &self.packages)?,
            trust: Trust {
                provider: self.provider,
                issuer: parsed("issuer", issuer)?,
                conditions: checked_conditions(self.conditions)?,
                environment: self.environment,
            },
        })
    }
}

/// The body of `PATCH /packages/{owner}/-/publishers/{publisher}`. A field that is left out keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditPublisher {
    /// Its name within the owner. Files that it published show the new name.
    name: Option<RobotName>,
    /// The packages that it may publish to.
    #[schema(value_type = Option<PackagePattern>)]
    packages: Option<String>,
    /// The system of the jobs.
    provider: Option<Provider>,
    /// The claim `iss` of the identity tokens, exactly.
    #[schema(min_length = 1, max_length = 255, pattern = r"^https?://[!-~]+$")]
    issuer: Option<String>,
    /// All conditions, instead of those that it has; as in the creation of a publisher.
    conditions: Option<Vec<ConditionBody>>,
    /// The claim `environment`; null for any or none.
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<String>)]
    environment: Option<Option<String>>,
}

impl EditPublisher {
    fn check(self) -> Result<PublisherEdit> {
        let conditions = self.conditions.map(checked_conditions);
        Ok(PublisherEdit {
            name: self.name,
            packages: self.packages.map(|text| parsed("packages", &text)).transpose()?,
            provider: self.provider,
            issuer: self.issuer.map(|text| parsed("issuer", &text)).transpose()?,
            conditions: conditions.transpose()?,
            environment: self.environment,
        })
    }
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn id(call: &Call) -> Result<OwnerId> {
    Ok(OwnerId(call.part("publisher", What::Publisher).await?))
}

/// `GET /packages/{owner}/-/publishers`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<PublisherBody>> {
    let (owner, slice) = (owner(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_share(conn, caller, &owner, Level::Read)?;
            publishers::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, PublisherBody::from))
}

/// Refuses an issuer that could never be asked for its keys.
fn check_issuer(call: &Call, issuer: &IssuerUrl) -> Result<()> {
    call.app.issuers.check(issuer).map_err(|why| Error::invalid("issuer", format!("issuer: {why}")))
}

/// `POST /packages/{owner}/-/publishers`.
pub async fn create(call: Call, body: JsonBody<CreatePublisher>) -> Result<Created<PublisherBody>> {
    let owner = owner(&call).await?;
    let of = owner.clone();
    call.admit(move |conn, caller| {
        caller.demand_password()?;
        can_share(conn, caller, &of, Level::Write).map(drop)
    })
    .await?;
    let new = body.read(&call.app).await?.check()?;
    check_issuer(&call, &new.trust.issuer)?;
    let now = call.app.clock.now();
    let made = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        publishers::create(conn, caller, &right, &new, now)
    });
    Ok(Created(made.await?.into()))
}

/// `GET /packages/{owner}/-/publishers/{publisher}`.
pub async fn get(call: Call) -> Result<Json<PublisherBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let found = call.reading(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Read)?;
        publishers::find(conn, &right, id)
    });
    Ok(Json(found.await?.into()))
}

/// `PATCH /packages/{owner}/-/publishers/{publisher}`.
pub async fn edit(call: Call, body: JsonBody<EditPublisher>) -> Result<Json<PublisherBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let of = owner.clone();
    call.admit(move |conn, caller| {
        caller.demand_password()?;
        let right = can_share(conn, caller, &of, Level::Write)?;
        publishers::find(conn, &right, id).map(drop)
    })
    .await?;
    let edit = body.read(&call.app).await?.check()?;
    edit.issuer.as_ref().map_or(Ok(()), |issuer| check_issuer(&call, issuer))?;
    let now = call.app.clock.now();
    let changed = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        publishers::update(conn, caller, &right, (id, &edit), now)
    });
    Ok(Json(changed.await?.into()))
}

/// `DELETE /packages/{owner}/-/publishers/{publisher}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        publishers::delete(conn, caller, &right, id, now).map(drop)
    })
    .await?;
    Ok(NoContent)
}
