//! Organizations, teams and members.

use super::{AppData, admit, answer_json, error, json, parsed, part, required, signed_in};
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Permission, Visibility};
use crate::domain::text::{Line, Prose};
use crate::error::{Result, What};
use crate::registry::access::can_govern;
use crate::registry::orgs::{self, NewOrg, Team};
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where the names stand in `/api/v1/orgs/{org}/…` and `/api/v1/teams/{team}/members/{user}`.
const ORG: usize = 3;
const TEAM: usize = 3;
const MEMBER: usize = 5;

/// An organization.
#[derive(Debug, Serialize)]
struct OrgBody {
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
#[derive(Debug, Deserialize)]
struct CreateOrg {
    username: Option<String>,
    #[serde(default)]
    full_name: String,
    #[serde(default)]
    description: String,
    visibility: Option<String>,
}

/// `POST /orgs`.
pub(super) async fn create(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_create(&req, payload, &app).await;
    error::answer(&req, &app, result)
}

async fn try_create(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = admit(req, app, |_, caller| orgs::demand_create(caller).map(drop)).await?;
    let body: CreateOrg = json(app, payload).await?;
    let new = NewOrg {
        name: parsed(&required(body.username, "username")?, "username")?,
        full_name: parsed(&body.full_name, "full_name")?,
        description: parsed(&body.description, "description")?,
        visibility: body.visibility.map_or(Ok(Visibility::Public), |word| parsed(&word, "visibility"))?,
    };
    let now = app.clock.now();
    let made = new.clone();
    let id = presented.writing(req, app, move |conn, caller| orgs::create(conn, caller, &new, now)).await?;
    let body = OrgBody {
        id,
        name: made.name.clone(),
        username: made.name,
        full_name: made.full_name,
        description: made.description,
        website: String::new(),
        location: String::new(),
        avatar_url: String::new(),
        visibility: made.visibility,
    };
    Ok(answer_json(StatusCode::CREATED, &body))
}

/// A team.
#[derive(Debug, Serialize)]
struct TeamBody {
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
#[derive(Debug, Deserialize)]
struct CreateTeam {
    name: Option<String>,
    permission: Option<String>,
}

/// `POST /orgs/{org}/teams`.
pub(super) async fn create_team(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_create_team(&req, payload, &app).await;
    error::answer(&req, &app, result)
}

async fn try_create_team(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let org: OwnerName = part(req, ORG, What::Organization)?;
    let governed = org.clone();
    let presented = admit(req, app, move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let body: CreateTeam = json(app, payload).await?;
    let name = required(body.name, "name")?;
    let permission = body.permission.map_or(Ok(Permission::Read), |word| parsed(&word, "permission"))?;
    let now = app.clock.now();
    let team = presented
        .writing(req, app, move |conn, caller| {
            let right = can_govern(conn, caller, &org)?;
            orgs::create_team(conn, caller, &right, &name, permission, now)
        })
        .await?;
    Ok(answer_json(StatusCode::CREATED, &TeamBody::from(team)))
}

/// `PUT /teams/{team}/members/{user}`.
pub(super) async fn add_member(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = change_member(&req, &app, orgs::add_member).await;
    error::answer(&req, &app, result)
}

/// `DELETE /teams/{team}/members/{user}`.
pub(super) async fn remove_member(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = change_member(&req, &app, orgs::remove_member).await;
    error::answer(&req, &app, result)
}

type Change = fn(
    &mut crate::db::Connection,
    &crate::registry::access::Caller,
    &crate::registry::access::CanGovern,
    &Team,
    &OwnerName,
    crate::domain::clock::Timestamp,
) -> Result<()>;

async fn change_member(req: &HttpRequest, app: &Arc<App>, change: Change) -> Result<HttpResponse> {
    let presented = signed_in(req, app).await?;
    let team = TeamId(part(req, TEAM, What::Team)?);
    let user: OwnerName = part(req, MEMBER, What::User)?;
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let (team, right) = orgs::govern_team(conn, caller, team)?;
            change(conn, caller, &right, &team, &user, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
