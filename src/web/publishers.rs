//! The trusted publishers of an owner: the list, and a small form for each system that issues identity tokens.

use super::format::When;
use super::forms::Protected;
use super::list::{Choice, choices};
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::publisher::{Condition, IssuerUrl, Provider, Trust};
use crate::domain::role::Level;
use crate::error::{Error, Result, What};
use crate::http::paging::param;
use crate::registry::access::can_share;
use crate::registry::caller::Caller;
use crate::registry::owners::publishers::{self, NewPublisher, Publisher};
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// The systems, each with its form.
const PROVIDERS: [(&str, &str); 6] = [
    ("github", "GitHub Actions"),
    ("gitlab", "GitLab CI"),
    ("forgejo", "Forgejo Actions"),
    ("gitea", "Gitea Actions"),
    ("kubernetes", "Kubernetes"),
    ("other", "Another system"),
];

/// The system whose form a request is about.
fn provider_of(call: &Call) -> Provider {
    param(&call.req, "provider").and_then(|word| word.parse().ok()).unwrap_or(Provider::Github)
}

/// The form that creates a publisher, as typed. Each system's form has some of the fields.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct PublisherForm {
    name: String,
    packages: String,
    issuer: String,
    repository: String,
    repository_owner_id: String,
    workflow: String,
    project_path: String,
    /// Present if the box is ticked.
    ref_protected: Option<String>,
    namespace: String,
    service_account: String,
    subject: String,
    /// One on each line, as `claim=value`.
    conditions: String,
    environment: String,
}

impl PublisherForm {
    /// The empty form of a system.
    fn of(provider: Provider) -> Self {
        let issuer = provider.shared_issuer().unwrap_or_default().to_owned();
        Self { issuer, ref_protected: Some("on".to_owned()), ..Self::default() }
    }

    fn read(&self, provider: Provider, problems: &mut Problems) -> Option<NewPublisher> {
        let name = problems.take("name", self.name.trim().parse());
        let packages = problems.take("packages", self.packages.trim().parse());
        let issuer: Option<IssuerUrl> = problems.take("issuer", self.issuer.trim().parse());
        let conditions = self.conditions(provider, problems);
        let environment = Some(self.environment.trim().to_owned()).filter(|text| !text.is_empty());
        let trust = Trust { provider, issuer: issuer?, conditions: conditions?, environment };
        if let Err((field, problem)) = trust.check() {
            problems.add(field, &problem);
            return None;
        }
        Some(NewPublisher { name: name?, packages: packages?, trust })
    }

    fn conditions(&self, provider: Provider, problems: &mut Problems) -> Option<Vec<Condition>> {
        match provider {
            Provider::Github | Provider::Forgejo | Provider::Gitea => self.of_repository(provider, problems),
            Provider::Gitlab => {
                let path = problems.take("project_path", full_name(&self.project_path))?;
                let mut conditions = vec![Condition::like("project_path", path)];
                conditions.extend(self.ref_protected.as_ref().map(|_| Condition::equals("ref_protected", "true")));
                Some(conditions)
            }
            Provider::Kubernetes => {
                let namespace = problems.take("namespace", word(&self.namespace));
                let account = problems.take("service_account", word(&self.service_account));
                let subject = format!("system:serviceaccount:{}:{}", namespace?, account?);
                Some(vec![Condition::equals("sub", subject)])
            }
            Provider::Other => {
                let mut conditions = Vec::new();
                match self.subject.trim() {
                    "" => {}
                    subject => conditions.push(Condition::like("sub", subject)),
                }
                for line in self.conditions.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let pair = line.split_once('=').ok_or("write each condition as claim=value");
                    let (claim, value) = problems.take("conditions", pair)?;
                    conditions.push(Condition::like(claim.trim(), value.trim()));
                }
                Some(conditions)
            }
        }
    }

    fn of_repository(&self, provider: Provider, problems: &mut Problems) -> Option<Vec<Condition>> {
        let repository = problems.take("repository", full_name(&self.repository))?;
        let mut conditions = vec![Condition::like("repository", repository)];
        match self.repository_owner_id.trim() {
            "" => {}
            id if id.bytes().all(|byte| byte.is_ascii_digit()) => {
                conditions.push(Condition::equals("repository_owner_id", id));
            }
            _ => problems.add("repository_owner_id", "use the number of the account"),
        }
        match self.workflow.trim() {
            "" => {}
            file => {
                let file = problems.take("workflow", workflow_file(file))?;
                let folder = if provider == Provider::Github { ".github" } else { ".*" };
                let place = format!("{repository}/{folder}/workflows/{file}@*");
                conditions.push(Condition::glob("workflow_ref", place));
            }
        }
        Some(conditions)
    }
}

/// The full name of a repository or project: its owner or group, and its own name, perhaps with `*`.
fn full_name(text: &str) -> Result<&str, &'static str> {
    let text = text.trim().trim_matches('/');
    let is_name = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    let is_full = text.contains('/') && !text.contains("://") && text.split('/').all(is_name) && !text.starts_with('*');
    if is_full { Ok(text) } else { Err("use the full name, such as acme/tool") }
}

/// A name in Kubernetes.
fn word(text: &str) -> Result<&str, &'static str> {
    let text = text.trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) { Ok(text) } else { Err("use letters, digits, - and .") }
}

/// The name of a workflow's file, without its folder.
fn workflow_file(text: &str) -> Result<&str, &'static str> {
    let is_plain = !text.contains(['/', '*', '@']) && !text.contains(char::is_whitespace);
    let is_yaml = text.ends_with(".yml") || text.ends_with(".yaml");
    if is_plain && is_yaml { Ok(text) } else { Err("use the name of the file, such as release.yml") }
}

