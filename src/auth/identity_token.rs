//! Identity tokens (JSON Web Tokens, RFC 7519) of other systems' jobs, which trusted publishers accept.
//!
//! What a refusal says depends on what the caller has proved. Everything that a token says wrongly about itself is named
//! to everybody, because it is judged without looking at any publisher: its form, algorithm, audience and times.
//! Whether a publisher names the issuer, and whether the signature is good, is told to nobody: the answer is
//! [`publishers::no_publisher`] either way, and the log has the reason. Only the owner of a verified token of a job that
//! a publisher is about learns which other claim does not fit.

use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::publisher::{Claims, IssuerUrl, text_of};
use crate::error::{Error, Result};
use crate::http::request_log::client;
use crate::registry::accounts::attempts;
use crate::registry::owners::publishers::{self, Exchanged, IdentityToken, WantedPublisher, shown};
use crate::state::App;
use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The most bytes in a token.
const MAX_BYTES: usize = 16 << 10;
/// How far another system's clock may be off.
const SKEW: Duration = Duration::from_secs(60);
/// The longest time for which a token may be valid: it is remembered for as long.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// The most keys to try for a token that does not name its key.
const MOST_KEYS: usize = 5;
/// The algorithms: only those with a public key, so nobody can sign with what everybody can read.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// A token whose signature is still to be verified.
struct Unverified<'a> {
    /// The header and the claims, as they are signed.
    message: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
}

impl<'a> Unverified<'a> {
    /// # Errors
    /// [`Error::Invalid`] for something else than a token; [`Error::Forbidden`] for an algorithm that is not accepted.
    fn parse(text: &'a str) -> Result<Self> {
        let wrong = || Error::invalid("jwt", "jwt: this is not a signed JSON Web Token of up to 16 KiB");
        let object =
            |part: &str| -> Option<Claims> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        if text.len() > MAX_BYTES {
            return Err(wrong());
        }
        let (message, signature) = text.rsplit_once('.').ok_or_else(wrong)?;
        let (header, payload) = message.split_once('.').ok_or_else(wrong)?;
        let (header, claims) = (object(header).ok_or_else(wrong)?, object(payload).ok_or_else(wrong)?);
        let named = header.get("alg").and_then(Value::as_str);
        let known = ALGORITHMS.iter().find(|(name, _)| Some(*name) == named);
        let Some((_, algorithm)) = known else {
            let accepted: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
            let accepted = accepted.join(", ");
            return Err(Error::Forbidden(format!(
                "the token's header alg is {}, and this server accepts only {accepted}",
                shown(&header, "alg")
            )));
        };
        if header.contains_key("crit") {
            return Err(Error::Forbidden(
                "the token's header has crit, which this server does not understand".to_owned(),
            ));
        }
        let kid = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { message, signature, algorithm: *algorithm, kid, claims })
    }

    /// Checks what the token says about itself, and returns its issuer and its end.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the claim.
    fn check(&self, app: &App, now: Timestamp) -> Result<(IssuerUrl, Timestamp)> {
        let claims = &self.claims;
        let refuse = |claim: &str, problem: String| {
            Error::Forbidden(format!("the claim {claim} does not fit: it is {}, and {problem}", shown(claims, claim)))
        };
        let issuer = text_of(claims, "iss").and_then(|text| text.parse::<IssuerUrl>().ok());
        let issuer = issuer.ok_or_else(|| refuse("iss", "it has to be the address of an issuer".to_owned()))?;
        if text_of(claims, "sub").is_none_or(|text| text.is_empty()) {
            return Err(refuse("sub", "it has to name the job".to_owned()));
        }
        check_audience(app, claims).map_err(|problem| refuse("aud", problem))?;
        let time = |claim: &str| -> Result<Option<Timestamp>> {
            let Some(value) = claims.get(claim) else { return Ok(None) };
            let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0 && *seconds < 1e11);
            #[expect(clippy::cast_possible_truncation, reason = "checked against the range of seconds")]
            let at = seconds.map(|seconds| Timestamp::from_unix(seconds as i64));
            at.map(Some).ok_or_else(|| refuse(claim, "it has to be a number of seconds since 1970".to_owned()))
        };
        let missing = |claim: &str| refuse(claim, "it has to be there".to_owned());
        let at = format!("the time here is {}", now.unix());
        let ends = time("exp")?.ok_or_else(|| missing("exp"))?.plus(SKEW);
        if ends <= now {
            return Err(refuse("exp", format!("{at}: the token expired")));
        }
        if ends > now.plus(LONGEST) {
            return Err(refuse("exp", format!("{at}: a token may be valid for a year at most")));
        }
        if time("nbf")?.is_some_and(|begin| begin > now.plus(SKEW)) {
            return Err(refuse("nbf", format!("{at}: the token is not valid yet")));
        }
        if time("iat")?.ok_or_else(|| missing("iat"))? > now.plus(SKEW) {
            return Err(refuse("iat", format!("{at}: the token comes from the future")));
        }
        Ok((issuer, ends))
    }

    fn is_signed_with(&self, key: &Jwk) -> bool {
        let verify = |key| crypto::verify(self.signature, self.message.as_bytes(), &key, self.algorithm);
        DecodingKey::from_jwk(key).and_then(verify).unwrap_or(false)
    }

    /// What the token is known by: its `jti` at its issuer, or else what is signed. The signature has no part in it,
    /// because there are several good ones for one message.
    fn digest(&self, issuer: &IssuerUrl) -> [u8; 32] {
        match text_of(&self.claims, "jti").filter(|id| !id.is_empty()) {
            Some(id) => Sha256::digest(format!("jti\n{issuer}\n{id}").as_bytes()).into(),
            None => Sha256::digest(format!("token\n{issuer}\n{}", self.message).as_bytes()).into(),
        }
    }
}

