//! Organizations. [`super::teams`] has their teams, [`super::members`] the users in them.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use super::fields::{given, given_schema};
use crate::auth::call::Call;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use crate::domain::text::{Line, Prose, Website};
use crate::error::{Error, Result, What};
use crate::registry::access::{can_govern, visit_user};
use crate::registry::owners::namespace::OwnerEdit;
use crate::registry::owners::org_creation::{self, NewOrg};
use crate::registry::owners::orgs::{self, Org, Which};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An organization.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrgBody {
    id: OwnerId,
    name: OwnerName,
    username: OwnerName,
    full_name: String,
    description: String,
    website: String,
    location: String,
    avatar_url: String,
    visibility: Visibility,
}

impl From<Org> for OrgBody {
    fn from(org: Org) -> Self {
        Self {
            id: org.id,
            name: org.name.clone(),
            username: org.name,
            full_name: org.full_name,
            description: org.profile.description,
            website: org.profile.website,
            location: org.profile.location,
            avatar_url: String::new(),
            visibility: org.visibility,
        }
    }
}

/// The body of `POST /orgs`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrg {
    username: OwnerName,
    full_name: Option<Line>,
    description: Option<Prose>,
    website: Option<Website>,
    location: Option<Line>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

impl CreateOrg {
    pub(super) fn into_new(self) -> NewOrg {
        NewOrg {
            name: self.username,
            full_name: self.full_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            website: self.website.unwrap_or_default(),
            location: self.location.unwrap_or_default(),
            visibility: self.visibility.unwrap_or(Visibility::Public),
        }
    }
}

/// `POST /orgs`.
pub async fn create(call: Call, body: JsonBody<CreateOrg>) -> Result<Created<OrgBody>> {
    call.admit(|_, caller| org_creation::demand_create(caller).map(drop)).await?;
    let new = body.read(&call.app).await?.into_new();
    let now = call.app.clock.now();
    let org = call
        .writing(move |conn, caller| {
            let id = org_creation::create(conn, caller, &new, now)?;
            orgs::find(conn, id)?.ok_or(Error::NotFound(What::Organization))
        })
        .await?;
    Ok(Created(OrgBody::from(org)))
}

/// `GET /orgs`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<OrgBody>> {
    let slice = pages.slice();
    let page = call.reading(move |conn, caller| orgs::list(conn, caller, Which::All, slice)).await?;
    Ok(pages.answer(page, OrgBody::from))
}

/// `GET /user/orgs`.
pub async fn list_own(call: Call, pages: Pages) -> Result<Listed<OrgBody>> {
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let user = caller.signed_in()?.id;
            orgs::list(conn, caller, Which::Of(user), slice)
        })
        .await?;
    Ok(pages.answer(page, OrgBody::from))
}

/// `GET /users/{user}/orgs`.
pub async fn list_of_user(call: Call, pages: Pages) -> Result<Listed<OrgBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let user = visit_user(conn, caller, &name)?;
            orgs::list(conn, caller, Which::Of(user.id), slice)
        })
        .await?;
    Ok(pages.answer(page, OrgBody::from))
}

/// `GET /orgs/{org}`.
pub async fn get(call: Call) -> Result<Json<OrgBody>> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let org = call.reading(move |conn, caller| orgs::see(conn, caller, &name)).await?;
    Ok(Json(OrgBody::from(org)))
}

/// `GET /orgs/{org}/repos`: always empty, because there are no Git repositories here. Some clients ask before they
/// delete an organization.
pub async fn list_repositories(call: Call, pages: Pages) -> Result<Listed<Value>> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    call.reading(move |conn, caller| orgs::see(conn, caller, &name).map(drop)).await?;
    Ok(pages.none())
}

/// The body of `PATCH /orgs/{org}`. A field that is left out or null keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditOrg {
    full_name: Option<Line>,
    description: Option<Prose>,
    website: Option<Website>,
    location: Option<Line>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

/// `PATCH /orgs/{org}`.
pub async fn edit(call: Call, body: JsonBody<EditOrg>) -> Result<Json<OrgBody>> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let governed = name.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let body = body.read(&call.app).await?;
    let edit = OwnerEdit {
        full_name: body.full_name,
        description: body.description,
        website: body.website,
        location: body.location,
        visibility: body.visibility,
    };
    let now = call.app.clock.now();
    let org = call
        .writing(move |conn, caller| {
            let right = can_govern(conn, caller, &name)?;
            orgs::update(conn, caller, &right, &edit, now)?;
            orgs::find(conn, right.org().id)?.ok_or(Error::NotFound(What::Organization))
        })
        .await?;
    Ok(Json(OrgBody::from(org)))
}

/// The body of `POST /orgs/{org}/rename`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RenameOrg {
    new_name: OwnerName,
}

/// `POST /orgs/{org}/rename`.
pub async fn rename(call: Call, body: JsonBody<RenameOrg>) -> Result<NoContent> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let governed = name.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let to = body.read(&call.app).await?.new_name;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &name)?;
        orgs::rename(conn, caller, &right, &to, now)
    })
    .await?;
    Ok(NoContent)
}

/// `DELETE /orgs/{org}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &name)?;
        orgs::delete(conn, caller, &right, now)
    })
    .await?;
    Ok(NoContent)
}
