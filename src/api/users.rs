//! Users.

use super::{AppData, admit, answer_json, error, json, parsed, required, signed_in};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::{Area, Level, Visibility};
use crate::domain::secret::Password;
use crate::domain::text::Line;
use crate::error::{Error, Result, What};
use crate::http::params::escape;
use crate::registry::releases::Person;
use crate::registry::users::{self, NewUser, User};
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A user, as he himself and administrators see him.
#[derive(Debug, Clone, Serialize)]
pub(super) struct UserBody {
    id: OwnerId,
    login: OwnerName,
    username: OwnerName,
    full_name: String,
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
pub(super) async fn me(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_me(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_me(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = signed_in(req, app).await?;
    let user = presented
        .reading(req, app, |conn, caller| {
            caller.demand(Area::User, Level::Read)?;
            let name = caller.signed_in()?.name.clone();
            users::find(conn, &name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(answer_json(StatusCode::OK, &UserBody::new(app, user)))
}

/// The body of `POST /admin/users`.
#[derive(Debug, Deserialize)]
struct CreateUser {
    username: Option<String>,
    email: Option<String>,
    password: Option<String>,
    #[serde(default)]
    full_name: String,
    must_change_password: Option<bool>,
    visibility: Option<String>,
}

/// `POST /admin/users`.
pub(super) async fn create(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_create(&req, payload, &app).await;
    error::answer(&req, &app, result)
}

async fn try_create(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = admit(req, app, |_, caller| caller.demand_admin(Level::Write)).await?;
    let body: CreateUser = json(app, payload).await?;
    let name: OwnerName = parsed(&required(body.username, "username")?, "username")?;
    let email: Email = parsed(&required(body.email, "email")?, "email")?;
    let full_name: Line = parsed(&body.full_name, "full_name")?;
    let password = Password::new(required(body.password, "password")?);
    password
        .check_new(&[name.as_str(), email.as_str()])
        .map_err(|error| Error::invalid("password", error.to_string()))?;
    let new = NewUser {
        password_hash: Some(app.passwords.hash(password).await?),
        full_name: full_name.into(),
        visibility: body.visibility.map_or(Ok(Visibility::Public), |word| parsed(&word, "visibility"))?,
        is_admin: false,
        must_change_password: body.must_change_password.unwrap_or(false),
        name,
        email,
    };
    let now = app.clock.now();
    let user = presented
        .writing(req, app, move |conn, caller| {
            caller.demand_admin(Level::Write)?;
            users::create(conn, caller, &new, now)?;
            users::find(conn, &new.name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(answer_json(StatusCode::CREATED, &UserBody::new(app, user)))
}
