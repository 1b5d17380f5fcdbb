//! Creating an access token: its permissions in plain words, its expiration and its limits. The secret is shown once.

use super::forms::Protected;
use super::list::query;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::standing::last_moment_of;
use super::tokens::{Line, line};
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::role::{Area, Level, PackagePattern, Scopes};
use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::registry::access::can_read;
use crate::registry::accounts::tokens::{self, NewToken};
use crate::registry::caller::SignedIn;
use crate::registry::owners::orgs::{self, Which};
use crate::registry::packages::versions;
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The form as typed, and the query of the page, so that other pages can link to a partly filled form.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub struct Draft {
    pub(super) name: String,
    /// One of [`PRESETS`].
    pub(super) preset: String,
    area_package: String,
    area_user: String,
    area_organization: String,
    area_admin: String,
    public_only: Option<String>,
    pub(super) no_redirects: Option<String>,
    /// One of [`EXPIRIES`].
    pub(super) expiry: String,
    pub(super) expires_on: String,
    owners: Vec<String>,
    packages: String,
    current_password: String,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: "publish".to_owned(),
            area_package: String::new(),
            area_user: String::new(),
            area_organization: String::new(),
            area_admin: String::new(),
            public_only: None,
            no_redirects: None,
            expiry: "90".to_owned(),
            expires_on: String::new(),
            owners: Vec::new(),
            packages: String::new(),
            current_password: String::new(),
        }
    }
}

/// The most common permissions: a word, its label and its meaning.
const PRESETS: [(&str, &str, &str); 5] = [
    (
        "download",
        "Download packages",
        "Scope read:package. For machines that only download, including from private users and organizations you can \
         access.",
    ),
    ("publish", "Publish packages", "Scope write:package. For build jobs. Can publish, delete and download."),
    (
        "feeds",
        "Read feeds",
        "For feed readers. Works only as ?feed_token= in the address of an Atom feed, and nowhere else.",
    ),
    (
        "all",
        "Everything",
        "Everything you can do, including managing your account and organizations. Use only if necessary.",
    ),
    ("custom", "Custom", "Choose the access for each area below."),
];

/// An area, with the meaning of read and write access.
struct AreaChoice {
    field: &'static str,
    label: &'static str,
    word: &'static str,
    read: &'static str,
    write: &'static str,
    chosen: String,
}

/// The expiration times: a word and its label.
pub(super) const EXPIRIES: [(&str, &str); 5] = [
    ("30", "30 days"),
    ("90", "90 days (recommended)"),
    ("365", "1 year"),
    ("date", "Custom date"),
    ("never", "No expiration"),
];

impl Draft {
    /// The password that confirms the creation.
    pub(super) fn password(&self) -> &str {
        &self.current_password
    }

    /// What was typed, to show it again: passwords are never sent back.
    pub(super) fn without_password(self) -> Self {
        Self { current_password: String::new(), ..self }
    }

    fn areas(&self, is_admin: bool) -> Vec<AreaChoice> {
        let area = |field, label, word, read, write, chosen: &String| AreaChoice {
            field,
            label,
            word,
            read,
            write,
            chosen: chosen.clone(),
        };
        let mut areas = vec![
            area("area_package", "Packages", "package", "Download", "Publish, delete and download", &self.area_package),
            area("area_user", "Your account", "user", "Read", "Read and change", &self.area_user),
            area(
                "area_organization",
                "Organizations",
                "organization",
                "Read",
                "Read and change",
                &self.area_organization,
            ),
        ];
        if is_admin {
            areas.push(area("area_admin", "Administration", "admin", "Read", "Read and change", &self.area_admin));
        }
        areas
    }

    /// The chosen scopes.
    fn scopes(&self) -> Result<Scopes, String> {
        let mut words: Vec<String> = match self.preset.as_str() {
            "download" | "feeds" => vec!["read:package".to_owned()],
            "publish" => vec!["write:package".to_owned()],
            "all" => vec!["all".to_owned()],
            "custom" => {
                let chosen = self.areas(true).into_iter().filter(|area| !area.chosen.is_empty());
                chosen.map(|area| format!("{}:{}", area.chosen, area.word)).collect()
            }
            _ => Vec::new(),
        };
        if words.is_empty() {
            return Err("choose the permissions of the token".to_owned());
        }
        if self.public_only.is_some() {
            words.push("public-only".to_owned());
        }
        Scopes::from_words(words.iter().map(String::as_str)).map_err(|error| error.to_string())
    }

