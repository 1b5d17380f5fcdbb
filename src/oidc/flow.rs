//! The way to the provider and back.

use super::claims::{Claims, OtherClaims, Person};
use super::http::{RequestFailed, send};
use super::provider::{Metadata, Provider, Unreachable};
use super::{SKEW, moment};
use crate::domain::clock::Timestamp;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken, IdTokenClaims,
    IdTokenFields, IdTokenVerifier, JwsSigningAlgorithm, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, SubjectIdentifier, TokenResponse, UserInfoClaims,
};
use std::sync::Arc;
use std::time::Duration;

type OurIdToken = IdToken<OtherClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type OurClaims = IdTokenClaims<OtherClaims, CoreGenderClaim>;
type OurFields = IdTokenFields<
    OtherClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type OurTokens = StandardTokenResponse<OurFields, CoreTokenType>;
type OurClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    OurTokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a sign-in demands of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// That it knows who this is.
    Known,
    /// That the person proves it again now.
    Fresh,
}

/// A sign-in that begins: the address at the provider, and what must be remembered until the person comes back.
#[derive(Debug)]
pub struct Started {
    pub url: String,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

/// What the browser brings back, and what was remembered.
#[derive(Debug)]
pub struct Returned {
    pub code: String,
    pub nonce: String,
    pub verifier: String,
    pub redirect_uri: String,
    /// When the person must have signed in at the provider at the earliest, if the sign-in had to be fresh.
    pub since: Option<Timestamp>,
}

/// Why a sign-in is refused, in words for administrators. People are only told that it failed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the provider can't be reached: {0}")]
    Unreachable(#[from] Unreachable),
    #[error("the provider refuses the code: {0}")]
    Code(String),
    #[error("the ID token is not valid: {0}")]
    Token(String),
    #[error("the person did not sign in again")]
    Stale,
}

impl Provider {
    fn client(&self, metadata: &Metadata, redirect_uri: &str) -> Result<OurClient, Unreachable> {
        let config = self.config();
        let secret = config.client_secret.reveal();
        let secret = (!secret.is_empty()).then(|| ClientSecret::new(secret.to_owned()));
        let redirect = RedirectUrl::new(redirect_uri.to_owned())
            .map_err(|error| Unreachable(format!("the redirect address {redirect_uri} is invalid: {error}")))?;
        let client =
            OurClient::from_provider_metadata(metadata.clone(), ClientId::new(config.client_id.clone()), secret);
        // Basic is the default where the provider doesn't say (OpenID Connect Discovery §3).
        let methods = metadata.token_endpoint_auth_methods_supported().cloned().unwrap_or_default();
        let takes = |method| methods.contains(&method);
        let posts = takes(CoreClientAuthMethod::ClientSecretPost) && !takes(CoreClientAuthMethod::ClientSecretBasic);
        let auth = if posts { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(client.set_auth_type(auth).set_redirect_uri(redirect))
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn start(&self, redirect_uri: &str, demand: Demand, now: Timestamp) -> Result<Started, Unreachable> {
        let metadata = self.metadata(now).await?;
        let client = self.client(&metadata, redirect_uri)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let scopes = self.config().scopes.iter().filter(|scope| *scope != "openid");
        request = request.add_scopes(scopes.map(|scope| Scope::new(scope.clone()))).set_pkce_challenge(challenge);
        if demand == Demand::Fresh {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        let (url, state, nonce) = request.url();
        // Browsers follow it.
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Unreachable("its authorization endpoint is no http or https address".to_owned()));
        }
        Ok(Started {
            url: url.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Checks that the answer comes from this provider and from no other (RFC 9207): a provider that says that it names
    /// itself must do so.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check_sender(&self, issuer: Option<&str>, now: Timestamp) -> Result<(), Refusal> {
        let names_itself =
            self.metadata(now).await?.additional_metadata().authorization_response_iss_parameter_supported;
        match issuer {
            Some(issuer) if issuer == self.config().issuer => Ok(()),
            None if !names_itself => Ok(()),
            Some(other) => Err(Refusal::Token(format!("the answer is from another issuer, {other}"))),
            None => Err(Refusal::Token("the answer lacks iss, which this provider always sends".to_owned())),
        }
    }

    /// Redeems the code of a person who came back, and checks what the provider says about them.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn finish(&self, returned: Returned, now: Timestamp) -> Result<Person, Refusal> {
        let metadata = self.metadata(now).await?;
        let client = self.client(&metadata, &returned.redirect_uri)?;
        let http = |request| send(self.outbound(), request);
        let exchange = client.exchange_code(AuthorizationCode::new(returned.code.clone()));
        let exchange = exchange.map_err(|error| Refusal::Code(error.to_string()))?;
        let exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(returned.verifier.clone()));
        let tokens = exchange.request_async(&http).await.map_err(|error| explain_exchange(&error))?;
        let token = tokens.id_token().ok_or_else(|| Refusal::Token("there is none".to_owned()))?;
        let (claims, metadata) = self.verify(token, metadata, &returned, now).await?;
        self.check_more(&claims, token, &tokens, &self.verifier(&metadata, None, now))?;
        let mut all = Claims::new(&claims);
        if all.seconds("nbf").is_some_and(|from| from > now.plus(SKEW).unix()) {
            return Err(Refusal::Token("it is not valid yet (nbf)".to_owned()));
        }
        let groups = &self.config().groups_claim;
        if !all.has("email") || !all.has("preferred_username") || self.config().uses_groups() && !all.has(groups) {
            self.ask_userinfo(&client, tokens.access_token(), claims.subject(), &mut all).await;
        }
        Ok(all.into_person(&self.config().issuer, claims.subject().to_string(), groups, token.to_string()))
    }

    /// The claims of a token whose signature, issuer, audience, nonce and times are right. A token with an unknown key is
    /// checked once more with new keys, because providers replace theirs.
    async fn verify(
        &self,
        token: &OurIdToken,
        mut metadata: Arc<Metadata>,
        returned: &Returned,
        now: Timestamp,
    ) -> Result<(OurClaims, Arc<Metadata>), Refusal> {
        let nonce = Nonce::new(returned.nonce.clone());
        let judge = |metadata: &Metadata| {
            let verifier = self.verifier(metadata, returned.since, now);
            token.claims(&verifier, &nonce).cloned()
        };
        let mut judged = judge(&metadata);
        if let Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_),
        )) = judged
            && let Some(newer) = self.with_new_keys(now).await
        {
            judged = judge(&newer);
            metadata = newer;
        }
        judged.map(|claims| (claims, metadata)).map_err(|error| match &error {
            ClaimsVerificationError::InvalidAuthTime(_) => Refusal::Stale,
            ClaimsVerificationError::SignatureVerification(why) => Refusal::Token(format!("{error}: {why}")),
            _ => Refusal::Token(error.to_string()),
        })
    }

    fn verifier(
        &self,
        metadata: &Metadata,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let (earliest, latest) = (moment(now.minus(SKEW)), moment(now.plus(SKEW)));
        let since = since.map(|since| moment(since.minus(SKEW)));
        // Whoever knows the client's secret, or the public key, could make a token with a symmetric signature.
        let algorithms = metadata
            .id_token_signing_alg_values_supported()
            .iter()
            .filter(|algorithm| **algorithm != CoreJwsSigningAlgorithm::None && !algorithm.uses_shared_secret());
        IdTokenVerifier::new_public_client(
            ClientId::new(self.config().client_id.clone()),
            metadata.issuer().clone(),
            metadata.jwks().clone(),
        )
        .set_allowed_algs(algorithms.cloned().collect::<Vec<_>>())
        .set_time_fn(move || earliest)
        .set_issue_time_verifier_fn(move |issued| {
            if issued <= latest { Ok(()) } else { Err("it was issued in the future".to_owned()) }
        })
        .set_auth_time_verifier_fn(move |at| match (since, at) {
            (None, _) => Ok(()),
            (Some(since), Some(at)) if at >= since && at <= latest => Ok(()),
            (Some(_), _) => Err("not a fresh sign-in".to_owned()),
        })
    }

    /// What the library leaves to its caller: the authorized party, and that the access token belongs to the ID token.
    fn check_more(
        &self,
        claims: &OurClaims,
        token: &OurIdToken,
        tokens: &OurTokens,
        verifier: &IdTokenVerifier<'_, CoreJsonWebKey>,
    ) -> Result<(), Refusal> {
        if claims.authorized_party().is_some_and(|party| party.as_str() != self.config().client_id) {
            return Err(Refusal::Token("it was issued to another client (azp)".to_owned()));
        }
        let Some(expected) = claims.access_token_hash() else { return Ok(()) };
        let wrong = |why: &dyn std::fmt::Display| Refusal::Token(format!("at_hash can't be checked: {why}"));
        let algorithm = token.signing_alg().map_err(|error| wrong(&error))?;
        let key = token.signing_key(verifier).map_err(|error| wrong(&error))?;
        let actual =
            AccessTokenHash::from_token(tokens.access_token(), algorithm, key).map_err(|error| wrong(&error))?;
        if actual == *expected {
            return Ok(());
        }
        Err(Refusal::Token("the access token belongs to another ID token (at_hash)".to_owned()))
    }

    /// Adds what only the userinfo endpoint says. It must be about the same person; a failure only leaves claims out.
    async fn ask_userinfo(
        &self,
        client: &OurClient,
        token: &AccessToken,
        subject: &SubjectIdentifier,
        all: &mut Claims,
    ) {
        let Ok(request) = client.user_info(token.clone(), Some(subject.clone())) else { return };
        let http = |request| send(self.outbound(), request);
        let found: Result<UserInfoClaims<OtherClaims, CoreGenderClaim>, _> = request.request_async(&http).await;
        match found {
            Ok(claims) => all.complete(&claims),
            Err(error) => {
                tracing::warn!(provider = %self.config().name, why = %error, "the userinfo of a provider can't be used");
            }
        }
    }
}

/// Why the provider refused a code, without the code.
fn explain_exchange(error: &RequestTokenError<RequestFailed, StandardErrorResponse<CoreErrorResponseType>>) -> Refusal {
    match error {
        RequestTokenError::ServerResponse(answer) => Refusal::Code(match answer.error_description() {
            Some(description) => format!("{} ({description})", answer.error()),
            None => answer.error().to_string(),
        }),
        RequestTokenError::Request(why) => Refusal::Unreachable(Unreachable(why.to_string())),
        RequestTokenError::Parse(why, _) => Refusal::Token(format!("the answer is not as expected: {why}")),
        RequestTokenError::Other(why) => Refusal::Code(why.clone()),
    }
}
