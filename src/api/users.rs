//! Users, as they see each other. [`super::admin`] has the administrator endpoints.

use super::endpoint::{Json, Listed, Pages, Query, Searched};
use super::fields::or_empty;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::registry::accounts::users::{self, User};
use crate::registry::caller::Caller;
use crate::registry::owners::person::Person;
use crate::state::App;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A user or organization, as a part of another body.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Person)]
pub struct PersonBody {
    /// -1 for Gitea's Ghost, who stands for a deleted user.
    #[schema(value_type = i64, minimum = -1)]
    id: OwnerId,
    login: OwnerName,
    username: OwnerName,
    full_name: String,
    /// Empty unless the caller may see it.
    email: String,
    avatar_url: String,
    html_url: String,
    is_admin: bool,
    active: bool,
    prohibit_login: bool,
    visibility: Visibility,
    created: Timestamp,
    last_login: Option<Timestamp>,
}

/// A user. Fields that concern only the user and administrators are empty for everyone else.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    #[serde(flatten)]
    person: PersonBody,
    location: String,
    website: String,
    description: String,
}

impl PersonBody {
    /// An owner as everybody sees it: fields that only the owner and administrators may see are empty.
    pub(super) fn new(app: &App, person: Person) -> Self {
        Self {
            id: person.id,
            login: person.name.clone(),
            html_url: app.url(&address::owner_page(&person.name)),
            username: person.name,
            full_name: person.full_name,
            email: String::new(),
            avatar_url: String::new(),
            is_admin: false,
            active: false,
            prohibit_login: false,
            visibility: person.visibility,
            created: person.created_at,
            last_login: None,
        }
    }

    /// The name to sign in with.
    pub(super) fn login(&self) -> &OwnerName {
        &self.login
    }
}

impl UserBody {
    /// A user with all the fields that the registry filled in.
    pub(super) fn new(app: &App, user: User) -> Self {
        let User { id, name, full_name, visibility, created_at, .. } = user;
        let person = PersonBody {
            email: user.email,
            is_admin: user.is_admin,
            active: user.is_active,
            prohibit_login: user.is_locked,
            last_login: user.last_login_at,
            ..PersonBody::new(app, Person { id, name, full_name, visibility, created_at })
        };
        let profile = user.profile;
        Self { person, location: profile.location, website: profile.website, description: profile.description }
    }
}

/// The signed-in user.
pub(super) fn own(conn: &mut Connection, caller: &Caller) -> Result<User> {
    let name = &caller.signed_in()?.name;
    users::find(conn, name)?.ok_or(Error::NotFound(What::User))
}

/// `GET /user`.
pub async fn me(call: Call) -> Result<Json<UserBody>> {
    let user = call.reading(own).await?;
    Ok(Json(UserBody::new(&call.app, user)))
}

/// `GET /users/{user}`.
pub async fn get(call: Call) -> Result<Json<UserBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let user = call.reading(move |conn, caller| users::see(conn, caller, &name)).await?;
    Ok(Json(UserBody::new(&call.app, user)))
}

/// `GET /users/{user}/repos`: always empty, because there are no Git repositories here.
pub async fn list_repositories(call: Call, pages: Pages) -> Result<Listed<Value>> {
    let name: OwnerName = call.part("user", What::User).await?;
    call.reading(move |conn, caller| users::see(conn, caller, &name).map(drop)).await?;
    Ok(pages.none())
}

/// The query of [`search`].
#[derive(Deserialize, IntoParams)]
pub struct UserQuery {
    /// A part of the name or the full name, ignoring case; for administrators, also of the email address.
    #[serde(default)]
    q: String,
    /// Only the user with this id; 0 for any.
    #[serde(default)]
    #[param(schema_with = or_empty::<i64>)]
    uid: String,
}

/// `GET /users/search`.
pub async fn search(call: Call, query: Query<UserQuery>, pages: Pages) -> Result<Searched<UserBody>> {
    let query = query.read();
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let UserQuery { q, uid } = query.as_ref().map_err(|error| Error::invalid("query", error.to_string()))?;
            let id: Option<i64> = match uid.as_str() {
                "" | "0" => None,
                uid => Some(uid.parse().map_err(|_| Error::invalid("uid", "uid: the id of a user is a number"))?),
            };
            users::search(conn, caller, q.trim(), id.map(OwnerId), slice)
        })
        .await?;
    Ok(pages.found(page, |user| UserBody::new(&call.app, user)))
}
