//! Grants: permissions that an owner gives users and teams for some of its packages.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{GrantId, TeamId};
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::role::{Level, PackagePattern, Permission};
use crate::domain::text::TeamName;
use crate::error::{Error, Result, What};
use crate::registry::access::can_share;
use crate::registry::owners::grants::{self, Gift, Grant, GrantedTeam, Grantee, NewGrantee};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A team that has a grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantTeam)]
pub struct GrantTeamBody {
    id: TeamId,
    organization: OwnerName,
    name: String,
}

/// A permission that an owner gives a user, a team or a robot for some of its packages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantBody {
    id: GrantId,
    /// The packages.
    #[schema(value_type = PackagePattern)]
    pattern: String,
    permission: Permission,
    /// The user; otherwise null.
    user: Option<OwnerName>,
    /// The team; otherwise null.
    team: Option<GrantTeamBody>,
    /// The robot of the organization; otherwise null.
    robot: Option<RobotName>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Grant> for GrantBody {
    fn from(grant: Grant) -> Self {
        let (user, team, robot) = match grant.grantee {
            Grantee::User(name) => match name.as_robot() {
                Some((_, robot)) => (None, None, Some(robot)),
                None => (Some(name), None, None),
            },
            Grantee::Team(GrantedTeam { id, org, name }) => {
                (None, Some(GrantTeamBody { id, organization: org, name }), None)
            }
        };
        Self {
            id: grant.id,
            pattern: grant.pattern,
            permission: grant.permission,
            user,
            team,
            robot,
            created_at: grant.created_at,
            updated_at: grant.updated_at,
        }
    }
}

/// What a grant gives, from its fields.
fn gift(pattern: &str, permission: Permission) -> Result<Gift> {
    let wrong = |error| Error::invalid("pattern", format!("pattern: {error}"));
    Gift::new(pattern.parse::<PackagePattern>().map_err(wrong)?, permission)
}

/// The body of `POST /packages/{owner}/-/grants`: with one of `user`, `team` and `robot`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateGrant {
    /// The packages, as a pattern in which `*` stands for any characters.
    #[schema(value_type = PackagePattern)]
    pattern: String,
    /// `read`, `write` or `admin`.
    permission: Permission,
    /// The user to give it to.
    user: Option<OwnerName>,
    /// The team to give it to, as `organization/team`.
    #[schema(pattern = "^[^/]+/[^/]+$")]
    team: Option<String>,
    /// The robot of this organization to give it to.
    robot: Option<RobotName>,
}

impl CreateGrant {
    fn check(self) -> Result<(NewGrantee, Gift)> {
        let to = match (self.user, self.team, self.robot) {
            (Some(user), None, None) => NewGrantee::User(user),
            (None, Some(team), None) => team_of(&team)?,
            (None, None, Some(robot)) => NewGrantee::Robot(robot),
            _ => return Err(Error::invalid("user", "user: name one user, one team or one robot")),
        };
        Ok((to, gift(&self.pattern, self.permission)?))
    }
}

/// A team written as `organization/team`.
///
/// # Errors
/// [`Error::Invalid`].
fn team_of(text: &str) -> Result<NewGrantee> {
    let wrong = || Error::invalid("team", format!("team: {text:?} is not organization/team"));
    let (org, team) = text.split_once('/').ok_or_else(wrong)?;
    let org: OwnerName = org.parse().map_err(|_| wrong())?;
    let team: TeamName = team.parse().map_err(|_| wrong())?;
    Ok(NewGrantee::Team(org, team))
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

/// `GET /packages/{owner}/-/grants`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<GrantBody>> {
    let (owner, slice) = (owner(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_share(conn, caller, &owner, Level::Read)?;
            grants::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, GrantBody::from))
}

/// `POST /packages/{owner}/-/grants`.
pub async fn create(call: Call, body: JsonBody<CreateGrant>) -> Result<Created<GrantBody>> {
    let owner = owner(&call).await?;
    let of = owner.clone();
    call.admit(move |conn, caller| can_share(conn, caller, &of, Level::Write).map(drop)).await?;
    let (to, gift) = body.read(&call.app).await?.check()?;
    let now = call.app.clock.now();
    let made = call
        .writing(move |conn, caller| {
            let right = can_share(conn, caller, &owner, Level::Write)?;
            grants::create(conn, caller, &right, (&to, &gift), now)
        })
        .await?;
    Ok(Created(made.into()))
}

async fn id(call: &Call) -> Result<GrantId> {
    Ok(GrantId(call.part("grant", What::Grant).await?))
}

/// `GET /packages/{owner}/-/grants/{grant}`.
pub async fn get(call: Call) -> Result<Json<GrantBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let found = call.reading(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Read)?;
        grants::find(conn, &right, id)
    });
    Ok(Json(found.await?.into()))
}

/// The body of `PUT /packages/{owner}/-/grants/{grant}`. It can't change the user, team or robot.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditGrant {
    /// The packages, as a pattern in which `*` stands for any characters.
    #[schema(value_type = PackagePattern)]
    pattern: String,
    /// `read`, `write` or `admin`.
    permission: Permission,
}

/// `PUT /packages/{owner}/-/grants/{grant}`.
pub async fn edit(call: Call, body: JsonBody<EditGrant>) -> Result<Json<GrantBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let of = owner.clone();
    call.admit(move |conn, caller| can_share(conn, caller, &of, Level::Write).map(drop)).await?;
    let EditGrant { pattern, permission } = body.read(&call.app).await?;
    let (gift, now) = (gift(&pattern, permission)?, call.app.clock.now());
    let changed = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        grants::update(conn, caller, &right, (id, &gift), now)
    });
    Ok(Json(changed.await?.into()))
}

/// `DELETE /packages/{owner}/-/grants/{grant}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        grants::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}
