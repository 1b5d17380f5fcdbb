//! A user, and the changes an administrator can make. Changes that could take over an account ask for the
//! administrator's own password.

use super::users::{PasswordPage, own_or_made};
use crate::auth::call::Call;
use crate::auth::{confirm, password};
use crate::domain::address::{UserAction, admin_user, admin_user_action};
use crate::domain::mail::LinkKind;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::registry::access::can_administer;
use crate::registry::accounts::email_links::{self, PendingLink};
use crate::registry::accounts::identities::{self, Identity};
use crate::registry::accounts::users::{self, Holdings, User, UserEdit};
use crate::registry::accounts::{invitations, two_factor};
use crate::registry::owners::namespace::OwnerEdit;
use crate::web::format::{Bytes, Count, When};
use crate::web::forms::Protected;
use crate::web::identities::label;
use crate::web::login::Nothing;
use crate::web::page::{Frame, Reply, frame};
use crate::web::problems::Problems;
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "admin_user.html")]
struct UserPage {
    frame: Frame,
    user: User,
    holdings: Holdings,
    packages: Count,
    versions: Count,
    bytes: Bytes,
    created: When,
    last_login: Option<When>,
    /// When the user's open invitation was sent, and when it expires.
    invitation: Option<(When, When)>,
    /// The accounts of providers that the user signs in with: the provider, the account there, and the last use.
    linked: Vec<(String, String, Option<When>)>,
}

impl UserPage {
    fn at(&self, action: UserAction) -> String {
        admin_user_action(&self.user.name, action)
    }
}

/// The user in the path.
async fn named(call: &Call) -> Result<OwnerName> {
    let name = call.part("user", What::User).await?;
    call.about(&name);
    Ok(name)
}

/// What is known about a user.
struct Known {
    user: User,
    holdings: Holdings,
    invitation: Option<PendingLink>,
    identities: Vec<Identity>,
}

async fn look(call: &Call) -> Result<(Frame, Known)> {
    let (name, now) = (named(call).await?, call.app.clock.now());
    frame(call, move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        let user = users::find(conn, &name)?.ok_or(Error::NotFound(What::User))?;
        let invitation = email_links::pending(conn, user.id, LinkKind::Invitation, now)?;
        let identities = identities::list(conn, user.id)?;
        Ok(Known { user, holdings: users::holdings(conn, &right)?, invitation, identities })
    })
    .await
}

/// `GET /-/admin/users/{user}`.
pub async fn page(call: Call) -> Result<Reply> {
    let now = call.app.clock.now();
    let (frame, Known { user, holdings, invitation, identities }) = look(&call).await?;
    let linked = |identity: Identity| {
        let (label, used) = (label(&call, &identity), identity.last_used_at.map(|at| When { at, now }));
        (label, if identity.email.is_empty() { identity.subject } else { identity.email }, used)
    };
    let linked = identities.into_iter().map(linked).collect();
    let of_link = |link: PendingLink| (When { at: link.created_at, now }, When { at: link.expires_at, now });
    Reply::page(&UserPage {
        invitation: invitation.map(of_link),
        linked,
        frame,
        packages: Count(holdings.packages),
        versions: Count(holdings.usage.versions),
        bytes: Bytes(holdings.usage.bytes),
        created: When { at: user.created_at, now },
        last_login: user.last_login_at.map(|at| When { at, now }),
        holdings,
        user,
    })
}

/// `POST /-/admin/users/{user}/lock`.
pub async fn lock(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    set_locked(call, form, true).await
}

/// `POST /-/admin/users/{user}/unlock`.
pub async fn unlock(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    set_locked(call, form, false).await
}