/// A field of the form.
struct Field<'a> {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: &'a str,
    required: bool,
}

#[derive(Template)]
#[template(path = "publishers.html")]
struct PublishersPage {
    frame: Frame,
    owner: Owner,
    publishers: Vec<Publisher>,
    now: Timestamp,
    provider: Provider,
    providers: Vec<Choice>,
    form: PublisherForm,
    problems: Problems,
}

impl PublishersPage {
    /// The form of this system.
    fn form_url(&self) -> String {
        format!("{}?provider={}", address::publishers(&self.owner.name), self.provider)
    }

    fn access_url(&self) -> String {
        address::access(&self.owner.name)
    }

    fn deletion_url(&self, publisher: &Publisher) -> String {
        address::publisher_deletion(&self.owner.name, publisher.id)
    }

    fn used(&self, publisher: &Publisher) -> Option<When> {
        publisher.last_used_at.map(|at| When { at, now: self.now })
    }

    /// The fields in which a text is typed.
    fn fields(&self) -> Vec<Field<'_>> {
        let form = &self.form;
        let field = |name, label, hint, value| Field { name, label, hint, value, required: true };
        let optional = |name, label, hint, value| Field { required: false, ..field(name, label, hint, value) };
        let mut all = vec![
            field("name", "Name", "Shown as the publisher of the files, such as release.", &*form.name),
            field(
                "packages",
                "Packages",
                "Use * as a wildcard, as in firmware-*. They need not exist yet.",
                &form.packages,
            ),
        ];
        let issuer = |hint| field("issuer", "Issuer", hint, &form.issuer);
        let environment = |hint| optional("environment", "Environment", hint, &form.environment);
        match self.provider {
            Provider::Github | Provider::Forgejo | Provider::Gitea => {
                let hint = match self.provider {
                    Provider::Github => "Change it only for GitHub Enterprise Server.",
                    _ => "The address of the server followed by /api/actions.",
                };
                all.extend([
                    issuer(hint),
                    field("repository", "Repository", "For example, acme/tool.", &form.repository),
                    optional(
                        "repository_owner_id",
                        "ID of the repository's owner",
                        "A number that stays the same if somebody else gets the owner's name.",
                        &form.repository_owner_id,
                    ),
                    optional("workflow", "Workflow file", "For example, release.yml.", &form.workflow),
                    environment("Only jobs in this environment can publish."),
                ]);
            }
            Provider::Gitlab => all.extend([
                issuer("The address of the GitLab server."),
                field("project_path", "Project", "For example, acme/tools/cli.", &form.project_path),
                environment("Only jobs in this environment can publish."),
            ]),
            Provider::Kubernetes => all.extend([
                issuer("The issuer of the cluster's service account tokens."),
                field("namespace", "Namespace", "For example, builds.", &form.namespace),
                field("service_account", "Service account", "For example, publisher.", &form.service_account),
            ]),
            Provider::Other => all.extend([
                issuer("The claim iss of its identity tokens, exactly."),
                optional("subject", "Subject", "The claim sub. Use * as a wildcard.", &form.subject),
                environment("The claim environment."),
            ]),
        }
        all
    }
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn page(call: &Call, name: OwnerName, form: Option<PublisherForm>, problems: Problems) -> Result<Reply> {
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_share(conn, caller, &name, Level::Read)?;
        let publishers = publishers::list(conn, &right, Slice::WHOLE)?.items;
        Ok((Owner::of(conn, caller, right.owner())?, publishers))
    };
    let (frame, (owner, publishers)) = frame(call, load).await?;
    let (provider, now) = (provider_of(call), call.app.clock.now());
    let form = form.unwrap_or_else(|| PublisherForm::of(provider));
    let providers = choices(&call.req, "provider", &PROVIDERS);
    let page = PublishersPage { frame, owner, publishers, now, provider, providers, form, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/publishers`.
pub async fn show(call: Call) -> Result<Reply> {
    let owner = owner(&call).await?;
    page(&call, owner, None, Problems::default()).await
}

/// `POST /{owner}/-/publishers`.
pub async fn create(call: Call, form: Protected<PublisherForm>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let new = form.read(provider_of(&call), &mut problems).filter(|_| problems.is_empty());
    let new = new.and_then(|new| problems.take("issuer", call.app.issuers.check(&new.trust.issuer)).map(|()| new));
    if let Some(new) = new {
        let (of, now) = (owner.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let right = can_share(conn, caller, &of, Level::Write)?;
            publishers::create(conn, caller, &right, &new, now)
        });
        match made.await {
            Ok(publisher) => {
                let notice = format!("Publisher {} created.", publisher.account);
                return Ok(Reply::to(&address::publishers(&owner)).notice(&call.app, &notice));
            }
            Err(Error::Conflict(_)) => problems.add("name", "a publisher or a robot has this name: choose another"),
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    page(&call, owner, Some(form), problems).await
}

/// `POST /{owner}/-/publishers/{publisher}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let id = OwnerId(call.part("publisher", What::Publisher).await?);
    form.read(&call).await?;
    let (of, now) = (owner.clone(), call.app.clock.now());
    let deleted = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &of, Level::Write)?;
        publishers::delete(conn, caller, &right, id, now)
    });
    let notice = format!("Publisher {} deleted. Its tokens no longer work.", deleted.await?.account);
    Ok(Reply::to(&address::publishers(&owner)).notice(&call.app, &notice))
}
