//! Users.

use super::endpoint::{Body, Created, Json};
use super::fields::{given, given_schema};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::Visibility;
use crate::domain::secret::Password;
use crate::domain::text::Line;
use crate::error::{Error, Result, What};
use crate::http::params::escape;
use crate::registry::releases::Person;
use crate::registry::users::{self, NewUser, User};
use crate::state::App;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user, as he himself and administrators see him.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    id: OwnerId,
    login: OwnerName,
    username: OwnerName,
    full_name: String,
    /// Empty for whom it does not concern.
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

impl UserBody {
    /// The name to sign in with.
    pub(super) fn login(&self) -> &str {
        self.login.as_str()
    }

    /// An owner as everybody sees it: what only he himself and administrators may know is left empty.
    pub(super) fn of_person(app: &App, person: Person) -> Self {
        Self {
            id: person.id,
            login: person.name.clone(),
            html_url: app.url(&format!("/{}", escape(person.name.as_str()))),
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

    fn new(app: &App, user: User) -> Self {
        Self {
            id: user.id,
            login: user.name.clone(),
            html_url: app.url(&format!("/{}", escape(user.name.as_str()))),
            username: user.name,
            full_name: user.full_name,
            email: user.email,
            avatar_url: String::new(),
            is_admin: user.is_admin,
            active: user.is_active,
            prohibit_login: user.is_locked,
            visibility: user.visibility,
            created: user.created_at,
            last_login: user.last_login_at,
        }
    }
}

/// `GET /user`.
pub async fn me(call: Call) -> Result<Json<UserBody>> {
    let user = call
        .reading(|conn, caller| {
            let name = caller.signed_in()?.name.clone();
            users::find(conn, &name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(Json(UserBody::new(&call.app, user)))
}

/// The body of `POST /admin/users`.
#[derive(Deserialize, ToSchema)]
pub struct CreateUser {
    username: OwnerName,
    email: Email,
    #[schema(format = Password, min_length = 12, max_length = 1024)]
    password: String,
    full_name: Option<Line>,
    must_change_password: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

/// `POST /admin/users`.
pub async fn create(call: Call, body: Body<CreateUser>) -> Result<Created<UserBody>> {
    call.admit(|_, _| Ok(())).await?;
    let body = body.read(&call.app).await?;
    let password = Password::new(body.password);
    password
        .check_new(&[body.username.as_str(), body.email.as_str()])
        .map_err(|error| Error::invalid("password", format!("password: {error}")))?;
    let new = NewUser {
        password_hash: Some(call.app.passwords.hash(password).await?),
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