    fn expires_at(&self, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let days = |days| Ok(Some(now.plus(DAY * days)));
        match self.expiry.as_str() {
            "30" => days(30),
            "90" => days(90),
            "365" => days(365),
            "never" => Ok(None),
            "date" => last_moment_of(self.expires_on.trim()).map(Some).map_err(str::to_owned),
            _ => Err("choose an expiration".to_owned()),
        }
    }

    /// The token to create, or the problems of the form.
    pub(super) fn check(&self, now: Timestamp) -> Result<NewToken, Problems> {
        let mut problems = Problems::default();
        let scopes = problems.take("scopes", self.scopes());
        let expires_at = problems.take("expires_at", self.expires_at(now));
        let owners: Result<Vec<OwnerName>, _> = self.owners.iter().map(|name| name.parse()).collect();
        let owners = problems.take("owners", owners);
        let patterns = self.packages.split(|c: char| c.is_whitespace() || c == ',').filter(|text| !text.is_empty());
        let packages: Result<Vec<PackagePattern>, _> = patterns.map(str::parse).collect();
        let packages = problems.take("packages", packages);
        match (scopes, expires_at, owners, packages) {
            (Some(scopes), Some(expires_at), Some(owners), Some(packages)) => Ok(NewToken {
                name: self.name.trim().to_owned(),
                scopes,
                expires_at,
                owners: Some(owners).filter(|owners| !owners.is_empty()),
                packages: Some(packages).filter(|packages| !packages.is_empty()),
                feeds_only: self.preset == "feeds",
                no_redirects: self.no_redirects.is_some(),
            }),
            _ => Err(problems),
        }
    }
}

#[derive(Template)]
#[template(path = "token_new.html")]
struct NewPage {
    frame: Frame,
    problems: Problems,
    draft: Draft,
    /// The owners to choose from: the user and their organizations.
    owners: Vec<OwnerName>,
    today: String,
    /// Whether downloads can be redirected to the object store.
    may_redirect: bool,
}

impl NewPage {
    fn areas(&self) -> Vec<AreaChoice> {
        self.draft.areas(self.frame.is_admin())
    }

    fn is_chosen(&self, owner: &OwnerName) -> bool {
        self.draft.owners.iter().any(|name| name.to_lowercase() == owner.lower())
    }
}

async fn page(call: &Call, problems: Problems, draft: Draft) -> Result<NewPage> {
    let (frame, owners) = frame(call, |conn, caller| {
        let user = caller.signed_in()?;
        let own = orgs::list(conn, caller, Which::Of(user.id), Slice::WHOLE)?;
        Ok(std::iter::once(user.name.clone()).chain(own.items.into_iter().map(|org| org.name)).collect())
    })
    .await?;
    let today = call.app.clock.now().day();
    let may_redirect = call.app.config.store.may_redirect();
    Ok(NewPage { frame, problems, draft, owners, today, may_redirect })
}

/// `GET /user/settings/tokens/new`.
pub async fn form(call: Call) -> Result<Reply> {
    let draft = query::<Draft>(&call.req).without_password();
    Reply::page(&page(&call, Problems::default(), draft).await?)
}

#[derive(Template)]
#[template(path = "token_made.html")]
struct MadePage {
    frame: Frame,
    line: Line,
    secret: TokenSecret,
    /// A first use of the token, and the command for it.
    example: (&'static str, String),
}

/// `POST /user/settings/tokens/new`.
pub async fn create(call: Call, form: Protected<Draft>) -> Result<Reply> {
    let draft = form.read(&call).await?;
    match make(&call, &draft).await {
        Ok((user, line, secret)) => {
            let frame = Frame::new(&call.req, &call.app, Some(user));
            let user = frame.user.as_ref().map(|user| user.name.clone());
            let owner = line.owners.as_ref().and_then(|owners| owners.first().cloned()).or(user);
            let owner = owner.ok_or(Error::Unauthenticated)?;
            let patterns = line.token.package_patterns.as_deref().unwrap_or_default();
            let example = first_use(&call, &frame, &line, (&owner, patterns.first().map(String::as_str))).await?;
            Reply::page(&MadePage { frame, line, secret, example })
        }
        Err(Refused::Form(problems)) => {
            let page = page(&call, problems, draft.without_password()).await?;
            page.problems.reply(&page)
        }
        Err(Refused::Other(error)) => Err(error),
    }
}

/// The problems of a token that was not created.
enum Refused {
    Form(Problems),
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match Problems::of(error, "name") {
            Ok(problems) => Self::Form(problems),
            Err(error) => Self::Other(error),
        }
    }
}

