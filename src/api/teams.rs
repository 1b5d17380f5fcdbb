//! Teams of organizations. [`super::members`] has their members.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages, Query, Searched};
use super::fields::{given, given_schema};
use super::orgs::OrgBody;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{PackagePattern, Permission};
use crate::domain::text::{Prose, TeamName};
use crate::error::{Error, Result, What};
use crate::registry::access::{can_govern, can_inspect};
use crate::registry::owners::orgs::{self, Org};
use crate::registry::owners::teams::{self, NewTeam, Team, TeamEdit, TeamPackages};
use crate::registry::pages::Page;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The only one of Gitea's units that exists here.
const UNIT: &str = "repo.packages";

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub struct TeamBody {
    id: TeamId,
    name: String,
    description: String,
    organization: OrgBody,
    /// Whether the team's permission applies to everything the organization has.
    includes_all_repositories: bool,
    permission: Permission,
    /// Always `repo.packages`: there is no other unit here.
    units: [&'static str; 1],
    /// The team's permission, as the permission of its one unit.
    units_map: BTreeMap<&'static str, Permission>,
    /// Always false: there are no repositories.
    can_create_org_repo: bool,
    /// The only packages that the permission applies to, as patterns; null for all.
    packages: Option<Vec<String>>,
}

impl TeamBody {
    fn new((team, org): (Team, Org)) -> Self {
        Self {
            id: team.id,
            name: team.name,
            description: team.description,
            organization: org.into(),
            includes_all_repositories: team.package_patterns.is_none(),
            permission: team.permission,
            units: [UNIT],
            units_map: BTreeMap::from([(UNIT, team.permission)]),
            can_create_org_repo: false,
            packages: team.package_patterns,
        }
    }
}

fn org_of(conn: &mut Connection, id: OwnerId) -> Result<Org> {
    orgs::find(conn, id)?.ok_or(Error::NotFound(What::Organization))
}

/// The body of `POST /orgs/{org}/teams`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateTeam {
    name: TeamName,
    description: Option<Prose>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Permission>)]
    permission: Option<Permission>,
    /// The only packages that the permission applies to, as patterns with `*`; none or null for all.
    #[schema(value_type = Option<Vec<PackagePattern>>)]
    packages: Option<Vec<String>>,
}

/// The packages that a team is limited to.
fn team_packages(list: Vec<String>) -> Result<Option<TeamPackages>> {
    let pattern = |text: String| {
        let wrong = |error| Error::invalid("packages", format!("packages: {text:?} is not a pattern: {error}"));
        text.parse::<PackagePattern>().map_err(wrong)
    };
    TeamPackages::new(list.into_iter().map(pattern).collect::<Result<_>>()?)
}

/// `POST /orgs/{org}/teams`.
pub async fn create(call: Call, body: JsonBody<CreateTeam>) -> Result<Created<TeamBody>> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let governed = org.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let body = body.read(&call.app).await?;
    let new = NewTeam {
        name: body.name,
        description: body.description.unwrap_or_default(),
        permission: body.permission.unwrap_or(Permission::Read),
        packages: team_packages(body.packages.unwrap_or_default())?,
    };
    let now = call.app.clock.now();
    let made = call
        .writing(move |conn, caller| {
            let right = can_govern(conn, caller, &org)?;
            let team = teams::create(conn, caller, &right, &new, now)?;
            Ok((team, org_of(conn, right.org().id)?))
        })
        .await?;
    Ok(Created(TeamBody::new(made)))
}

async fn page(call: &Call, q: Result<String>, pages: &Pages) -> Result<Page<(Team, Org)>> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let slice = pages.slice();
    call.reading(move |conn, caller| {
        let right = can_inspect(conn, caller, &org)?;
        let q = q.as_deref().map_err(|error| Error::invalid("query", error.to_string()))?;
        let page = teams::list(conn, &right, q.trim(), slice)?;
        let org = org_of(conn, right.org().id)?;
        Ok(Page { items: page.items.into_iter().map(|team| (team, org.clone())).collect(), total: page.total })
    })
    .await
}

/// `GET /orgs/{org}/teams`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<TeamBody>> {
    let page = page(&call, Ok(String::new()), &pages).await?;
    Ok(pages.answer(page, TeamBody::new))
}

/// The query of [`search`].
#[derive(Deserialize, IntoParams)]
pub struct TeamQuery {
    /// A part of the name, ignoring case.
    #[serde(default)]
    q: String,
}

/// `GET /orgs/{org}/teams/search`.
pub async fn search(call: Call, query: Query<TeamQuery>, pages: Pages) -> Result<Searched<TeamBody>> {
    let page = page(&call, query.read().map(|query| query.q), &pages).await?;
    Ok(pages.found(page, TeamBody::new))
}

/// `GET /user/teams`.
pub async fn list_own(call: Call, pages: Pages) -> Result<Listed<TeamBody>> {
    let slice = pages.slice();
    let page = call.reading(move |conn, caller| teams::of_caller(conn, caller, slice)).await?;
    Ok(pages.answer(page, TeamBody::new))
}

/// `GET /teams/{team}`.
pub async fn get(call: Call) -> Result<Json<TeamBody>> {
    let id = TeamId(call.part("team", What::Team).await?);
    let found = call
        .reading(move |conn, caller| {
            let (team, right) = teams::inspect(conn, caller, id)?;
            Ok((team, org_of(conn, right.org().id)?))
        })
        .await?;
    Ok(Json(TeamBody::new(found)))
}

/// `GET /teams/{team}/repos`: always empty, because there are no Git repositories here. Terraform asks for it.
pub async fn list_repositories(call: Call, pages: Pages) -> Result<Listed<Value>> {
    let id = TeamId(call.part("team", What::Team).await?);
    call.reading(move |conn, caller| teams::inspect(conn, caller, id).map(drop)).await?;
    Ok(pages.none())
}

/// The body of `PATCH /teams/{team}`. A field that is left out or null keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditTeam {
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<TeamName>)]
    name: Option<TeamName>,
    description: Option<Prose>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Permission>)]
    permission: Option<Permission>,
    /// The only packages that the permission applies to, as patterns with `*`; an empty list for all.
    #[schema(value_type = Option<Vec<PackagePattern>>)]
    packages: Option<Vec<String>>,
}

/// `PATCH /teams/{team}`.
pub async fn edit(call: Call, body: JsonBody<EditTeam>) -> Result<Json<TeamBody>> {
    let id = TeamId(call.part("team", What::Team).await?);
    call.admit(move |conn, caller| teams::govern(conn, caller, id).map(drop)).await?;
    let EditTeam { name, description, permission, packages } = body.read(&call.app).await?;
    let packages = packages.map(team_packages).transpose()?;
    let edit = TeamEdit { name, description, permission, packages };
    let now = call.app.clock.now();
    let edited = call
        .writing(move |conn, caller| {
            let (team, right) = teams::govern(conn, caller, id)?;
            let team = teams::update(conn, caller, &right, &team, &edit, now)?;
            Ok((team, org_of(conn, right.org().id)?))
        })
        .await?;
    Ok(Json(TeamBody::new(edited)))
}

/// `DELETE /teams/{team}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let id = TeamId(call.part("team", What::Team).await?);
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let (team, right) = teams::govern(conn, caller, id)?;
        teams::delete(conn, caller, &right, &team, now)
    })
    .await?;
    Ok(NoContent)
}
