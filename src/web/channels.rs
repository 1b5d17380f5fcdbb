//! The channels of a package: a page to set, move and delete them.

use super::format::When;
use super::forms::Protected;
use super::owner::Owner;
use super::packages;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::channel::ChannelName;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::PackagePath;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{can_publish, can_read};
use crate::registry::packages::channels::{self, Channel, ChannelState};
use crate::registry::packages::versions::{self, VersionOrder};
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// How many versions the form suggests.
const SUGGESTED: Slice = Slice { offset: 0, limit: 50 };

/// A channel, as the pages show it.
pub struct ChannelRow {
    pub channel: Channel,
    pub updated: When,
}

impl ChannelRow {
    /// What is wrong with it, in a word.
    pub fn trouble(&self) -> Option<&'static str> {
        match self.channel.state {
            ChannelState::Good => None,
            ChannelState::Broken => Some("Broken"),
            ChannelState::Yanked => Some("Yanked"),
        }
    }
}

#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelsPage {
    frame: Frame,
    owner: Owner,
    package: PackageName,
    rows: Vec<ChannelRow>,
    suggested: Vec<Version>,
    /// The address in which a channel takes a version's place.
    example: String,
    form: ChannelForm,
    problems: Problems,
}

impl ChannelsPage {
    fn package_url(&self) -> String {
        address::package_page(&self.owner.name, &self.package)
    }

    fn settings_url(&self) -> String {
        address::package_settings(&self.owner.name, &self.package)
    }

    fn set_url(&self) -> String {
        address::channels_page(&self.owner.name, &self.package)
    }

    fn delete_url(&self) -> String {
        address::channel_deletion(&self.owner.name, &self.package)
    }

    fn version_url(&self, version: &Version) -> String {
        address::version_page(&self.owner.name, &self.package, version)
    }
}

/// The form as typed.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ChannelForm {
    channel: String,
    version: String,
}

async fn page(call: &Call, form: ChannelForm, problems: Problems) -> Result<ChannelsPage> {
    let path = packages::named(call).await?;
    let (frame, (owner, package, all, suggested)) = frame(call, move |conn, caller| {
        can_publish(conn, caller, &path.owner, &path.package)?;
        let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
        let found = versions::browse(conn, &right, &path.package, "", VersionOrder::Newest, SUGGESTED)?;
        let all = channels::list(conn, &right, &path.package)?;
        let suggested = found.page.items.into_iter().map(|summary| summary.version).collect();
        Ok((Owner::of_package(conn, caller, &right)?, found.package, all, suggested))
    })
    .await?;
    let rows = rows(call, all);
    let path = PackagePath { owner: owner.name.clone(), package: package.clone() };
    let channel = rows.first().map(|row| row.channel.name.clone());
    let example = match channel {
        Some(name) => address::generic_channel(&path, &name),
        None => format!("{}/@beta", address::generic_package(&path)),
    };
    let example = format!("{}{example}/", frame.root);
    Ok(ChannelsPage { frame, owner, package, rows, suggested, example, form, problems })
}

/// The rows of these channels.
pub fn rows(call: &Call, all: Vec<Channel>) -> Vec<ChannelRow> {
    let now = call.app.clock.now();
    all.into_iter().map(|channel| ChannelRow { updated: When { at: channel.updated_at, now }, channel }).collect()
}

/// `GET /{owner}/-/packages/settings/generic/{name}/channels`.
pub async fn show(call: Call) -> Result<Reply> {
    Reply::page(&page(&call, ChannelForm::default(), Problems::default()).await?)
}

/// The owner and package of the path.
async fn named(call: &Call) -> Result<(OwnerName, PackageName)> {
    let PackagePath { owner, package } = packages::named(call).await?;
    Ok((owner, package))
}

/// `POST /{owner}/-/packages/settings/generic/{name}/channels`.
pub async fn set(call: Call, form: Protected<ChannelForm>) -> Result<Reply> {
    let form = form.read(&call).await?;
    let (owner, package) = named(&call).await?;
    let mut problems = Problems::default();
    let name = problems.take("channel", form.channel.trim().parse::<ChannelName>());
    let version = problems.take("version", form.version.trim().parse::<Version>());
    let (Some(name), Some(version)) = (name, version) else {
        let page = page(&call, form, problems).await?;
        return page.problems.reply(&page);
    };
    let (now, of) = (call.app.clock.now(), (owner.clone(), package.clone()));
    let (channel, stood) = (name.clone(), version.clone());
    let set = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &of.0, &of.1)?;
            channels::set(conn, caller, &right, (&of.1, &channel, &stood), |_| true, now)
        })
        .await;
    match set {
        Ok((channel, _)) => {
            let notice = format!("The channel {} stands for {}.", channel.name, channel.version);
            Ok(Reply::to(&address::channels_page(&owner, &package)).notice(&call.app, &notice))
        }
        Err(error) => {
            let problems = match error {
                Error::NotFound(What::Version) => Problems::on("version", &format!("there is no version {version}")),
                other => Problems::of(other, "channel")?,
            };
            let page = page(&call, form, problems).await?;
            page.problems.reply(&page)
        }
    }
}

/// `POST /{owner}/-/packages/settings/generic/{name}/channels/delete`.
pub async fn delete(call: Call, form: Protected<ChannelForm>) -> Result<Reply> {
    let form = form.read(&call).await?;
    let (owner, package) = named(&call).await?;
    let (now, of) = (call.app.clock.now(), (owner.clone(), package.clone()));
    let name: Option<ChannelName> = form.channel.parse().ok();
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &of.0, &of.1)?;
        let name = name.as_ref().ok_or(Error::NotFound(What::Channel))?;
        channels::delete(conn, caller, &right, (&of.1, name), |_| true, now)
    })
    .await?;
    let notice = format!("The channel {} has been deleted.", form.channel);
    Ok(Reply::to(&address::channels_page(&owner, &package)).notice(&call.app, &notice))
}