/// Checks that a token is for this server and for no other: whoever else receives it could use it here.
fn check_audience(app: &App, claims: &Claims) -> Result<(), String> {
    let Some(site) = &app.config.public_url else {
        return Err("this server does not know its own address: an administrator has to set public_url".to_owned());
    };
    let only = match claims.get("aud") {
        Some(Value::Array(all)) if all.len() == 1 => all.first(),
        other => other,
    };
    match only.and_then(Value::as_str) {
        Some(audience) if audience == site.host() || audience == site.root() => Ok(()),
        _ => Err(format!("it has to be {:?} or {:?} and nothing else", site.host(), site.root())),
    }
}

/// Verifies a token.
///
/// # Errors
/// As [`Unverified::parse`] and [`Unverified::check`]; [`publishers::no_publisher`].
async fn verify(app: &App, text: &str, now: Timestamp) -> Result<IdentityToken> {
    let token = Unverified::parse(text)?;
    let (issuer, ends_at) = token.check(app, now)?;
    let asked = issuer.clone();
    let is_named = app.db.read(move |conn| publishers::is_named(conn, &asked)).await?;
    let found = match is_named {
        true => app.issuers.find(&issuer, (token.algorithm, token.kid.as_deref()), now).await,
        false => Err("no publisher names the issuer".to_owned()),
    };
    let is_signed = found.and_then(|keys| {
        let is_good = keys.iter().take(MOST_KEYS).any(|key| token.is_signed_with(key));
        if is_good { Ok(()) } else { Err("the signature is wrong".to_owned()) }
    });
    if let Err(why) = is_signed {
        tracing::warn!(%issuer, subject = publishers::subject(&token.claims), why, "an identity token was refused");
        return Err(publishers::no_publisher(&token.claims));
    }
    let digest = token.digest(&issuer);
    Ok(IdentityToken { issuer, claims: token.claims, digest, ends_at })
}

/// Exchanges an identity token for a token of the publisher that accepts it. Refusals count against the address.
///
/// # Errors
/// [`Error::RateLimited`]; [`Error::Invalid`] for something else than a token; [`Error::Forbidden`] naming what is wrong
/// with it; as [`publishers::no_publisher`] and [`publishers::exchange`].
pub async fn exchange(req: &HttpRequest, app: &App, text: &str, wanted: WantedPublisher) -> Result<Exchanged> {
    let (address, now) = (client(req), app.clock.now());
    let buckets = attempts::exchange_buckets(address);
    let full = buckets.clone();
    app.db.read(move |conn| attempts::look(conn, &full, now)).await?;
    let done = match verify(app, text, now).await {
        Ok(token) => {
            let work = move |conn: &mut Connection| publishers::exchange(conn, &token, &wanted, address, now);
            app.db.write(work).await
        }
        Err(error) => Err(error),
    };
    if matches!(done, Err(Error::Forbidden(_) | Error::Invalid { .. })) {
        app.db.write(move |conn| attempts::take(conn, &buckets, now)).await?;
    }
    done
}