async fn set_locked(call: Call, form: Protected<Nothing>, locked: bool) -> Result<Reply> {
    form.read(&call).await?;
    let (name, now) = (named(&call).await?, call.app.clock.now());
    let asked = name.clone();
    call.writing(move |conn, caller| {
        can_administer(conn, caller, &asked)?;
        users::set_locked(conn, caller, &asked, locked, now)
    })
    .await?;
    let notice = match locked {
        true => format!("{name} is locked: they are signed out everywhere and their access tokens are disabled."),
        false => format!("{name} is unlocked and can sign in again."),
    };
    Ok(Reply::to(&admin_user(&name)).notice(&call.app, &notice))
}

/// `POST /-/admin/users/{user}/invitation`.
pub async fn invite(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    call.app.demand_mail()?;
    let name = named(&call).await?;
    let (asked, key, now) = (name.clone(), call.app.key.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        invitations::resend(conn, caller, &right, &key, now)
    })
    .await?;
    Ok(Reply::to(&admin_user(&name)).notice(&call.app, &format!("{name} gets an email with a new invitation.")))
}

/// `POST /-/admin/users/{user}/invitation/withdraw`.
pub async fn withdraw_invitation(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    call.app.demand_mail()?;
    let (name, now) = (named(&call).await?, call.app.clock.now());
    let asked = name.clone();
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        invitations::withdraw(conn, caller, &right, now)
    })
    .await?;
    let notice = format!("The invitation of {name} is withdrawn. Their account stays; delete it if nobody needs it.");
    Ok(Reply::to(&admin_user(&name)).notice(&call.app, &notice))
}

/// `POST /-/admin/users/{user}/approve`.
pub async fn approve(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let name = named(&call).await?;
    let (asked, now) = (name.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        users::approve(conn, caller, &right, now)
    })
    .await?;
    Ok(Reply::to(&admin_user(&name)).notice(&call.app, &format!("{name} is approved and can sign in now.")))
}

async fn update(call: &Call, name: &OwnerName, edit: UserEdit) -> Result<()> {
    let (name, now) = (name.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        users::update(conn, caller, &right, &edit, now)
    })
    .await
}

/// The label of the button that takes all second factors and passkeys away.
pub(crate) fn factors_to_remove(holdings: &Holdings) -> &'static str {
    match (holdings.has_second_factor, holdings.passkeys) {
        (_, 0) => "Remove two-factor authentication",
        (true, _) => "Remove two-factor authentication and passkeys",
        (false, _) => "Remove passkeys",
    }
}

/// The changes that have a page of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Edit,
    Password,
    Role,
    /// Removing two-factor authentication, and passkeys.
    Factor,
    Rename,
    Delete,
}

/// The fields of all the forms.
#[derive(Debug, Deserialize, Default)]
pub struct Fields {
    #[serde(default)]
    email: String,
    #[serde(default)]
    full_name: String,
    #[serde(default)]
    visibility: String,
    #[serde(default)]
    new_username: String,
    /// Empty to generate one.
    #[serde(default)]
    password: String,
    #[serde(default)]
    must_change: Option<String>,
    #[serde(default)]
    purge: Option<String>,
    #[serde(default)]
    current_password: String,
}

#[derive(Template)]
#[template(path = "admin_user_change.html")]
struct ChangePage {
    frame: Frame,
    kind: Kind,
    user: User,
    holdings: Holdings,
    packages: Count,
    versions: Count,
    bytes: Bytes,
    tokens: Count,
    typed: Fields,
    problems: Problems,
}

impl ChangePage {
    fn back(&self) -> String {
        admin_user(&self.user.name)
    }

    /// The heading, which is the title too.
    fn title(&self) -> String {
        let name = &self.user.name;
        match self.kind {
            Kind::Edit => format!("Edit {name}'s profile"),
            Kind::Password => format!("Reset {name}'s password"),
            Kind::Role if self.user.is_admin => format!("Remove administrator rights from {name}"),
            Kind::Role => format!("Grant administrator rights to {name}"),
            Kind::Factor => format!("{} from {name}", factors_to_remove(&self.holdings)),
            Kind::Rename => format!("Change {name}'s username"),
            Kind::Delete => format!("Delete user {name}"),
        }
    }

