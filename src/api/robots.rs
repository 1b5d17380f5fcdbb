//! Robots of organizations, and their access tokens.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use super::tokens::{CreateToken, TokenBody};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::text::Prose;
use crate::error::{Result, What};
use crate::registry::access::{can_govern, can_oversee};
use crate::registry::accounts::tokens::{self, Token};
use crate::registry::owners::robots::{self, Robot};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A robot: an account of an organization that has access tokens, and nothing else to sign in with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Robot)]
pub struct RobotBody {
    id: OwnerId,
    name: RobotName,
    /// The name of its account, as publishers and audit records show it.
    #[schema(pattern = "^[^/]+/[^/]+$")]
    account: String,
    description: String,
    /// How many access tokens it has.
    tokens: i64,
    /// When one of its tokens was last used.
    last_used_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl From<Robot> for RobotBody {
    fn from(robot: Robot) -> Self {
        Self {
            id: robot.id,
            name: robot.name,
            account: robot.account.into(),
            description: robot.description,
            tokens: robot.tokens,
            last_used_at: robot.last_used_at,
            created_at: robot.created_at,
        }
    }
}

/// The body of `POST /orgs/{org}/robots`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRobot {
    name: RobotName,
    /// A description for people, such as the job that uses the robot.
    #[serde(default)]
    description: Prose,
}

/// The body of `PATCH /orgs/{org}/robots/{robot}`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditRobot {
    /// A description for people, such as the job that uses the robot.
    description: Prose,
}

async fn org(call: &Call) -> Result<OwnerName> {
    call.part("org", What::Organization).await
}

async fn names(call: &Call) -> Result<(OwnerName, RobotName)> {
    Ok((org(call).await?, call.part("robot", What::Robot).await?))
}

/// `GET /orgs/{org}/robots`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<RobotBody>> {
    let (org, slice) = (org(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_oversee(conn, caller, &org)?;
            robots::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, RobotBody::from))
}

/// `POST /orgs/{org}/robots`.
pub async fn create(call: Call, body: JsonBody<CreateRobot>) -> Result<Created<RobotBody>> {
    let org = org(&call).await?;
    let of = org.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &of).map(drop)).await?;
    let CreateRobot { name, description } = body.read(&call.app).await?;
    let now = call.app.clock.now();
    let made = call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        robots::create(conn, caller, &right, (&name, &description), now)
    });
    Ok(Created(made.await?.into()))
}

/// `GET /orgs/{org}/robots/{robot}`.
pub async fn get(call: Call) -> Result<Json<RobotBody>> {
    let (org, robot) = names(&call).await?;
    let found = call.reading(move |conn, caller| {
        let right = can_oversee(conn, caller, &org)?;
        robots::get(conn, &right, &robot)
    });
    Ok(Json(found.await?.into()))
}

/// `PATCH /orgs/{org}/robots/{robot}`.
pub async fn edit(call: Call, body: JsonBody<EditRobot>) -> Result<Json<RobotBody>> {
    let (org, robot) = names(&call).await?;
    let of = org.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &of).map(drop)).await?;
    let EditRobot { description } = body.read(&call.app).await?;
    let now = call.app.clock.now();
    let changed = call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        robots::update(conn, caller, &right, (&robot, &description), now)
    });
    Ok(Json(changed.await?.into()))
}

/// `DELETE /orgs/{org}/robots/{robot}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (org, robot) = names(&call).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        robots::delete(conn, caller, &right, &robot, now)
    })
    .await?;
    Ok(NoContent)
}

fn body(conn: &mut Connection, token: Token, secret: &str) -> Result<TokenBody> {
    let names = tokens::owner_names(conn, std::slice::from_ref(&token))?;
    Ok(TokenBody::new(token, &names, secret))
}

/// `GET /orgs/{org}/robots/{robot}/tokens`.
pub async fn list_tokens(call: Call, pages: Pages) -> Result<Listed<TokenBody>> {
    let (org, robot) = names(&call).await?;
    let slice = pages.slice();
    let (page, names) = call
        .reading(move |conn, caller| {
            caller.demand_password()?;
            let right = can_govern(conn, caller, &org)?;
            let page = robots::list_tokens(conn, &right, &robot, slice)?;
            let names = tokens::owner_names(conn, &page.items)?;
            Ok((page, names))
        })
        .await?;
    Ok(pages.answer(page, |token| TokenBody::new(token, &names, "")))
}

/// `POST /orgs/{org}/robots/{robot}/tokens`.
pub async fn create_token(call: Call, body_of: JsonBody<CreateToken>) -> Result<Created<TokenBody>> {
    let (org, robot) = names(&call).await?;
    let of = org.clone();
    call.admit(move |conn, caller| {
        caller.demand_password()?;
        can_govern(conn, caller, &of).map(drop)
    })
    .await?;
    let new = body_of.read(&call.app).await?.check()?;
    let now = call.app.clock.now();
    let made = call.writing(move |conn, caller| {
        caller.demand_password()?;
        let right = can_govern(conn, caller, &org)?;
        let (token, secret) = robots::create_token(conn, caller, &right, (&robot, &new), now)?;
        body(conn, token, secret.reveal())
    });
    Ok(Created(made.await?))
}

/// `DELETE /orgs/{org}/robots/{robot}/tokens/{id or name}`.
pub async fn revoke_token(call: Call) -> Result<NoContent> {
    let (org, robot) = names(&call).await?;
    let token: String = call.part("token", What::Token).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        caller.demand_password()?;
        let right = can_govern(conn, caller, &org)?;
        robots::revoke_token(conn, caller, &right, (&robot, &token), now)
    })
    .await?;
    Ok(NoContent)
}
