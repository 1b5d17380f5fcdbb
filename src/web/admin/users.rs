//! The list of all users, and creating one.

use crate::auth::call::Call;
use crate::auth::{confirm, password};
use crate::domain::address;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use crate::domain::secret::Password;
use crate::domain::text::Line;
use crate::error::{Error, Result};
use crate::mailer::is_deliverable;
use crate::registry::accounts::invitations;
use crate::registry::accounts::users::{self, FoundOrder, NewUser, Standing, User};
use crate::registry::packages::quotas;
use crate::web::format::{Bytes, When};
use crate::web::forms::Protected;
use crate::web::list::{Pager, query, slice};
use crate::web::page::{Frame, Reply, frame};
use crate::web::problems::Problems;
use askama::Template;
use serde::Deserialize;

/// A row in the list of users.
struct UserListRow {
    user: User,
    created: When,
    last_login: Option<When>,
    /// The size of all files of the user.
    bytes: Bytes,
}

#[derive(Template)]
#[template(path = "admin_users.html")]
struct UsersPage {
    frame: Frame,
    q: String,
    standing: &'static str,
    sort: FoundOrder,
    users: Vec<UserListRow>,
    pager: Pager,
}

/// The query of [`list`].
#[derive(Deserialize, Default)]
pub struct UserListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    standing: String,
    #[serde(default)]
    sort: String,
}

/// Parses the status filter in addresses.
fn standing(word: &str) -> (Standing, &'static str) {
    match word {
        "admin" => (Standing::Admin, "admin"),
        "locked" => (Standing::Locked, "locked"),
        "inactive" => (Standing::Inactive, "inactive"),
        _ => (Standing::Any, ""),
    }
}

/// `GET /-/admin/users`.
pub async fn list(call: Call) -> Result<Reply> {
    let asked: UserListQuery = query(&call.req);
    let (among, word) = standing(&asked.standing);
    let sort = match asked.sort.as_str() {
        "size" => FoundOrder::Size,
        "sign-in" => FoundOrder::SignIn,
        _ => FoundOrder::Name,
    };
    let (part, slice, now) = (asked.q.trim().to_owned(), slice(&call.req), call.app.clock.now());
    let (frame, (page, usage)) = frame(&call, move |conn, caller| {
        let page = users::search_among(conn, caller, (&part, None, among, sort), slice)?;
        let ids: Vec<OwnerId> = page.items.iter().map(|user| user.id).collect();
        Ok((page, quotas::usage_of_all(conn, &ids)?))
    })
    .await?;
    let pager = Pager::new(&call.req, page.total);
    let shown = |user: User| UserListRow {
        created: When { at: user.created_at, now },
        last_login: user.last_login_at.map(|at| When { at, now }),
        bytes: Bytes(usage.get(&user.id).map_or(0, |usage| usage.bytes)),
        user,
    };
    let users = page.items.into_iter().map(shown).collect();
    Reply::page(&UsersPage { frame, q: asked.q, standing: word, sort, users, pager })
}

/// The form that creates a user.
#[derive(Deserialize, Default)]
pub struct NewFields {
    #[serde(default)]
    username: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    full_name: String,
    #[serde(default)]
    visibility: String,
    /// Empty to generate one.
    #[serde(default)]
    password: String,
    #[serde(default)]
    must_change: Option<String>,
    /// Whether the user gets a link to choose a password.
    #[serde(default)]
    invite: Option<String>,
    #[serde(default)]
    is_admin: Option<String>,
    #[serde(default)]
    current_password: String,
}

#[derive(Template)]
#[template(path = "admin_user_new.html")]
struct NewPage {
    frame: Frame,
    typed: NewFields,
    problems: Problems,
}

/// The page that shows a generated password once.
#[derive(Template)]
#[template(path = "admin_password.html")]
pub(super) struct PasswordPage {
    pub frame: Frame,
    pub name: OwnerName,
    pub is_new: bool,
    pub secret: String,
    pub must_change: bool,
}