    /// The address of this page, which is also the address of its form.
    fn url(&self) -> String {
        let action = match self.kind {
            Kind::Edit => UserAction::Edit,
            Kind::Password => UserAction::Password,
            Kind::Role => UserAction::Role,
            Kind::Factor => UserAction::SecondFactor,
            Kind::Rename => UserAction::Rename,
            Kind::Delete => UserAction::Delete,
        };
        admin_user_action(&self.user.name, action)
    }
}

async fn change_page(call: &Call, kind: Kind, typed: Option<Fields>, problems: Problems) -> Result<ChangePage> {
    let (frame, Known { user, holdings, .. }) = look(call).await?;
    let typed = typed.unwrap_or_else(|| Fields {
        email: user.email.clone(),
        full_name: user.full_name.clone(),
        visibility: user.visibility.as_str().to_owned(),
        new_username: user.name.to_string(),
        must_change: Some("on".to_owned()),
        ..Fields::default()
    });
    Ok(ChangePage {
        frame,
        kind,
        packages: Count(holdings.packages),
        versions: Count(holdings.usage.versions),
        bytes: Bytes(holdings.usage.bytes),
        tokens: Count(holdings.tokens),
        user,
        holdings,
        typed,
        problems,
    })
}

async fn form(call: Call, kind: Kind) -> Result<Reply> {
    Reply::page(&change_page(&call, kind, None, Problems::default()).await?)
}

/// `GET /-/admin/users/{user}/edit`.
pub async fn edit_form(call: Call) -> Result<Reply> {
    form(call, Kind::Edit).await
}

/// `GET /-/admin/users/{user}/password`.
pub async fn password_form(call: Call) -> Result<Reply> {
    form(call, Kind::Password).await
}

/// `GET /-/admin/users/{user}/role`.
pub async fn role_form(call: Call) -> Result<Reply> {
    form(call, Kind::Role).await
}

/// `GET /-/admin/users/{user}/second-factor`.
pub async fn factor_form(call: Call) -> Result<Reply> {
    form(call, Kind::Factor).await
}

/// `GET /-/admin/users/{user}/rename`.
pub async fn rename_form(call: Call) -> Result<Reply> {
    form(call, Kind::Rename).await
}

/// `GET /-/admin/users/{user}/delete`.
pub async fn delete_form(call: Call) -> Result<Reply> {
    form(call, Kind::Delete).await
}

/// `POST /-/admin/users/{user}/edit`.
pub async fn edit(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Edit).await
}

/// `POST /-/admin/users/{user}/password`.
pub async fn set_password(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Password).await
}

/// `POST /-/admin/users/{user}/role`.
pub async fn set_role(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Role).await
}

/// `POST /-/admin/users/{user}/second-factor`.
pub async fn reset_factor(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Factor).await
}

/// `POST /-/admin/users/{user}/rename`.
pub async fn rename(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Rename).await
}

/// `POST /-/admin/users/{user}/delete`.
pub async fn delete(call: Call, form: Protected<Fields>) -> Result<Reply> {
    submit(call, form, Kind::Delete).await
}

async fn submit(call: Call, form: Protected<Fields>, kind: Kind) -> Result<Reply> {
    let typed = form.read(&call).await?;
    let name = named(&call).await?;
    let done = match kind {
        Kind::Edit => change_facts(&call, &name, &typed).await,
        Kind::Password => change_password(&call, &name, &typed).await,
        Kind::Role => change_role(&call, &name, &typed).await,
        Kind::Factor => take_factor(&call, &name, &typed).await,
        Kind::Rename => change_name(&call, &name, &typed).await,
        Kind::Delete => go(&call, &name, &typed).await,
    };
    match done {
        Ok(reply) => Ok(reply),
        Err(error) => {
            let problems = Problems::of(error, "new_username")?;
            let page = change_page(&call, kind, Some(typed), problems).await?;
            page.problems.reply(&page)
        }
    }
}

