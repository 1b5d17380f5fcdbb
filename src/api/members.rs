//! Members of an organization and of its teams.

use super::endpoint::{Json, Listed, NoContent, Pages};
use super::users::UserBody;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::TeamId;
use crate::domain::names::OwnerName;
use crate::domain::role::Permission;
use crate::error::{Result, What};
use crate::registry::access::{CanGovern, can_inspect};
use crate::registry::caller::Caller;
use crate::registry::owners::members::{self, MembersOf};
use crate::registry::owners::orgs;
use crate::registry::owners::teams::{self, Team};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /teams/{team}/members`.
pub async fn list_of_team(call: Call, pages: Pages) -> Result<Listed<UserBody>> {
    let id = TeamId(call.part("team", What::Team).await?);
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let (team, right) = teams::inspect(conn, caller, id)?;
            members::list(conn, caller, &right, MembersOf::Team(team.id), slice)
        })
        .await?;
    Ok(pages.answer(page, |user| UserBody::new(&call.app, user)))
}

/// `GET /teams/{team}/members/{user}`.
pub async fn get_of_team(call: Call) -> Result<Json<UserBody>> {
    let id = TeamId(call.part("team", What::Team).await?);
    let user: OwnerName = call.part("user", What::User).await?;
    let user = call
        .reading(move |conn, caller| {
            let (team, right) = teams::inspect(conn, caller, id)?;
            members::find(conn, caller, &right, MembersOf::Team(team.id), &user)
        })
        .await?;
    Ok(Json(UserBody::new(&call.app, user)))
}

/// `PUT /teams/{team}/members/{user}`.
pub async fn add(call: Call) -> Result<NoContent> {
    change(&call, members::add).await
}

/// `DELETE /teams/{team}/members/{user}`.
pub async fn remove(call: Call) -> Result<NoContent> {
    change(&call, members::remove).await
}

type Change = fn(&mut Connection, &Caller, &CanGovern, &Team, &OwnerName, Timestamp) -> Result<()>;

async fn change(call: &Call, change: Change) -> Result<NoContent> {
    let team = TeamId(call.part("team", What::Team).await?);
    let user: OwnerName = call.part("user", What::User).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let (team, right) = teams::govern(conn, caller, team)?;
        change(conn, caller, &right, &team, &user, now)
    })
    .await?;
    Ok(NoContent)
}

/// `GET /orgs/{org}/members`.
pub async fn list_of_org(call: Call, pages: Pages) -> Result<Listed<UserBody>> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let right = can_inspect(conn, caller, &org)?;
            members::list(conn, caller, &right, MembersOf::Org, slice)
        })
        .await?;
    Ok(pages.answer(page, |user| UserBody::new(&call.app, user)))
}

/// `GET /orgs/{org}/members/{user}`: 204 for a member, 404 for any other user.
pub async fn is_in_org(call: Call) -> Result<NoContent> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let user: OwnerName = call.part("user", What::User).await?;
    call.reading(move |conn, caller| members::demand_member(conn, caller, &org, &user)).await?;
    Ok(NoContent)
}

/// `GET /orgs/{org}/public_members`: always empty, because membership is never shown to others.
pub async fn list_public(call: Call, pages: Pages) -> Result<Listed<Value>> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    call.reading(move |conn, caller| orgs::see(conn, caller, &name).map(drop)).await?;
    Ok(pages.none())
}

/// A user's permissions in an organization, with Gitea's field names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationPermissions)]
pub struct PermissionsBody {
    is_owner: bool,
    is_admin: bool,
    can_write: bool,
    can_read: bool,
    /// Always false: there are no repositories.
    can_create_repository: bool,
}

/// `GET /users/{user}/orgs/{org}/permissions`.
pub async fn permissions(call: Call) -> Result<Json<PermissionsBody>> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let user: OwnerName = call.part("user", What::User).await?;
    let permission = call.reading(move |conn, caller| members::permission_of(conn, caller, &org, &user)).await?;
    Ok(Json(PermissionsBody {
        is_owner: permission >= Some(Permission::Owner),
        is_admin: permission >= Some(Permission::Admin),
        can_write: permission >= Some(Permission::Write),
        can_read: permission.is_some(),
        can_create_repository: false,
    }))
}

/// `DELETE /orgs/{org}/members/{user}`.
pub async fn expel(call: Call) -> Result<NoContent> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let user: OwnerName = call.part("user", What::User).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = members::can_expel(conn, caller, &org, &user)?;
        members::expel(conn, caller, &right, now)
    })
    .await?;
    Ok(NoContent)
}
