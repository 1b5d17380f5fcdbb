//! Channels of a package: names such as `beta` that each stand for one of its versions.

use super::endpoint::{Answer, JsonBody, NoContent};
use super::packages::package_path;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::channel::ChannelName;
use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::domain::path::PackagePath;
use crate::domain::version::Version;
use crate::error::{Result, What};
use crate::http::conditional::allows_change;
use crate::http::description::{Description, text, text_like};
use crate::registry::access::{can_publish, can_read};
use crate::registry::packages::channels::{self, Channel, ChannelState};
use crate::state::App;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::ArrayBuilder;

/// A channel of a package.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
pub struct ChannelBody {
    name: ChannelName,
    /// The version it stands for.
    version: Version,
    /// `good`; `broken` if the version no longer exists; `yanked` if it was yanked. Only a good channel can be
    /// downloaded from.
    #[schema(pattern = "^(good|broken|yanked)$")]
    state: &'static str,
    /// When it was last set or moved.
    updated_at: Timestamp,
    /// The user who did that; null if the account was deleted.
    updated_by: Option<OwnerName>,
    /// The address with the channel in place of the version, without a file.
    download_url: String,
}

impl ChannelBody {
    fn new(app: &App, package: &PackagePath, channel: Channel) -> Self {
        Self {
            download_url: app.url(&address::generic_channel(package, &channel.name)),
            name: channel.name,
            version: channel.version,
            state: match channel.state {
                ChannelState::Good => "good",
                ChannelState::Broken => "broken",
                ChannelState::Yanked => "yanked",
            },
            updated_at: channel.updated_at,
            updated_by: channel.updater,
        }
    }
}

/// All channels of a package; there are not many.
pub struct Channels(Vec<ChannelBody>);

impl Answer for Channels {
    fn respond(self) -> HttpResponse {
        HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(self.0)
    }

    fn describe(description: &mut Description) {
        let all = ArrayBuilder::new().items(description.schema::<ChannelBody>());
        description.answers_with(StatusCode::OK, "The channels", "application/json", all);
    }
}

/// The body of `PUT …/-/channels/{channel}`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetChannel {
    /// The version that the channel is to stand for.
    version: Version,
}

/// A channel with its entity tag: 200, or 201 if it is new.
pub struct Tagged {
    body: ChannelBody,
    etag: String,
    is_new: bool,
}

impl Tagged {
    fn new(app: &App, package: &PackagePath, channel: Channel, is_new: bool) -> Self {
        Self { etag: channel.etag(), body: ChannelBody::new(app, package, channel), is_new }
    }
}

const ETAG: &str = r#"^"[0-9]+-[0-9]+"$"#;

fn with_etag(description: &mut Description) {
    description.with("ETag", "Changes with the channel; for `If-Match`.", text_like(ETAG));
}

impl Answer for Tagged {
    fn respond(self) -> HttpResponse {
        let mut builder = if self.is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
        builder.insert_header((header::CACHE_CONTROL, "no-store")).insert_header((header::ETAG, self.etag));
        builder.json(self.body)
    }

    fn describe(description: &mut Description) {
        description.answers_json::<ChannelBody>(StatusCode::OK, "The channel");
        with_etag(description);
    }
}

/// As [`Tagged`], where the channel may be new.
pub struct Stored(Tagged);

impl Answer for Stored {
    fn respond(self) -> HttpResponse {
        self.0.respond()
    }

    fn describe(description: &mut Description) {
        conditions(description);
        Tagged::describe(description);
        description.answers_json::<ChannelBody>(StatusCode::CREATED, "The new channel");
        with_etag(description);
        description.refuses(StatusCode::CONFLICT, "The version was yanked, or the package has too many channels");
        description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match or If-None-Match does not hold");
    }
}

/// The channel is gone, 204.
pub struct Deleted;

impl Answer for Deleted {
    fn respond(self) -> HttpResponse {
        NoContent.respond()
    }

    fn describe(description: &mut Description) {
        conditions(description);
        NoContent::describe(description);
        description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match does not hold");
    }
}

fn conditions(description: &mut Description) {
    description.head(
        "If-Match",
        "The `ETag` of the channel as you know it; you get 412 if it was changed since.",
        text(),
    );
    description.head("If-None-Match", "`*`: you get 412 if the channel exists.", text());
}

/// The channel that the path names.
async fn channel_path(call: &Call) -> Result<(PackagePath, ChannelName)> {
    Ok((package_path(call).await?, call.part("channel", What::Channel).await?))
}

/// Judges the conditions of a request by an entity tag.
fn judge(call: &Call) -> impl Fn(Option<&str>) -> bool + Send + 'static {
    let mut asked = header::HeaderMap::new();
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let values: Vec<HeaderValue> = call.req.headers().get_all(&name).cloned().collect();
        values.into_iter().for_each(|value| asked.append(HeaderName::clone(&name), value));
    }
    move |etag| allows_change(&asked, etag)
}

/// `GET /packages/{owner}/generic/{name}/-/channels`.
pub async fn list(call: Call) -> Result<Channels> {
    let path = package_path(&call).await?;
    let of = path.clone();
    let all = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            channels::list(conn, &right, &of.package)
        })
        .await?;
    Ok(Channels(all.into_iter().map(|channel| ChannelBody::new(&call.app, &path, channel)).collect()))
}

/// `GET …/-/channels/{channel}`.
pub async fn get(call: Call) -> Result<Tagged> {
    let (path, name) = channel_path(&call).await?;
    let of = path.clone();
    let channel = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            channels::find(conn, &right, &of.package, &name)
        })
        .await?;
    Ok(Tagged::new(&call.app, &path, channel, false))
}

/// `PUT …/-/channels/{channel}`: makes it stand for a version.
pub async fn set(call: Call, body: JsonBody<SetChannel>) -> Result<Stored> {
    let (path, name) = channel_path(&call).await?;
    let of = path.clone();
    call.admit(move |conn, caller| can_publish(conn, caller, &of.owner, &of.package).map(drop)).await?;
    let SetChannel { version } = body.read(&call.app).await?;
    let (of, now, allows) = (path.clone(), call.app.clock.now(), judge(&call));
    let (channel, is_new) = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &of.owner, &of.package)?;
            channels::set(conn, caller, &right, (&of.package, &name, &version), &allows, now)
        })
        .await?;
    Ok(Stored(Tagged::new(&call.app, &path, channel, is_new)))
}

/// `DELETE …/-/channels/{channel}`.
pub async fn delete(call: Call) -> Result<Deleted> {
    let (path, name) = channel_path(&call).await?;
    let (now, allows) = (call.app.clock.now(), judge(&call));
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        channels::delete(conn, caller, &right, (&path.package, &name), &allows, now)
    })
    .await?;
    Ok(Deleted)
}
