//! Administrator endpoints for users and organizations.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages, Query};
use super::fields::{given, given_schema};
use super::orgs::{CreateOrg, OrgBody};
use super::users::UserBody;
use crate::auth::call::Call;
use crate::auth::password::check_new;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::Visibility;
use crate::domain::secret::Password;
use crate::domain::text::{Line, Prose, Website};
use crate::error::{Error, Result, What};
use crate::registry::access::can_administer;
use crate::registry::accounts::users::{self, NewUser, UserEdit, UserOrder};
use crate::registry::owners::namespace::OwnerEdit;
use crate::registry::owners::org_creation;
use crate::registry::owners::orgs::{self, Which};
use crate::state::App;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Hashes a new password after checking that a user with these names may have it.
async fn hash(app: &App, password: String, names: &[&str]) -> Result<String> {
    let password = Password::new(password);
    check_new("password", &password, names)?;
    app.passwords.hash(password).await
}

/// 12 to 1,024 bytes; not a common password and not the user's own name.
#[derive(ToSchema)]
#[schema(format = Password, min_length = 12, max_length = 1024)]
#[expect(dead_code, reason = "its schema is what counts")]
struct NewPassword(String);

/// The body of `POST /admin/users`.
#[derive(Deserialize, ToSchema)]
pub struct CreateUser {
    username: OwnerName,
    email: Email,
    #[schema(inline, value_type = NewPassword)]
    password: String,
    full_name: Option<Line>,
    must_change_password: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

/// `POST /admin/users`.
pub async fn create(call: Call, body: JsonBody<CreateUser>) -> Result<Created<UserBody>> {
    call.admit(|_, caller| caller.demand_any_owner()).await?;
    let body = body.read(&call.app).await?;
    let new = NewUser {
        password_hash: Some(hash(&call.app, body.password, &[body.username.as_str(), body.email.as_str()]).await?),
        full_name: body.full_name.map_or_else(String::new, Line::into),
        visibility: body.visibility.unwrap_or(Visibility::Public),
        is_admin: false,
        must_change_password: body.must_change_password.unwrap_or(false),
        name: body.username,
        email: body.email,
    };
    let now = call.app.clock.now();
    let user = call
        .writing(move |conn, caller| {
            users::create(conn, caller, &new, now)?;
            users::find(conn, &new.name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(Created(UserBody::new(&call.app, user)))
}

/// The query of [`list`].
#[derive(Deserialize, IntoParams)]
pub struct Sorting {
    /// `alphabetically`, `reversealphabetically`, `oldest` or `newest`; the default is `alphabetically`.
    #[serde(default)]
    #[param(pattern = "^(alphabetically|reversealphabetically|oldest|newest)?$")]
    sort: String,
}

/// `GET /admin/users`.
pub async fn list(call: Call, query: Query<Sorting>, pages: Pages) -> Result<Listed<UserBody>> {
    let sort = query.read().map(|query| query.sort);
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let sort = sort.as_deref().map_err(|error| Error::invalid("query", error.to_string()))?;
            let order = match sort {
                "" | "alphabetically" => UserOrder::Name,
                "reversealphabetically" => UserOrder::NameDescending,
                "oldest" => UserOrder::Oldest,
                "newest" => UserOrder::Newest,
                _ => {
                    let known = "sort: alphabetically, reversealphabetically, oldest or newest";
                    return Err(Error::invalid("sort", known));
                }
            };
            users::list(conn, caller, order, slice)
        })
        .await?;
    Ok(pages.answer(page, |user| UserBody::new(&call.app, user)))
}

/// The body of `PATCH /admin/users/{user}`. A field that is left out or null keeps its value.
#[derive(Deserialize, ToSchema)]
pub struct EditUser {
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Email>)]
    email: Option<Email>,
    /// Ends every session. The user need not change this password unless `must_change_password` says so.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<NewPassword>)]
    password: Option<String>,
    must_change_password: Option<bool>,
    admin: Option<bool>,
    active: Option<bool>,
    prohibit_login: Option<bool>,
    full_name: Option<Line>,
    description: Option<Prose>,
    website: Option<Website>,
    location: Option<Line>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

impl EditUser {
    fn into_edit(self, password_hash: Option<String>) -> UserEdit {
        UserEdit {
            email: self.email,
            password_hash,
            must_change_password: self.must_change_password,
            is_admin: self.admin,
            is_active: self.active,
            is_locked: self.prohibit_login,
            owner: OwnerEdit {
                full_name: self.full_name,
                description: self.description,
                website: self.website,
                location: self.location,
                visibility: self.visibility,
            },
        }
    }
}

/// `PATCH /admin/users/{user}`.
pub async fn edit(call: Call, body: JsonBody<EditUser>) -> Result<Json<UserBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let of = name.clone();
    let before = call
        .reading(move |conn, caller| {
            can_administer(conn, caller, &of)?;
            users::find(conn, &of)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    let mut body = body.read(&call.app).await?;
    let hash = match body.password.take() {
        Some(password) => {
            let email = body.email.as_ref().map_or(before.email.as_str(), Email::as_str);
            Some(hash(&call.app, password, &[name.as_str(), email]).await?)
        }
        None => None,
    };
    let edit = body.into_edit(hash);
    let now = call.app.clock.now();
    let user = call
        .writing(move |conn, caller| {
            let right = can_administer(conn, caller, &name)?;
            users::update(conn, caller, &right, &edit, now)?;
            users::find(conn, &name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(Json(UserBody::new(&call.app, user)))
}

/// The query of [`delete`].
#[derive(Deserialize, IntoParams)]
pub struct Purging {
    /// `true` also deletes the user's packages, and the organizations that have no other member.
    #[serde(default)]
    #[param(value_type = bool)]
    purge: String,
}

/// `DELETE /admin/users/{user}`.
pub async fn delete(call: Call, query: Query<Purging>) -> Result<NoContent> {
    let name: OwnerName = call.part("user", What::User).await?;
    let query = query.read();
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        let query = query.as_ref().map_err(|error| Error::invalid("query", error.to_string()))?;
        let purge = match query.purge.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" | "t" => true,
            "" | "false" | "0" | "off" | "no" | "f" => false,
            _ => return Err(Error::invalid("purge", "purge: true or false")),
        };
        users::delete(conn, caller, &right, purge, now)
    })
    .await?;
    Ok(NoContent)
}

/// The body of `POST /admin/users/{user}/rename`.
#[derive(Deserialize, ToSchema)]
pub struct RenameUser {
    new_username: OwnerName,
}

/// `POST /admin/users/{user}/rename`.
pub async fn rename(call: Call, body: JsonBody<RenameUser>) -> Result<NoContent> {
    let name: OwnerName = call.part("user", What::User).await?;
    let of = name.clone();
    call.admit(move |conn, caller| can_administer(conn, caller, &of).map(drop)).await?;
    let to = body.read(&call.app).await?.new_username;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        users::rename(conn, caller, &right, &to, now)
    })
    .await?;
    Ok(NoContent)
}

/// `GET /admin/orgs`.
pub async fn list_orgs(call: Call, pages: Pages) -> Result<Listed<OrgBody>> {
    let slice = pages.slice();
    let page = call.reading(move |conn, caller| orgs::list(conn, caller, Which::All, slice)).await?;
    Ok(pages.answer(page, OrgBody::from))
}

/// `POST /admin/users/{user}/orgs`.
pub async fn create_org(call: Call, body: JsonBody<CreateOrg>) -> Result<Created<OrgBody>> {
    let user: OwnerName = call.part("user", What::User).await?;
    let of = user.clone();
    call.admit(move |conn, caller| {
        caller.demand_any_owner()?;
        can_administer(conn, caller, &of).map(drop)
    })
    .await?;
    let new = body.read(&call.app).await?.into_new();
    let now = call.app.clock.now();
    let org = call
        .writing(move |conn, caller| {
            let id = org_creation::create_for(conn, caller, &user, &new, now)?;
            orgs::find(conn, id)?.ok_or(Error::NotFound(What::Organization))
        })
        .await?;
    Ok(Created(OrgBody::from(org)))
}