async fn make(call: &Call, draft: &Draft) -> Result<(SignedIn, Line, TokenSecret), Refused> {
    let now = call.app.clock.now();
    let new = draft.check(now).map_err(Refused::Form)?;
    // A token outlives the session that creates it, so ask for the password.
    confirm::password(call, &draft.current_password).await?;
    let made = call
        .writing(move |conn, caller| {
            let user = caller.demand_password()?.clone();
            let (token, secret) = tokens::create(conn, caller, &user, &new, now)?;
            Ok((user, line(conn, token, now)?, secret))
        })
        .await?;
    Ok(made)
}

/// A first use for a new token, with a package of this owner whose name matches the pattern: its purpose if it is clear,
/// or else showing the token's own permissions.
pub(super) async fn first_use(
    call: &Call,
    frame: &Frame,
    line: &Line,
    (owner, pattern): (&OwnerName, Option<&str>),
) -> Result<(&'static str, String)> {
    let scopes = Scopes::from_words(line.token.scopes.iter().map(String::as_str)).map_err(Error::internal)?;
    let curl = r#"curl -f -H "Authorization: Bearer $TOKEN""#;
    if line.token.feeds_only {
        let feed = format!(r#"curl -f "{}{}?feed_token=$TOKEN""#, frame.root, address::owner_feed(owner));
        return Ok(("Read a feed", feed));
    }
    Ok(if scopes.allow(Area::Package, Level::Write) {
        let (package, version) = unused(call, owner, pattern, line).await?;
        let file = address::generic_example(owner.as_str(), &package, &version, "hello.txt");
        ("Publish a file", format!("{curl} -T hello.txt {}{file}", frame.root))
    } else if scopes.allow(Area::Package, Level::Read) {
        ("List the packages of an owner", format!("{curl} {}/api/v1/packages/{owner}", frame.root))
    } else {
        ("Check what the token can do", format!("{curl} {}/api/v1/token", frame.root))
    })
}

/// A package that the token may publish to, and a version of it that doesn't exist: an example must not add files to a
/// version that somebody uses.
async fn unused(call: &Call, owner: &OwnerName, pattern: Option<&str>, line: &Line) -> Result<(String, String)> {
    let package = pattern.map_or_else(|| "hello".to_owned(), |pattern| pattern.replace('*', "hello"));
    let usual = "1.0.0";
    let Ok(name) = package.parse::<PackageName>() else { return Ok((package, usual.to_owned())) };
    let path = VersionPath { owner: owner.clone(), package: name, version: usual.parse().map_err(Error::internal)? };
    let is_used = call.reading(move |conn, caller| match can_read(conn, caller, &path.owner, Some(&path.package)) {
        Ok(right) => versions::is_shown(conn, &right, &path),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    });
    // A pre-release never becomes the latest version of a package that has releases.
    let version = if is_used.await? { format!("0.0.0-test.{}", line.token.id) } else { usual.to_owned() };
    Ok((package, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_form_choices_become_scopes_and_expiration() {
        let now = Timestamp::from_unix(1_800_000_000);
        let draft = |change: fn(&mut Draft)| {
            let mut draft = Draft { name: " ci ".to_owned(), ..Draft::default() };
            change(&mut draft);
            draft.check(now)
        };
        let usual = draft(|_| {}).unwrap();
        assert_eq!((usual.name.as_str(), usual.scopes.words()), ("ci", vec!["write:package".to_owned()]));
        assert_eq!(usual.expires_at, Some(now.plus(90 * DAY)));
        assert!(usual.owners.is_none() && usual.packages.is_none());
        let chosen = draft(|draft| {
            draft.preset = "custom".to_owned();
            draft.area_user = "read".to_owned();
            draft.area_organization = "write".to_owned();
            draft.public_only = Some("on".to_owned());
            draft.packages = "tool-*, router\r\n x".to_owned();
            (draft.expiry, draft.expires_on) = ("date".to_owned(), "2027-12-31".to_owned());
        });
        let chosen = chosen.unwrap();
        assert_eq!(chosen.scopes.words(), ["public-only", "read:user", "write:organization"]);
        assert_eq!(chosen.expires_at.unwrap().to_string(), "2027-12-31T23:59:59Z");
        assert_eq!(chosen.packages.unwrap().len(), 3);
        let wrong = draft(|draft| {
            draft.preset = "custom".to_owned();
            draft.area_user = "rule".to_owned();
            (draft.expiry, draft.expires_on) = ("date".to_owned(), "2027-02-30".to_owned());
            draft.packages = "a/b".to_owned();
            draft.owners = vec!["-".to_owned()];
        });
        let wrong = wrong.unwrap_err();
        assert!(["scopes", "expires_at", "packages", "owners"].iter().all(|field| wrong.at(field).is_some()));
    }
}