async fn change_facts(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    let wrong = |field: &'static str, error: &dyn std::fmt::Display| Error::invalid(field, format!("{field}: {error}"));
    let visibility: Visibility = typed.visibility.parse().map_err(|error| wrong("visibility", &error))?;
    let edit = UserEdit {
        email: Some(typed.email.trim().parse().map_err(|error| wrong("email", &error))?),
        owner: OwnerEdit {
            full_name: Some(typed.full_name.parse().map_err(|error| wrong("full_name", &error))?),
            visibility: Some(visibility),
            ..OwnerEdit::default()
        },
        ..UserEdit::default()
    };
    confirm::password(call, &typed.current_password).await?;
    update(call, name, edit).await?;
    Ok(Reply::to(&admin_user(name)).notice(&call.app, &format!("Profile of {name} saved.")))
}

async fn change_password(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    let secret = own_or_made(&typed.password);
    let asked = name.clone();
    let user = call.reading(move |conn, _| users::find(conn, &asked)).await?.ok_or(Error::NotFound(What::User))?;
    password::check_new("password", &secret, &[user.name.as_str(), &user.email])?;
    confirm::password(call, &typed.current_password).await?;
    let must_change = typed.must_change.is_some();
    let edit = UserEdit {
        password_hash: Some(call.app.passwords.hash(secret.clone()).await?),
        must_change_password: Some(must_change),
        ..UserEdit::default()
    };
    update(call, name, edit).await?;
    if !typed.password.is_empty() {
        return Ok(Reply::to(&admin_user(name)).notice(&call.app, &format!("The password of {name} has been reset.")));
    }
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let secret = secret.reveal().to_owned();
    Reply::page(&PasswordPage { frame, name: user.name, is_new: false, secret, must_change })
}

async fn change_role(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    confirm::password(call, &typed.current_password).await?;
    let (asked, now) = (name.clone(), call.app.clock.now());
    let is_admin = call
        .writing(move |conn, caller| {
            let right = can_administer(conn, caller, &asked)?;
            let user = users::find(conn, &asked)?.ok_or(Error::NotFound(What::User))?;
            let is_admin = !user.is_admin;
            let edit = UserEdit { is_admin: Some(is_admin), ..UserEdit::default() };
            users::update(conn, caller, &right, &edit, now).map(|()| is_admin)
        })
        .await?;
    let words = if is_admin { "is now a site administrator" } else { "is no longer a site administrator" };
    Ok(Reply::to(&admin_user(name))
        .notice(&call.app, &format!("{name} {words}. They have been signed out everywhere.")))
}

async fn take_factor(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    confirm::password(call, &typed.current_password).await?;
    let (asked, now) = (name.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        two_factor::reset(conn, caller, &right, now)
    })
    .await?;
    let notice = format!(
        "{name} now signs in with only a password until they set up two-factor authentication or passkeys again."
    );
    Ok(Reply::to(&admin_user(name)).notice(&call.app, &notice))
}

async fn change_name(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    let wrong = |error| Error::invalid("new_username", format!("new_username: {error}"));
    let to: OwnerName = typed.new_username.trim().parse().map_err(wrong)?;
    let (asked, target, now) = (name.clone(), to.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        users::rename(conn, caller, &right, &target, now)
    })
    .await?;
    let notice =
        format!("{name} has been renamed to {to}. The old name redirects to the new one until someone takes it.");
    Ok(Reply::to(&admin_user(&to)).notice(&call.app, &notice))
}

async fn go(call: &Call, name: &OwnerName, typed: &Fields) -> Result<Reply> {
    confirm::password(call, &typed.current_password).await?;
    let (asked, purge, now) = (name.clone(), typed.purge.is_some(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &asked)?;
        users::delete(conn, caller, &right, purge, now)
    })
    .await?;
    Ok(Reply::to("/-/admin/users").notice(&call.app, &format!("User {name} deleted.")))
}
