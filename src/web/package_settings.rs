//! The settings of a package, and deleting it.

use super::delete::{DeletionFigures, kept_until, when_lost};
use super::format::When;
use super::forms::Protected;
use super::notice::{Notice, Undo};
use super::orgs::lines;
use super::package_visibility::VisibilityForm;
use super::packages;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::labels::Labels;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::overwrite::Overwrite;
use crate::domain::path::PackagePath;
use crate::domain::role::Permission;
use crate::domain::trash::TrashKind;
use crate::error::{Error, Result};
use crate::registry::access::can_publish;
use crate::registry::packages::settings::{self, PackageEdit, PackageSettings};
use crate::registry::packages::trash::Deletion;
use crate::registry::packages::trash_entries::can_purge;
use crate::registry::packages::{deletion_preview, lifecycle};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "package_settings.html")]
struct PackagePage {
    frame: Frame,
    owner: OwnerName,
    package: PackageName,
    form: SettingsForm,
    visibility: Option<VisibilityForm>,
    loss: DeletionFigures,
    /// The text typed to confirm.
    typed: String,
    problems: Problems,
    kept_until: Option<When>,
    can_purge: bool,
    /// Whether the user may say who may add files.
    can_restrict: bool,
}

impl PackagePage {
    fn versions_url(&self) -> String {
        address::versions_page(&self.owner, &self.package)
    }

    fn package_url(&self) -> String {
        address::package_page(&self.owner, &self.package)
    }

    fn upload_url(&self) -> String {
        address::upload_page(&self.owner, Some((&self.package, None)))
    }

    fn channels_url(&self) -> String {
        address::channels_page(&self.owner, &self.package)
    }

    fn settings_url(&self) -> String {
        address::package_settings(&self.owner, &self.package)
    }

    fn visibility_url(&self) -> String {
        address::package_visibility(&self.owner, &self.package)
    }

    fn delete_url(&self) -> String {
        address::package_deletion(&self.owner, &self.package)
    }
}

/// Which versions let uploads replace files: a word and its label.
const OVERWRITES: [(&str, &str); 3] =
    [("never", "No version"), ("some", "Some versions, by pattern"), ("always", "Every version")];

/// Who may add files: a word and its label.
const PUBLISHING: [(&str, &str); 2] =
    [("everyone", "Everyone with write access"), ("trusted", "Only trusted publishers")];

/// The settings as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct SettingsForm {
    description: String,
    homepage: String,
    source_url: String,
    license: String,
    readme: String,
    /// A form without the field changes nothing.
    labels: Option<String>,
    /// Which versions let uploads replace files: one of [`OVERWRITES`].
    overwrite: String,
    /// The patterns for `some`.
    overwrite_versions: String,
    /// A duration, or empty for never.
    seal_after: String,
    /// Present if the box is ticked.
    archived: Option<String>,
    /// Who may add files: one of [`PUBLISHING`]. A form without the field changes nothing.
    publishing: String,
}

impl SettingsForm {
    fn of(settings: &PackageSettings) -> Self {
        Self {
            description: settings.description.to_string(),
            homepage: settings.homepage.to_string(),
            source_url: settings.source_url.to_string(),
            license: settings.license.to_string(),
            readme: settings.readme.to_string(),
            labels: Some(settings.labels.to_lines()),
            overwrite: match settings.overwrite {
                Overwrite::Never => "never",
                Overwrite::Always => "always",
                Overwrite::Versions(_) => "some",
            }
            .to_owned(),
            overwrite_versions: match settings.overwrite {
                Overwrite::Versions(_) => settings.overwrite.patterns().join(" "),
                Overwrite::Never | Overwrite::Always => String::new(),
            },
            seal_after: settings.seal_after.map(|after| after.to_string()).unwrap_or_default(),
            archived: settings.archived_at.map(|_| "on".to_owned()),
            publishing: if settings.trusted_publishing_only { "trusted" } else { "everyone" }.to_owned(),
        }
    }

    fn read(&self, problems: &mut Problems) -> Option<PackageEdit> {
        let description = problems.take("description", self.description.trim().parse());
        let homepage = problems.take("homepage", self.homepage.trim().parse());
        let source_url = problems.take("source_url", self.source_url.trim().parse());
        let license = problems.take("license", self.license.trim().parse());
        let readme = problems.take("readme", lines(&self.readme).parse());
        let labels = match &self.labels {
            Some(text) => problems.take("labels", Labels::from_lines(text)).map(Some),
            None => Some(None),
        };
        let overwrite = match self.overwrite.as_str() {
            // A form without the field changes nothing.
            "" => Some(None),
            "never" => Some(Some(Overwrite::Never)),
            "always" => Some(Some(Overwrite::Always)),
            _ => problems.take("overwrite_versions", Overwrite::for_versions(&self.overwrite_versions)).map(Some),
        };
        let seal_after = match self.seal_after.trim() {
            "" => Some(None),
            text => problems.take("seal_after", text.parse()).map(Some),
        };
        Some(PackageEdit {
            description: Some(description?),
            homepage: Some(homepage?),
            source_url: Some(source_url?),
            license: Some(license?),
            readme: Some(readme?),
            seal_after: Some(seal_after?),
            archived: Some(self.archived.is_some()),
            trusted_publishing_only: match self.publishing.as_str() {
                "trusted" => Some(true),
                "everyone" => Some(false),
                _ => None,
            },
            labels: labels?,
            overwrite: overwrite?,
        })
    }
}

