//! Exchanging identity tokens of other systems' jobs for tokens of trusted publishers.

use super::endpoint::{Json, JsonBody};
use crate::auth::call::Call;
use crate::auth::identity_token;
use crate::domain::clock::Timestamp;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::PackagePattern;
use crate::error::{Error, Result};
use crate::registry::owners::publishers::{TOKEN_LIFE, TOKEN_SCOPE, WantedPublisher};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The grant type of a token exchange (RFC 8693 §2.1).
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The types of token that can be exchanged (RFC 8693 §3).
const SUBJECT_TOKEN_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
/// The type of the token that is given for it.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The body of `POST /oidc/token`: an identity token as `jwt`, or the form of RFC 8693.
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

impl ExchangeIdentityToken {
    /// The identity token, and which publisher is meant.
    fn check(self) -> Result<(String, WantedPublisher)> {
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

/// `POST /oidc/token`.
pub async fn exchange(call: Call, body: JsonBody<ExchangeIdentityToken>) -> Result<Json<ExchangedToken>> {
    let (token, wanted) = body.read(&call.app).await?.check()?;
    let made = identity_token::exchange(&call.req, &call.app, token.trim(), wanted).await?;
    let secret = made.secret.reveal();
    Ok(Json(ExchangedToken {
        token: secret.to_owned(),
        expires_at: made.expires_at,
        publisher: made.publisher.to_string(),
        packages: made.packages.as_str().to_owned(),
        access_token: secret.to_owned(),
        issued_token_type: ACCESS_TOKEN,
        token_type: "Bearer",
        expires_in: TOKEN_LIFE.as_secs(),
        scope: TOKEN_SCOPE,
    }))
}
