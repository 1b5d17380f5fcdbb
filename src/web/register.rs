//! Making an account for oneself, where the site's settings let people do so.

use super::forms::Protected;
use super::login;
use super::page::{Frame, Reply, frame, within_site};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::password;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::secret::Password;
use crate::error::{Error, Result, What};
use crate::http::request_log::client;
use crate::registry::accounts::attempts;
use crate::registry::accounts::users::{Registration, register};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    frame: Frame,
    problems: Problems,
    fields: Account,
    /// The only domains of e-mail addresses; none: any.
    domains: Vec<String>,
    needs_approval: bool,
}

/// The form, as it was typed.
#[derive(Deserialize, Default)]
pub struct Account {
    username: String,
    email: String,
    password: String,
    again: String,
    #[serde(default)]
    back: String,
}

/// Whether the site lets people register; where it does not there is nothing here.
fn demand_open(call: &Call) -> Result<()> {
    if call.app.config.registration.enabled { Ok(()) } else { Err(Error::NotFound(What::Page)) }
}

async fn page(call: &Call, problems: Problems, fields: Account) -> Result<RegisterPage> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let settings = &call.app.config.registration;
    let (domains, needs_approval) = (settings.email_domains.clone(), settings.needs_approval);
    Ok(RegisterPage { frame, problems, fields, domains, needs_approval })
}

/// `GET /register`.
pub async fn form(call: Call) -> Result<Reply> {
    demand_open(&call)?;
    let fields = Account { back: login::back(&call), ..Account::default() };
    let page = page(&call, Problems::default(), fields).await?;
    if page.frame.user.is_some() {
        return Ok(Reply::to(&page.fields.back));
    }
    Reply::page(&page)
}

/// `POST /register`.
pub async fn submit(call: Call, form: Protected<Account>) -> Result<Reply> {
    demand_open(&call)?;
    let fields = form.read(&call).await?;
    match make(&call, &fields).await {
        Ok(_) if call.app.config.registration.needs_approval => {
            let told = "Your account is made. You can sign in once an administrator has approved it.";
            Ok(Reply::to("/login").notice(&call.app, told))
        }
        Ok(user) => {
            let reply = login::begin(&call, user, None, &within_site(&fields.back)).await?;
            Ok(reply.notice(&call.app, "Welcome! Your account is made."))
        }
        Err(error) => {
            let problems = Problems::of(error, "username")?;
            let fields = Account { password: String::new(), again: String::new(), ..fields };
            let page = page(&call, problems, fields).await?;
            page.problems.reply(&page)
        }
    }
}

/// What was typed, as an account that may be made here; its password is not looked at yet.
fn check(call: &Call, fields: &Account) -> Result<(OwnerName, Email, Password)> {
    let wrong = |field, error: &dyn std::fmt::Display| Error::invalid(field, error.to_string());
    let name: OwnerName = fields.username.trim().parse().map_err(|error| wrong("username", &error))?;
    let email: Email = fields.email.trim().parse().map_err(|error| wrong("email", &error))?;
    let domains = &call.app.config.registration.email_domains;
    let lower = email.lower();
    let domain = lower.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    if !domains.is_empty() && !domains.iter().any(|allowed| allowed.to_lowercase() == domain) {
        return Err(Error::invalid("email", format!("only addresses at {} are accepted here", domains.join(", "))));
    }
    let password = Password::new(fields.password.clone());
    password::check_new("password", &password, &[name.as_str(), email.as_str()])?;
    if fields.password != fields.again {
        return Err(Error::invalid("again", "the two are not the same: type the password twice"));
    }
    Ok((name, email, password))
}

async fn make(call: &Call, fields: &Account) -> Result<(OwnerId, i32)> {
    let (name, email, password) = check(call, fields)?;
    let now = call.app.clock.now();
    // Counted whatever comes of it: names that are taken are told, and hashing takes time.
    let buckets = attempts::registration_buckets(client(&call.req));
    call.app.db.write(move |conn| attempts::take(conn, &buckets, now)).await?;
    let password_hash = call.app.passwords.hash(password).await?;
    let needs_approval = call.app.config.registration.needs_approval;
    let new = Registration { name, email, password_hash, needs_approval };
    call.writing(move |conn, caller| register(conn, caller, &new, now)).await
}
