//! Exchanging identity tokens of other systems' jobs for tokens of trusted publishers.

use super::endpoint::{Answer, Input, Json, JsonBody};
use super::oauth_error::{OAuthError, Refused};
use crate::auth::call::Call;
use crate::auth::identity_token;
use crate::domain::clock::Timestamp;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::PackagePattern;
use crate::error::{Error, Result};
use crate::http::description::{Description, integer};
use crate::http::problem::Problem;
use crate::registry::owners::publishers::{TOKEN_LIFE, TOKEN_SCOPE, WantedPublisher};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::future::{Ready, ready};
use utoipa::ToSchema;

/// The grant type of a token exchange (RFC 8693 §2.1).
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The types of token that can be exchanged (RFC 8693 §3).
const SUBJECT_TOKEN_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
/// The type of the token that is given for it.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The JSON body of `POST /oidc/token`: an identity token as `jwt`, or the fields of RFC 8693.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExchangeIdentityToken {
    /// The identity token.
    jwt: Option<String>,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`, if the identity token is in `subject_token`.
    grant_type: Option<String>,
    /// The identity token.
    subject_token: Option<String>,
    /// `urn:ietf:params:oauth:token-type:jwt` or `urn:ietf:params:oauth:token-type:id_token`.
    subject_token_type: Option<String>,
    /// The owner to publish to: needed if publishers of several owners accept the identity token.
    #[schema(value_type = Option<OwnerName>)]
    owner: Option<String>,
    /// A package to publish to: it chooses among several publishers of an owner that accept the identity token.
    #[schema(value_type = Option<PackageName>)]
    package: Option<String>,
}

/// The form of `POST /oidc/token`, as RFC 8693 §2.1 defines it. Its other parameters are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes the form, which ExchangeIdentityToken reads")]
struct TokenExchangeForm {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
    grant_type: String,
    /// The identity token.
    subject_token: String,
    /// `urn:ietf:params:oauth:token-type:jwt` or `urn:ietf:params:oauth:token-type:id_token`.
    subject_token_type: String,
    /// The owner to publish to: needed if publishers of several owners accept the identity token.
    #[schema(value_type = Option<OwnerName>)]
    owner: Option<String>,
    /// A package to publish to: it chooses among several publishers of an owner that accept the identity token.
    #[schema(value_type = Option<PackageName>)]
    package: Option<String>,
}

/// The body of an exchange, in either coding.
pub struct ExchangeBody(JsonBody<ExchangeIdentityToken>);

impl FromRequest for ExchangeBody {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(JsonBody::from_request(req, payload).into_inner().map(Self))
    }
}

impl Input for ExchangeBody {
    fn describe(description: &mut Description) {
        JsonBody::<ExchangeIdentityToken>::describe(description);
        description.takes_form::<TokenExchangeForm>();
    }
}

impl ExchangeIdentityToken {
    /// Whether these are the fields of another grant than a token exchange.
    fn is_other_grant(&self) -> bool {
        self.grant_type.as_deref().is_some_and(|grant| grant != TOKEN_EXCHANGE)
    }

    /// The identity token, and which publisher is meant.
    fn check(self, is_form: bool) -> Result<(String, WantedPublisher)> {
        let wrong = |field: &'static str, text: &str| Error::invalid(field, format!("{field}: {text}"));
        let token = match (self.jwt, self.grant_type.as_deref()) {
            (Some(jwt), None) => jwt,
            (None, Some(TOKEN_EXCHANGE)) => {
                let kind = self.subject_token_type.as_deref().unwrap_or_default();
                if !SUBJECT_TOKEN_TYPES.contains(&kind) {
                    return Err(wrong("subject_token_type", &format!("send {}", SUBJECT_TOKEN_TYPES.join(" or "))));
                }
                self.subject_token.ok_or_else(|| wrong("subject_token", "send the identity token"))?
            }
            (None, Some(_)) => return Err(wrong("grant_type", &format!("send {TOKEN_EXCHANGE}"))),
            (None, None) if is_form || self.subject_token.is_some() => {
                return Err(wrong("grant_type", &format!("send {TOKEN_EXCHANGE}")));
            }
            (_, None) => return Err(wrong("jwt", "send the identity token of the job")),
            (Some(_), Some(_)) => return Err(wrong("jwt", "send either jwt or the fields of a token exchange")),
        };
        let owner = self.owner.map(|name| name.parse::<OwnerName>()).transpose();
        let package = self.package.map(|name| name.parse::<PackageName>()).transpose();
        Ok((
            token,
            WantedPublisher {
                owner: owner.map_err(|why| wrong("owner", &why.to_string()))?,
                package: package.map_err(|why| wrong("package", &why.to_string()))?,
            },
        ))
    }
}

/// A token that a job got for its identity token. It can write to the packages of the publisher and do nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExchangedToken {
    /// The access token.
    token: String,
    /// When it stops working: in 15 minutes.
    expires_at: Timestamp,
    /// The publisher that accepted the identity token, which is shown as the publisher of the files.
    #[schema(pattern = "^[^/]+/[^/]+$")]
    publisher: String,
    /// The packages that it can write to.
    #[schema(value_type = PackagePattern)]
    packages: String,
    /// The access token again, by its name in RFC 8693.
    access_token: String,
    /// Always `urn:ietf:params:oauth:token-type:access_token`.
    issued_token_type: &'static str,
    /// Always `Bearer`.
    token_type: &'static str,
    /// The seconds until it stops working.
    #[schema(minimum = 0)]
    expires_in: u64,
    /// Always `write:package`.
    scope: &'static str,
}

/// The answer to an exchange. A refusal is told in the words of OAuth to those who asked in these.
pub enum ExchangeAnswer {
    Given(ExchangedToken),
    Refused(Refused),
}

impl Answer for ExchangeAnswer {
    fn respond(self) -> HttpResponse {
        match self {
            Self::Given(token) => Json(token).respond(),
            Self::Refused(refused) => refused.respond(),
        }
    }

    fn describe(description: &mut Description) {
        Json::<ExchangedToken>::describe(description);
        description.answers_json::<OAuthError>(StatusCode::BAD_REQUEST, "The form, or the token in it, is refused");
        let about = "No publisher accepts the identity token; the message names the claim that does not fit";
        description.refuses(StatusCode::FORBIDDEN, about);
        let about = "Too many refused exchanges";
        description.answers_either::<Problem, OAuthError>(StatusCode::TOO_MANY_REQUESTS, about);
        description.with("Retry-After", "Try again after this many seconds.", integer(0));
    }
}

/// `POST /oidc/token`.
pub async fn exchange(call: Call, body: ExchangeBody) -> Result<ExchangeAnswer> {
    let (is_form, body) = body.0.read_either(&call.app).await?;
    // A form with `jwt` is our own JSON in another coding.
    let speaks_oauth = is_form && body.as_ref().map_or(true, |body| body.jwt.is_none());
    let is_other_grant = body.as_ref().is_ok_and(ExchangeIdentityToken::is_other_grant);
    let checked = body.and_then(|body| body.check(is_form));
    let done = match checked {
        Ok((token, wanted)) => give(&call, &token, wanted).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(token) => Ok(ExchangeAnswer::Given(token)),
        Err(error) if speaks_oauth => {
            let error = about_subject_token(error);
            Ok(ExchangeAnswer::Refused(Refused::new(&call.req, &error, is_other_grant)))
        }
        Err(error) => Err(error),
    }
}

/// An error about the identity token, by the name that it has in the form of RFC 8693.
fn about_subject_token(error: Error) -> Error {
    match error {
        Error::Invalid { field: "jwt", problem } => {
            Error::invalid("subject_token", problem.replacen("jwt:", "subject_token:", 1))
        }
        other => other,
    }
}

async fn give(call: &Call, token: &str, wanted: WantedPublisher) -> Result<ExchangedToken> {
    let made = identity_token::exchange(&call.req, &call.app, token.trim(), wanted).await?;
    let secret = made.secret.reveal();
    Ok(ExchangedToken {
        token: secret.to_owned(),
        expires_at: made.expires_at,
        publisher: made.publisher.to_string(),
        packages: made.packages.as_str().to_owned(),
        access_token: secret.to_owned(),
        issued_token_type: ACCESS_TOKEN,
        token_type: "Bearer",
        expires_in: TOKEN_LIFE.as_secs(),
        scope: TOKEN_SCOPE,
    })
}
