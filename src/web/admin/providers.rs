//! The sign-in providers of the configuration, and a test of each.

use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::sign_in::PasswordSignIn;
use crate::error::Result;
use crate::oidc::{Diagnosis, Provider};
use crate::web::oidc::{provider_of, redirect_uri};
use crate::web::page::{Frame, Reply, frame};
use askama::Template;

/// A provider in the list.
struct Line {
    name: String,
    label: String,
    issuer: String,
    client_id: String,
    redirect_uri: String,
    test_url: String,
    failure: Option<String>,
}

impl Line {
    fn of(call: &Call, provider: &Provider) -> Self {
        let config = provider.config();
        Self {
            name: config.name.to_string(),
            label: config.label().to_owned(),
            issuer: config.issuer.clone(),
            client_id: config.client_id.clone(),
            redirect_uri: redirect_uri(call, provider),
            test_url: address::admin_provider(&config.name),
            failure: provider.failure().map(|failure| failure.to_string()),
        }
    }
}

#[derive(Template)]
#[template(path = "admin_providers.html")]
struct ProvidersPage {
    frame: Frame,
    passwords: &'static str,
    lines: Vec<Line>,
    /// The provider that was tested, and the results.
    tested: Option<(String, Diagnosis)>,
}

async fn page(call: &Call, tested: Option<(String, Diagnosis)>) -> Result<Reply> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let passwords = match call.app.config.auth.password_sign_in {
        PasswordSignIn::Everybody => "Everybody may sign in with a password.",
        PasswordSignIn::Administrators => "Only administrators may sign in with a password.",
        PasswordSignIn::Nobody => "Nobody may sign in with a password.",
    };
    let lines = call.app.oidc.all().iter().map(|provider| Line::of(call, provider)).collect();
    Reply::page(&ProvidersPage { frame, passwords, lines, tested })
}

/// `GET /-/admin/sign-in`.
pub async fn list(call: Call) -> Result<Reply> {
    page(&call, None).await
}

/// `GET /-/admin/sign-in/{provider}`: tests a provider.
pub async fn test(call: Call) -> Result<Reply> {
    // Only administrators may make this server call another.
    call.admit(|_, _| Ok(())).await?;
    let provider = provider_of(&call).await?;
    let diagnosis = provider.diagnose(&redirect_uri(&call, &provider), call.app.clock.now()).await;
    page(&call, Some((provider.config().label().to_owned(), diagnosis))).await
}
