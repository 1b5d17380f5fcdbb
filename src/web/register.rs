//! Self-registration, if the site's settings allow it.

use super::forms::Protected;
use super::login;
use super::page::{Frame, Reply, frame, within_site};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::password;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::secret::Password;
use crate::domain::sign_in::PasswordSignIn;
use crate::error::{Error, Result, What};
use crate::http::request_log::client;
use crate::mailer::is_deliverable;
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
    /// The allowed domains of email addresses; empty allows any.
    domains: Vec<String>,
    needs_approval: bool,
}

/// The form as typed.
#[derive(Deserialize, Default)]
pub struct Account {
    username: String,
    email: String,
    password: String,
    again: String,
    #[serde(default)]
    back: String,
}

const WELCOME: &str = "Welcome! Your account has been created.";
const WELCOME_LINK: &str =
    "Welcome! Your account has been created. Open the link in the email that we sent you to confirm your address.";

/// Checks that the site lets people register; otherwise the page is not found. They choose a password, so passwords must
/// be for everybody.
fn demand_open(call: &Call) -> Result<()> {
    let config = &call.app.config;
    let is_open = config.registration.enabled && config.auth.password_sign_in == PasswordSignIn::Everybody;
    if is_open { Ok(()) } else { Err(Error::NotFound(What::Page)) }
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
            let told = match call.app.sends_mail() {
                true => {
                    "Account created. Open the link in the email that we sent you to confirm your address. You can \
                         sign in once an administrator has approved your account."
                }
                false => "Account created. You can sign in once an administrator has approved it.",
            };
            Ok(Reply::to("/login").notice(&call.app, told))
        }
        Ok(user) => {
            let reply = login::begin_quietly(&call, user, &within_site(&fields.back)).await?;
            Ok(reply.notice(&call.app, if call.app.sends_mail() { WELCOME_LINK } else { WELCOME }))
        }
        Err(error) => {
            let problems = Problems::of(error, "username")?;
            let fields = Account { password: String::new(), again: String::new(), ..fields };
            let page = page(&call, problems, fields).await?;
            page.problems.reply(&page)
        }
    }
}

/// The new account from the form, checked except for the password.
fn check(call: &Call, fields: &Account) -> Result<(OwnerName, Email, Password)> {
    let wrong = |field, error: &dyn std::fmt::Display| Error::invalid(field, error.to_string());
    let name: OwnerName = fields.username.trim().parse().map_err(|error| wrong("username", &error))?;
    let email: Email = fields.email.trim().parse().map_err(|error| wrong("email", &error))?;
    if call.app.sends_mail() && !is_deliverable(email.as_str()) {
        return Err(Error::invalid("email", "no mail can be sent to this address: check its spelling"));
    }
    let domains = &call.app.config.registration.email_domains;
    let lower = email.lower();
    let domain = lower.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    if !domains.is_empty() && !domains.iter().any(|allowed| allowed.to_lowercase() == domain) {
        return Err(Error::invalid(
            "email",
            format!("this email address is not allowed: use an address at {}", domains.join(", ")),
        ));
    }
    let password = Password::new(fields.password.clone());
    password::check_new("password", &password, &[name.as_str(), email.as_str()])?;
    if fields.password != fields.again {
        return Err(Error::invalid("again", "the passwords do not match: type the password twice"));
    }
    Ok((name, email, password))
}

async fn make(call: &Call, fields: &Account) -> Result<(OwnerId, i32)> {
    let (name, email, password) = check(call, fields)?;
    let now = call.app.clock.now();
    // Every attempt counts, because the answer reveals which names are taken, and hashing takes time.
    let buckets = attempts::registration_buckets(client(&call.req));
    call.app.db.write(move |conn| attempts::take(conn, &buckets, now)).await?;
    let password_hash = call.app.passwords.hash(password).await?;
    let needs_approval = call.app.config.registration.needs_approval;
    let new = Registration { name, email, password_hash, needs_approval };
    let key = call.app.key.clone();
    call.writing(move |conn, caller| register(conn, caller, (&new, &key), now)).await
}