/// What was typed into one of the page's forms, to show it again.
#[derive(Default)]
struct Typed {
    settings: Option<SettingsForm>,
    confirm: String,
    problems: Problems,
}

async fn page(call: &Call, typed: Typed) -> Result<Reply> {
    let PackagePath { owner, package: name } = packages::named(call).await?;
    let (frame, (owner, settings, visibility, preview, (can_purge, can_restrict))) =
        frame(call, move |conn, caller| {
            let right = can_publish(conn, caller, &owner, &name)?;
            let settings = settings::find_own(conn, &right, &name)?;
            let visibility = VisibilityForm::of(conn, &right)?;
            let preview = deletion_preview::of_package(conn, &right, &name)?;
            let rights = (can_purge(&right), right.permission() >= Permission::Admin);
            Ok((right.owner().name.clone(), settings, visibility, preview, rights))
        })
        .await?;
    let (package, loss) = preview;
    let Typed { settings: form, confirm, problems } = typed;
    let form = form.unwrap_or_else(|| SettingsForm::of(&settings));
    let (loss, kept_until) = (loss.into(), kept_until(call));
    let typed = confirm;
    let page = PackagePage {
        frame,
        owner,
        package,
        form,
        visibility,
        loss,
        typed,
        problems,
        kept_until,
        can_purge,
        can_restrict,
    };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/packages/settings/generic/{name}`.
pub async fn show(call: Call) -> Result<Reply> {
    page(&call, Typed::default()).await
}

/// `POST /{owner}/-/packages/settings/generic/{name}`.
pub async fn update(call: Call, form: Protected<SettingsForm>) -> Result<Reply> {
    let form = form.read_long(&call).await?;
    let PackagePath { owner, package } = packages::named(&call).await?;
    let mut problems = Problems::default();
    let Some(edit) = form.read(&mut problems) else {
        return page(&call, Typed { settings: Some(form), problems, ..Typed::default() }).await;
    };
    let now = call.app.clock.now();
    let url = address::package_settings(&owner, &package);
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &owner, &package)?;
        settings::update(conn, caller, &right, (&package, &edit), now)
    })
    .await?;
    Ok(Reply::to(&url).notice(&call.app, "Package settings saved."))
}

/// The form that deletes the package.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Confirmed {
    /// The name of the package, typed to confirm.
    confirm: String,
    /// Present if the box is ticked.
    purge: Option<String>,
}

/// `POST /{owner}/-/packages/settings/generic/{name}/delete`.
pub async fn delete(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let Confirmed { confirm: typed, purge } = form.read(&call).await?;
    let PackagePath { owner, package: name } = packages::named(&call).await?;
    let (asked, confirm) = (owner.clone(), typed.clone());
    let (keep, now) = (call.app.config.trash_kept(), call.app.clock.now());
    let deleted = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &asked, &name)?;
            let (package, _) = deletion_preview::of_package(conn, &right, &name)?;
            if confirm.trim().to_lowercase() != package.lower() {
                return Err(Error::invalid(
                    "confirm",
                    format!("this is not the package name: type {package} to confirm"),
                ));
            }
            let deletion = Deletion::asked(&right, purge.is_some(), keep, now)?;
            let entry = lifecycle::delete(conn, caller, &right, &package, &deletion)?;
            Ok((package, entry, when_lost(&deletion)))
        })
        .await;
    match deleted {
        Ok((package, entry, kept)) => {
            let reply = Reply::to(&address::owner_page(&owner));
            let notice = match kept {
                Some(until) => format!("{package} and all its versions are in the trash until {}.", until.exact()),
                None => format!("{package} and all its versions have been deleted."),
            };
            let undo = entry.map(|entry| Undo::of(TrashKind::Package, &owner, entry));
            Ok(reply.tell(&call.app, &Notice::deleted(&notice, undo)))
        }
        Err(error) => {
            let problems = Problems::of(error, "confirm")?;
            page(&call, Typed { confirm: typed, problems, ..Typed::default() }).await
        }
    }
}
