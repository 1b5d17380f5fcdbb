//! Organizations, teams and members.

use super::endpoint::{Body, Created, NoContent};
use super::fields::{given, given_schema};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Permission, Visibility};
use crate::domain::text::{Line, Prose};
use crate::error::{Result, What};
use crate::registry::access::{Caller, CanGovern, can_govern};
use crate::registry::orgs::{self, NewOrg, Team};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrgBody {
    id: OwnerId,
    name: OwnerName,
    username: OwnerName,
    full_name: Line,
    description: Prose,
    website: String,
    location: String,
    avatar_url: String,
    visibility: Visibility,
}

/// The body of `POST /orgs`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrg {
    username: OwnerName,
    full_name: Option<Line>,
    description: Option<Prose>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

/// `POST /orgs`.
pub async fn create(call: Call, body: Body<CreateOrg>) -> Result<Created<OrgBody>> {
    call.admit(|_, caller| orgs::demand_create(caller).map(drop)).await?;
    let body = body.read(&call.app).await?;
    let new = NewOrg {
        name: body.username,
        full_name: body.full_name.unwrap_or_default(),
        description: body.description.unwrap_or_default(),
        visibility: body.visibility.unwrap_or(Visibility::Public),
    };
    let now = call.app.clock.now();
    let made = new.clone();
    let id = call.writing(move |conn, caller| orgs::create(conn, caller, &new, now)).await?;
    Ok(Created(OrgBody {
        id,
        name: made.name.clone(),
        username: made.name,
        full_name: made.full_name,
        description: made.description,
        website: String::new(),
        location: String::new(),
        avatar_url: String::new(),
        visibility: made.visibility,
    }))
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub struct TeamBody {
    id: TeamId,
    name: String,
    description: String,
    permission: Permission,
}

impl From<Team> for TeamBody {
    fn from(team: Team) -> Self {
        Self { id: team.id, name: team.name, description: team.description, permission: team.permission }
    }
}

/// The body of `POST /orgs/{org}/teams`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateTeam {
    #[schema(min_length = 1, max_length = 255, pattern = r"^[\p{L}\p{N}\-_.]([\p{L}\p{N}\-_. ]*[\p{L}\p{N}\-_.])?$")]
    name: String,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Permission>)]
    permission: Option<Permission>,
}

/// `POST /orgs/{org}/teams`.
pub async fn create_team(call: Call, body: Body<CreateTeam>) -> Result<Created<TeamBody>> {
    let org: OwnerName = call.part("org", What::Organization)?;
    let governed = org.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let body = body.read(&call.app).await?;
    let permission = body.permission.unwrap_or(Permission::Read);
    let now = call.app.clock.now();
    let team = call
        .writing(move |conn, caller| {
            let right = can_govern(conn, caller, &org)?;
            orgs::create_team(conn, caller, &right, &body.name, permission, now)
        })
        .await?;
    Ok(Created(TeamBody::from(team)))
}

/// `PUT /teams/{team}/members/{user}`.
pub async fn add_member(call: Call) -> Result<NoContent> {
    change_member(&call, orgs::add_member).await
}

/// `DELETE /teams/{team}/members/{user}`.
pub async fn remove_member(call: Call) -> Result<NoContent> {
    change_member(&call, orgs::remove_member).await
}

type Change = fn(&mut Connection, &Caller, &CanGovern, &Team, &OwnerName, Timestamp) -> Result<()>;

async fn change_member(call: &Call, change: Change) -> Result<NoContent> {
    let team = TeamId(call.part("team", What::Team)?);
    let user: OwnerName = call.part("user", What::User)?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let (team, right) = orgs::govern_team(conn, caller, team)?;
        change(conn, caller, &right, &team, &user, now)
    })
    .await?;
    Ok(NoContent)
}