async fn new_page(call: &Call, typed: NewFields, problems: Problems) -> Result<NewPage> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    Ok(NewPage { frame, typed, problems })
}

/// `GET /-/admin/users/new`.
pub async fn new(call: Call) -> Result<Reply> {
    let on = || Some("on".to_owned());
    let typed = NewFields { must_change: on(), invite: on().filter(|_| call.app.sends_mail()), ..NewFields::default() };
    Reply::page(&new_page(&call, typed, Problems::default()).await?)
}

/// `POST /-/admin/users/new`.
pub async fn create(call: Call, form: Protected<NewFields>) -> Result<Reply> {
    let typed = form.read(&call).await?;
    let (secret, must_change) = (own_or_made(&typed.password), typed.must_change.is_some());
    let is_invited = is_invited(&call, &typed);
    match make(&call, &typed, &secret).await {
        Ok(name) if is_invited => {
            let notice = format!("User {name} created. They get an email with a link to choose a password.");
            Ok(Reply::to(&address::admin_user(&name)).notice(&call.app, &notice))
        }
        Ok(name) if typed.password.is_empty() => {
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            let secret = secret.reveal().to_owned();
            Reply::page(&PasswordPage { frame, name, is_new: true, secret, must_change })
        }
        Ok(name) => Ok(Reply::to(&address::admin_user(&name)).notice(&call.app, &format!("User {name} created."))),
        Err(problems) => {
            let page = new_page(&call, typed, problems?).await?;
            page.problems.reply(&page)
        }
    }
}

/// Whether the new user gets a link to choose a password, instead of a password.
fn is_invited(call: &Call, typed: &NewFields) -> bool {
    call.app.sends_mail() && typed.invite.is_some()
}

/// The typed password, or a generated one.
pub(super) fn own_or_made(typed: &str) -> Password {
    if typed.is_empty() { Password::generate() } else { Password::new(typed) }
}

/// Creates the user; errors that the administrator can fix come back as problems.
async fn make(call: &Call, typed: &NewFields, secret: &Password) -> Result<OwnerName, Result<Problems>> {
    let mut problems = Problems::default();
    let name: Option<OwnerName> = problems.take("username", typed.username.trim().parse());
    let email = problems.take("email", typed.email.trim().parse());
    let full_name = problems.take("full_name", typed.full_name.parse::<Line>());
    let visibility = problems.take("visibility", typed.visibility.parse::<Visibility>());
    let (Some(name), Some(email), Some(full_name), Some(visibility)) = (name, email, full_name, visibility) else {
        return Err(Ok(problems));
    };
    let mend = |error: Error| Problems::of(error, "username");
    let is_invited = is_invited(call, typed);
    if is_invited && !is_deliverable(typed.email.trim()) {
        return Err(Ok(Problems::on("email", "no mail can be sent to this address: check its spelling")));
    }
    if is_invited && !typed.password.is_empty() {
        return Err(Ok(Problems::on("password", "leave it empty: the invited user chooses a password")));
    }
    password::check_new("password", secret, &[name.as_str(), typed.email.trim()]).map_err(mend)?;
    confirm::password(call, &typed.current_password).await.map_err(mend)?;
    let new = NewUser {
        password_hash: match is_invited {
            true => None,
            false => Some(call.app.passwords.hash(secret.clone()).await.map_err(mend)?),
        },
        full_name: full_name.into(),
        visibility,
        is_admin: typed.is_admin.is_some(),
        must_change_password: typed.must_change.is_some() && !is_invited,
        name: name.clone(),
        email,
    };
    let (now, key) = (call.app.clock.now(), call.app.key.clone());
    let made = call
        .writing(move |conn, caller| match is_invited {
            true => invitations::create(conn, caller, (&new, &key), now).map(drop),
            false => users::create(conn, caller, &new, now).map(drop),
        })
        .await;
    made.map_err(mend)?;
    Ok(name)
}
